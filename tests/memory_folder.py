"""Finds a folder in memory for the tests' files, since commits of stores cost less there than on a disk."""

import os
import shutil

_ROOM = 2**30  #: bytes; the tests use up to 200 MB at the same time


def memory_folder() -> str | None:
    """The folder, or None if it lacks space or does not allow scripts to run."""
    folder = "/dev/shm"
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return None
    return folder if shutil.disk_usage(folder).free > _ROOM else None

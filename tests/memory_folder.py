"""A folder in memory: the tests' files cost less there than on a disk, above all the commits of their stores."""

import os
import shutil

_ROOM = 2**30  #: bytes; the tests use up to 200 MB at the same time


def memory_folder() -> str | None:
    """The folder; None where there is none with room, or none from which a script may run."""
    folder = "/dev/shm"
    if not os.access(folder, os.W_OK | os.X_OK) or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return None
    return folder if shutil.disk_usage(folder).free > _ROOM else None

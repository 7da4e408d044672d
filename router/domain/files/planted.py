"""Recognizes files that another user may have planted in place of the daemon's own.

In a folder that others can write, a link planted under such a name would make the daemon empty, read or fill another
file. A pipe would block it, and another user's file would show them what the daemon writes.
"""

import os
import stat
from pathlib import Path

from router.domain.files.trust import is_trusted_user


def planted(found: os.stat_result) -> str | None:
    """Why the daemon can't have made this file itself; None when it may have."""
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file"
    if not is_trusted_user(found.st_uid):
        return "it is another user's"
    if found.st_nlink > 1:
        return "it has a second name (a hard link)"
    return None


def planted_at(path: Path) -> str | None:
    """`planted` for the file of this name, links not followed; None when there is no file. Raises OSError."""
    try:
        return planted(path.lstat())
    except FileNotFoundError:
        return None

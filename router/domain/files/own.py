"""Files that the daemon makes for itself beside the store: refused when somebody else may have put them there.

In a folder that others can write, a link planted under such a name would have the daemon empty, read or fill another
file; a pipe would hold it up; a file of somebody else's would show them what is written.
"""

import os
import stat
from pathlib import Path

from router.domain.files.trust import is_trusted_user


def planted(found: os.stat_result) -> str | None:
    """Why the daemon did not make this file itself; none: it may have."""
    if stat.S_ISLNK(found.st_mode):
        return "it is a link"
    if not stat.S_ISREG(found.st_mode):
        return "it is no regular file"
    if not is_trusted_user(found.st_uid):
        return "it is another user's"
    if found.st_nlink > 1:
        return "it has a second name (a hard link)"
    return None


def planted_at(path: Path) -> str | None:
    """The same of a name, links not followed; none as well when nothing is there. Raises OSError."""
    try:
        return planted(path.lstat())
    except FileNotFoundError:
        return None

"""Finds out whether other users than root and this process's user could change a file.

A user who can write the rules file can run commands as the daemon. So can a user who can rename it, replace it, or
redirect a link to it, that is, write one of the folders of its path. Every step of the path is examined, links
included: `/etc/rules -> /srv/rules` is only as safe as /etc, /srv and /srv/rules.
"""

import grp
import os
import pwd
import stat
import struct
from dataclasses import dataclass
from pathlib import Path, PurePath

_MAX_LINKS = 40  #: the kernel's limit
_ACL = "system.posix_acl_access"
_ACL_ENTRY = struct.Struct("<HHI")  #: tag, permissions, user or group: linux/posix_acl_xattr.h
_ACL_USER, _ACL_GROUP, _ACL_MASK = 0x02, 0x08, 0x10
_ACL_WRITE = 2


@dataclass(frozen=True, slots=True)
class Exposure:
    """A file or folder of the path that another user can write, and the cure."""

    path: str
    who: str  #: such as `every user of this machine`
    cure: str
    is_folder: bool

    def sentence(self, so: str) -> str:
        """Place, cause and cure; `so` is what the writer could do, such as `run commands`."""
        if self.is_folder:
            return f"{self.who} can replace files in the folder {self.path}, and so {so}; {self.cure}"
        return f"{self.who} can write this file, and so {so}; {self.cure}"


def exposure(path: Path) -> Exposure | None:
    """The first step of the path that another user can write. None without one, and when a step can't be examined:
    reading the file reports that."""
    try:
        return _walk(str(path.absolute()))
    except (OSError, ValueError):
        return None


def readable_by_all(path: Path) -> bool:
    """Whether every user of this machine can read the file: its own mode, and those of the folders above it."""
    try:
        real = Path(os.path.realpath(path))
        opened = all(folder.stat().st_mode & stat.S_IXOTH for folder in real.parents)
        return opened and bool(real.stat().st_mode & stat.S_IROTH)
    except (OSError, ValueError):
        return False


def is_trusted_user(uid: int) -> bool:
    """Whether it is root or the user of this process."""
    return uid in (0, os.geteuid())


def _walk(path: str) -> Exposure | None:
    pending = list(reversed(PurePath(path).parts[1:]))
    here, folder, links = "/", os.lstat("/"), 0
    while pending:
        name = pending.pop()
        if name == "..":
            here = os.path.dirname(here)  # noqa: PTH120 - texts all along
            folder = os.lstat(here)
            continue
        inner = os.path.join(here, name)  # noqa: PTH118 - texts all along
        found = os.lstat(inner)
        fault = _of_folder(here, folder, found)
        if fault is not None:
            return fault
        if not stat.S_ISLNK(found.st_mode):
            here, folder = inner, found
            continue
        links += 1
        if links > _MAX_LINKS:
            return None
        target = PurePath(os.readlink(inner))  # noqa: PTH115 - texts all along
        if target.is_absolute():
            here, folder = "/", os.lstat("/")
        pending += reversed(target.parts[1:] if target.is_absolute() else target.parts)
    return _of_file(here, folder)


def _of_folder(path: str, folder: os.stat_result, entry: os.stat_result) -> Exposure | None:
    """The exposure when another user can replace this entry of the folder."""
    if not is_trusted_user(folder.st_uid):
        return _foreign(path, folder, is_folder=True)
    writers = _writers(path, folder)
    if writers is None or _is_kept_by_its_owner(folder, entry) or _is_read_only_mount(path):
        return None
    return Exposure(path, *writers, is_folder=True)


def _of_file(path: str, found: os.stat_result) -> Exposure | None:
    if not is_trusted_user(found.st_uid):
        return _foreign(path, found, is_folder=False)
    writers = _writers(path, found)
    return Exposure(path, *writers, is_folder=False) if writers is not None else None


def _is_kept_by_its_owner(folder: os.stat_result, entry: os.stat_result) -> bool:
    """Whether the folder is sticky, as /tmp is: only the owners of entry and folder can rename the entry."""
    return bool(folder.st_mode & stat.S_ISVTX) and is_trusted_user(entry.st_uid)


def _is_read_only_mount(path: str) -> bool:
    """Whether the folder is a mount point of a read-only mount: a ConfigMap has mode 0777, and nobody can write it.

    False for a folder inside a file system that is read-only for this process, as with systemd's ProtectSystem: other
    processes can write there.
    """
    return os.path.ismount(path) and bool(os.statvfs(path).f_flag & os.ST_RDONLY)


def _writers(path: str, found: os.stat_result) -> tuple[str, str] | None:
    """Who can write it besides root and this user, and the cure."""
    if stat.S_ISLNK(found.st_mode):
        return None  # a link has no mode of its own
    if found.st_mode & stat.S_IWOTH:
        return "every user of this machine", f"chmod o-w {path}"
    if not found.st_mode & stat.S_IWGRP:
        return None
    if not _is_group_of_ours(found.st_gid):
        return f"the group {_group_name(found.st_gid)}", f"chmod g-w {path}"
    named = _named_writer(_acl(path))
    return (named, f"setfacl -b {path}") if named is not None else None


def _foreign(path: str, found: os.stat_result, *, is_folder: bool) -> Exposure:
    ours = os.geteuid()
    owner = _user_name(found.st_uid)
    to = "root" if ours == 0 else f"root or {_user_name(ours)}"
    cure = f"chown it to {to}, or run the daemon as that user (in a container: --user {found.st_uid})"
    return Exposure(path, f"its owner, the user {owner},", cure, is_folder)


def _is_group_of_ours(gid: int) -> bool:
    """Whether it is root's group or this user's own one, and the system lists no other user in it."""
    if gid not in (0, os.getegid()):
        return False
    ours = {"root", _user_name(os.geteuid())}
    try:
        if not ours.issuperset(grp.getgrgid(gid).gr_mem):
            return False
    except KeyError:
        pass  # a group without a name has no listed members
    # Some systems give accounts such as `sync` and `operator` root's group.
    return gid == 0 or all(user.pw_name in ours for user in pwd.getpwall() if user.pw_gid == gid)


def _acl(path: str) -> bytes:
    """The access control list in Linux's format; empty when there is none, or it can't be read."""
    if not hasattr(os, "getxattr"):
        return b""
    try:
        return os.getxattr(path, _ACL, follow_symlinks=False)
    except OSError:
        return b""


def _named_writer(acl: bytes) -> str | None:
    """A user or group that an access control list allows to write by name."""
    if (len(acl) - 4) % _ACL_ENTRY.size:
        return None
    entries = list(_ACL_ENTRY.iter_unpack(acl[4:]))
    if not all(permissions & _ACL_WRITE for tag, permissions, _ in entries if tag == _ACL_MASK):
        return None
    for tag, permissions, number in entries:
        if not permissions & _ACL_WRITE:
            continue
        if tag == _ACL_USER and not is_trusted_user(number):
            return f"the user {_user_name(number)} (by an access control list)"
        if tag == _ACL_GROUP and not _is_group_of_ours(number):
            return f"the group {_group_name(number)} (by an access control list)"
    return None


def _user_name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)

"""Starts a program without blocking the daemon.

Python's own functions hold the interpreter's lock until the child runs the program. On a busy machine this stops the
intake for a third of a millisecond, and for ever when the program is on a disk that is gone. Calling the C library's
posix_spawn through ctypes does not hold the lock. Where the library lacks a part of it (musl), subprocess does the same
more slowly; only signals that were ignored or blocked at the daemon's start stay so.
"""

import ctypes
import errno
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

# glibc's <spawn.h>.
_SETSIGDEF, _SETSIGMASK, _SETSID = 0x04, 0x08, 0x80
_FUNCTIONS = (
    *("posix_spawn", "posix_spawnattr_init", "posix_spawnattr_setflags", "posix_spawnattr_setsigmask"),
    *("posix_spawnattr_setsigdefault", "posix_spawn_file_actions_init", "posix_spawn_file_actions_destroy"),
    *("posix_spawn_file_actions_adddup2", "posix_spawn_file_actions_addchdir_np"),
    *("posix_spawn_file_actions_addclosefrom_np", "sigfillset", "sigemptyset"),
)
_ROOM = 1024  #: bytes; more than any of its structures has (the largest has 336)


def spawn(
    argv: Sequence[bytes], *, cwd: bytes, env: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int
) -> int:
    """Start a program as the leader of its own session. Returns its pid; the caller must reap it.

    The program gets these descriptors as standard input, output and error, and no others. The last two may be the same.
    This process's copies are closed in any case. All signals get their default handling. Raises OSError.
    """
    try:
        program = _find(argv[0], env.get(b"PATH", b""))
        start = _by_subprocess if _LIBRARY is None or min(stdin, stdout, stderr) < 3 else _by_library
        return start(program, argv, cwd, env, stdin, stdout, stderr)
    finally:
        for fd in {stdin, stdout, stderr}:
            os.close(fd)


def _find(program: bytes, path: bytes) -> bytes:
    if b"/" in program:
        return program
    found = shutil.which(program, path=os.fsdecode(path))
    if found is None:
        raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
    return os.fsencode(found)


def _library() -> ctypes.CDLL | None:
    if not sys.platform.startswith("linux"):
        return None
    library = ctypes.CDLL(None)
    return library if all(hasattr(library, name) for name in _FUNCTIONS) else None


def _attributes(library: ctypes.CDLL) -> ctypes.Array[ctypes.c_char]:
    attributes, every, none = (ctypes.create_string_buffer(_ROOM) for _ in range(3))
    library.sigfillset(every)
    library.sigemptyset(none)
    library.posix_spawnattr_init(attributes)
    library.posix_spawnattr_setflags(attributes, ctypes.c_short(_SETSIGDEF | _SETSIGMASK | _SETSID))
    library.posix_spawnattr_setsigdefault(attributes, every)
    library.posix_spawnattr_setsigmask(attributes, none)
    return attributes


_LIBRARY = _library()
_ATTRIBUTES = _attributes(_LIBRARY) if _LIBRARY is not None else None  #: read only, so shared by all threads


def _by_library(
    program: bytes, argv: Sequence[bytes], cwd: bytes, env: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int
) -> int:
    assert _LIBRARY is not None
    pid = ctypes.c_int()
    actions = ctypes.create_string_buffer(_ROOM)
    _LIBRARY.posix_spawn_file_actions_init(actions)
    try:
        failed = (
            _LIBRARY.posix_spawn_file_actions_addchdir_np(actions, cwd)
            or _LIBRARY.posix_spawn_file_actions_adddup2(actions, stdin, 0)
            or _LIBRARY.posix_spawn_file_actions_adddup2(actions, stdout, 1)
            or _LIBRARY.posix_spawn_file_actions_adddup2(actions, stderr, 2)
            or _LIBRARY.posix_spawn_file_actions_addclosefrom_np(actions, 3)
            or _LIBRARY.posix_spawn(
                ctypes.byref(pid),
                program,
                actions,
                _ATTRIBUTES,
                (ctypes.c_char_p * (len(argv) + 1))(*argv, None),
                (ctypes.c_char_p * (len(env) + 1))(*[name + b"=" + value for name, value in env.items()], None),
            )
        )
    finally:
        _LIBRARY.posix_spawn_file_actions_destroy(actions)
    if failed:
        raise OSError(failed, os.strerror(failed))
    return pid.value


def _by_subprocess(
    program: bytes, argv: Sequence[bytes], cwd: bytes, env: Mapping[bytes, bytes], stdin: int, stdout: int, stderr: int
) -> int:
    process = subprocess.Popen(  # noqa: S603 - an argument vector, no shell
        list(argv),
        executable=program,
        cwd=cwd,
        env=dict(env),
        stdin=stdin,
        stdout=stdout,
        stderr=stderr,
        start_new_session=True,
    )
    process.returncode = 0  # the caller reaps the process, so subprocess must neither reap it nor warn
    return process.pid

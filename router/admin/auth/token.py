"""The admin token: from a file, from the environment, or generated at the first start and kept beside the store."""

import contextlib
import errno
import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

import structlog

from router.domain.errors import StartError
from router.domain.files.bounded import Unreadable, read_all, read_file
from router.domain.files.planted import planted

VARIABLE = "WEBHOOK_ROUTER_ADMIN_TOKEN"  #: there is no flag, since every `ps` would show its value
READ_VARIABLE = "WEBHOOK_ROUTER_ADMIN_READ_TOKEN"  #: the variable of the read-only token
SHORTEST = 16  #: characters of a token; half of what `openssl rand -hex 16` gives
_LONGEST = 4096  #: bytes of a token's file; a longer file is the wrong one
_RANDOM_BYTES = 32  #: of a generated token: 256 bits
_FORM = re.compile(r"[\x21-\x7e]+")  #: characters that a header can carry unchanged


log = structlog.get_logger()


def find_token(file: Path | None, environ: Mapping[str, str], store: Path) -> bytes:
    """The token in the file, else in the environment, else the one kept beside the store. Raises StartError."""
    if file is not None:
        return token_of_file(file)
    if VARIABLE in environ:
        return given_token(environ[VARIABLE], VARIABLE)
    token, path, made = kept_token(store)
    if made:
        log.info("admin token made", file=str(path))
    return token


def find_read_token(file: Path | None, environ: Mapping[str, str], token: bytes) -> bytes | None:
    """The read-only token: from the file, else from the environment, else none. Raises StartError."""
    if file is not None:
        found = token_of_file(file)
    elif READ_VARIABLE in environ:
        found = given_token(environ[READ_VARIABLE], READ_VARIABLE)
    else:
        return None
    if found == token:
        raise StartError("the read-only token equals the admin token; make another one with `openssl rand -hex 32`")
    return found


def given_token(text: str, where: str) -> bytes:
    """Check an operator's token. `where` names its place in the error. Raises StartError."""
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise StartError(f"the admin token in {where} is empty; put one there, such as from `openssl rand -hex 32`")
    if not _FORM.fullmatch(text):
        raise StartError(f"the admin token in {where} has characters that a header can't carry; use letters and digits")
    if len(text) < SHORTEST:
        raise StartError(
            f"the admin token in {where} is shorter than {SHORTEST} characters, so it could be guessed; make one with"
            " `openssl rand -hex 32`"
        )
    return text.encode()


def token_of_file(path: Path) -> bytes:
    """The token in an operator's file. Symlinks are followed, since mounted secrets are symlinks. Raises StartError."""
    try:
        return given_token(read_file(path, _LONGEST).decode("latin-1"), str(path))
    except Unreadable as error:
        if error.number == errno.EFBIG:
            raise StartError(f"{path} is too large for an admin token; is it the right file?") from None
        raise StartError(f"the admin token's file {path} can't be read: {error}") from None


def kept_token(store: Path) -> tuple[bytes, Path, bool]:
    """The token beside a store, its file, and whether it is newly generated. Raises StartError.

    The caller holds the store's lock. Symlinks are not followed: a user who can write to the folder could otherwise
    make the daemon read or write another file.
    """
    path = Path(f"{os.path.realpath(store)}.token")
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return _generate(path), path, True
    except OSError as error:
        reason = "it is a link" if error.errno == errno.ELOOP else os.strerror(error.errno or 0)
        raise StartError(f"the admin token's file {path} can't be read: {reason}; {_CURE}") from None
    try:
        _check_kept(path, os.fstat(descriptor))
        return given_token(read_all(descriptor, _LONGEST).decode("latin-1"), str(path)), path, False
    except Unreadable:
        raise StartError(f"{path} is too large for an admin token; {_CURE}") from None
    finally:
        os.close(descriptor)


def _check_kept(path: Path, found: os.stat_result) -> None:
    reason = planted(found)
    if reason is not None:
        raise StartError(f"the admin token's file {path} can't be trusted: {reason}; {_CURE}")
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise StartError(
            f"others can read the admin token's file {path}; {_CURE} (chmod 600 is enough where nobody has)"
        )


_CURE = "remove it: a new token is made at the next start"


def _generate(path: Path) -> bytes:
    """Generate a token. It is written under a draft name first, so that the file is never incomplete."""
    token = secrets.token_urlsafe(_RANDOM_BYTES).encode()
    draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(token + b"\n")
                file.flush()
                os.fsync(descriptor)
            draft.rename(path)  # replaces a symlink that appeared in between
        except BaseException:
            with contextlib.suppress(OSError):
                draft.unlink()
            raise
    except OSError as error:
        reason = os.strerror(error.errno or 0)
        raise StartError(f"the admin token can't be written to {path}: {reason}; name a file with one") from None
    return token

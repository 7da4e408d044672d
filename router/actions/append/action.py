"""Append: one line an event, whole and on disk."""

import asyncio
import contextlib
import errno
import fcntl
import os
import re
import stat
import threading
import time
import weakref
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import orjson
from pydantic import Field

from router.actions.sender_text import has_sender_text
from router.domain.errors import RenderError, TemplateError
from router.domain.files.protected import ProtectedPathError, ProtectedPaths, refusal
from router.domain.outcomes import Cause, Outcome
from router.domain.units import Duration, Rate
from router.plugins.action import Action, AttemptInput, Tools
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.target import TargetSpec
from router.templates import Template, compile_template, context, rendered

SHORT: Mapping[type, str] = {str: "path"}
RETRY: Mapping[str, Any] = {}
CAUSES = (Cause.NOT_WRITTEN, Cause.TIMEOUT)
_TIMEOUT_SECONDS = 10.0
_LATE_SECONDS = 0.2  #: what a thread has to say that it is out of time
_LOCK_PAUSE_SECONDS = 0.02  #: longest pause between two looks at a lock that another program holds
_REOPENINGS = 10  #: times that a file may be rotated away between opening and locking it
_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_RECORD = re.compile(rf'\{{"id":"{_ID}","delivery":"{_ID}","received_at":"'.encode())
_SAMPLE = (
    b'{"id":"00000000-0000-0000-0000-000000000000","delivery":"00000000-0000-0000-0000-000000000000","received_at":"'
)


class Options(Base):
    """Append a line to a file."""

    path: str = Field(min_length=1, description="The file; a template, which stays below its constant part.")
    line: str | None = Field(default=None, description="The line, a template; a JSON record of the event by default.")
    timeout: Duration | None = Field(default=None, description="For opening, locking and writing; 10s.")
    concurrency: Annotated[int, Field(ge=1, le=100)] = Field(default=1, description="Appends under way at once.")
    rate: Rate | None = Field(default=None, description="Appends started in a time, such as 100/s.")


@dataclass(frozen=True, slots=True)
class Guard:
    """What an append may not write."""

    paths: ProtectedPaths
    templated: bool  #: the path has text of the sender in it


@dataclass(frozen=True, slots=True)
class AppendAction:
    """A compiled append."""

    target: TargetSpec
    path: Template
    line: Template | None
    base: Path  #: the folder that the path's constant part names; it may not be left
    timeout: float
    guard: Guard
    type: str = "append"

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """See Action.preview."""
        parts = self._parts(job)
        return {"path": str(self.base.joinpath(*parts)), "line": self._line(job, mask=True).decode()}

    async def attempt(self, job: AttemptInput, tools: Tools) -> Outcome:
        """See Action.attempt."""
        try:
            parts, line = await rendered(self._rendered, job)
        except RenderError as error:
            return Outcome.failed(str(error))
        if tools.files.under_way(self.target.key) >= self.target.concurrency:
            # One that hangs in the kernel can't be ended; it must not gather others around it.
            reason = "an earlier write has not returned yet; is its disk or network mount gone?"
            return Outcome.retry(reason, cause=Cause.TIMEOUT)
        deadline = time.monotonic() + self.timeout
        writing = tools.files.call(
            self.target.key,
            append_line,
            self.base,
            parts,
            line + b"\n",
            self.line is None,
            self._follow,
            deadline,
            self.guard,
        )
        await asyncio.wait([writing], timeout=self.timeout + _LATE_SECONDS)
        if not writing.done():
            writing.cancel()
            return Outcome.retry(f"not written within {self.timeout:g} s; is its disk slow?", cause=Cause.TIMEOUT)
        try:
            writing.result()
        except TimeoutError:
            reason = f"not written within {self.timeout:g} s; another program holds the file's lock"
            return Outcome.retry(reason, cause=Cause.TIMEOUT)
        except ProtectedPathError as error:
            return Outcome.failed(str(error))
        except OSError as error:
            reason = _reason(error, parts[-1] if self._follow else "the file")
            return Outcome.retry(reason, cause=Cause.NOT_WRITTEN)
        return Outcome.succeeded()

    @property
    def _follow(self) -> bool:
        """Whether the path is constant: then the operator's own symlinks are followed."""
        return self.path.constant is not None

    def _parts(self, job: AttemptInput) -> list[str]:
        """The folders and the file below the base."""
        if self.path.constant is not None:
            return [Path(self.path.constant).name]
        text = self.path.render(context(job, mask_secrets=True))
        parts = text[len(_constant_part(self.path.text)) :].split("/")
        for part in parts:
            if part in ("", ".", "..") or "\0" in part or len(part.encode()) > 255:
                raise RenderError(
                    "a part of the path would be empty, . or .., contain NUL, or be longer than 255 bytes"
                )
        return parts

    def _rendered(self, job: AttemptInput) -> tuple[list[str], bytes]:
        return self._parts(job), self._line(job, mask=False)

    def _line(self, job: AttemptInput, *, mask: bool) -> bytes:
        if self.line is not None:
            text = self.line.render(context(job, mask_secrets=mask))
            # One line an event: a line break in the payload must not look like another event.
            return text.replace("\r", "\\r").replace("\n", "\\n").encode()
        event = job.parsed.event
        received = datetime.fromtimestamp(event.received_at / 1000, UTC).isoformat(timespec="milliseconds")
        return orjson.dumps(
            {
                "id": event.id,
                "delivery": job.claim.delivery.id,
                "received_at": received.replace("+00:00", "Z"),
                "source": event.source,
                "headers": {name: ", ".join(job.parsed.headers.all(name)) for name in job.parsed.headers},
                "payload": job.parsed.payload,
            }
        )


def compile(options: Options, build: Build) -> Action:  # noqa: A001 - the name that every action module has
    """Options in, Action out; faults go to the build."""
    path = _template(options.path, build, "path")
    line = _template(options.line, build, "line") if options.line is not None else None
    constant = options.path if path.constant is not None else _constant_part(options.path)
    base = build.base_dir / constant
    if "secrets" in path.names:
        build.fault("a secret in a file's name would be seen by everybody who lists the folder", "path")
    if options.path.endswith("/") or "\0" in options.path or (path.constant is not None and os.path.isdir(base)):
        build.fault("expected a file, found a folder", "path")
    if path.constant is None and ".." in constant.split("/"):
        build.fault("a templated path has no .. before its first {{", "path")
    guard = _guard(build, path)
    build.at_end.append(lambda: _judge_path(build, guard, path, base))
    return AppendAction(
        target=TargetSpec(build.name, options.concurrency, options.rate),
        path=path,
        line=line,
        base=base.parent if path.constant is not None else base,
        timeout=options.timeout or build.timeout or _TIMEOUT_SECONDS,
        guard=guard,
    )


def _guard(build: Build, path: Template) -> Guard:
    build.protected.add_folder(build.base_dir, "the rules file's folder")
    if build.commands not in ("any", "off"):
        build.protected.add_tree(Path(build.commands), "the --commands folder")
    return Guard(build.protected, has_sender_text(path))


def _judge_path(build: Build, guard: Guard, path: Template, base: Path) -> None:
    """Once everything protected is known."""
    if path.constant is None:
        what = guard.paths.reachable_from(base) if guard.templated else None
        if what is not None:
            build.forbid(f"payload text could lead to {what}; write into a folder of its own: out/{{{{ … }}}}", "path")
        return
    what = guard.paths.named_by(base)
    if what is not None:
        build.forbid(f"this path leads to {what}; choose a file in a folder of its own, such as out/", "path")


def _constant_part(text: str) -> str:
    """Up to the last slash before the first template."""
    before = re.split(r"\{\{|\{%|\{#", text)[0]
    return before[: before.rfind("/") + 1]


def _template(text: str, build: Build, place: str) -> Template:
    try:
        return compile_template(text, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), place)
        return Template(text, constant=text)


def append_line(
    base: Path, parts: list[str], data: bytes, record: bool, follow: bool, deadline: float, guard: Guard
) -> None:
    """Append the data under the file's lock; all of it is on disk when this returns.

    `deadline` in monotonic seconds, for the locks. Raises OSError, TimeoutError among them, and ProtectedPathError.
    """
    if guard.templated and (what := guard.paths.reachable_from(base)) is not None:
        raise ProtectedPathError(refusal(what))
    # Our own threads wait for each other here, where nobody has to ask again and again; then for other programs.
    with _turn(str(base.joinpath(*parts)), deadline):
        for number in range(1, _REOPENINGS + 1):
            try:
                if _append_once(base, parts, data, record=record, follow=follow, deadline=deadline, guard=guard):
                    return
            except FileNotFoundError:
                # Its folder may be taken away at any moment: then everything is made again.
                if number == _REOPENINGS:
                    raise
    raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def _append_once(
    base: Path, parts: list[str], data: bytes, *, record: bool, follow: bool, deadline: float, guard: Guard
) -> bool:
    """False when the name means another file by now."""
    with contextlib.ExitStack() as opened:
        folder = _open_folder(base, parts[:-1], follow=follow)
        opened.callback(os.close, folder)
        guard.paths.check_entry(folder, parts[-1], templated=guard.templated, follow=follow)
        fd = _open_file(folder, parts[-1], follow=follow)
        opened.callback(os.close, fd)
        # The descriptor is judged, not the name: whatever is renamed or linked from here on, this file is written.
        guard.paths.check_file(fd)
        _lock(fd, deadline)
        if not _is_current(folder, parts[-1], fd, follow=follow):
            return False
        size, end = _write(fd, data, record=record)
        # A rotation that came between doesn't wait for us: a line that it may not have seen is written again.
        if not _is_current(folder, parts[-1], fd, follow=follow) or os.fstat(fd).st_size < end:
            return False
        _sync(fd, size, end)
    return True


_turns: "weakref.WeakValueDictionary[str, threading.Lock]" = weakref.WeakValueDictionary()
_turns_lock = threading.Lock()


@contextlib.contextmanager
def _turn(path: str, deadline: float) -> Iterator[None]:
    with _turns_lock:
        turn = _turns.get(path)
        if turn is None:
            turn = _turns[path] = threading.Lock()
    if not turn.acquire(timeout=max(0.0, deadline - time.monotonic())):
        raise TimeoutError
    try:
        yield
    finally:
        turn.release()


def _lock(fd: int, deadline: float) -> None:
    """Take the file's lock. Asked for again and again: a thread that waits in flock can't be called back."""
    pause = 0.0005
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise TimeoutError from None
            time.sleep(pause)
            pause = min(2 * pause, _LOCK_PAUSE_SECONDS)
        else:
            return


def _open_folder(base: Path, names: list[str], *, follow: bool) -> int:
    """Open the folder, making what is missing; below the base no symlink is followed."""
    missing = [folder for folder in (base, *base.parents) if not os.path.isdir(folder)]
    for folder in reversed(missing):
        with contextlib.suppress(FileExistsError):
            folder.mkdir(mode=0o700)
        _sync_folder(folder.parent)
    fd = os.open(base, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    for name in names:
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(name.encode(), 0o700, dir_fd=fd)
                os.fsync(fd)
            below = os.open(name.encode(), flags, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _open_file(folder: int, name: str, *, follow: bool) -> int:
    # Not blocking, so that a FIFO without a reader is an error rather than a thread that hangs for ever.
    flags = os.O_RDWR | os.O_APPEND | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW)
    try:
        fd = os.open(name.encode(), flags, dir_fd=folder)
    except FileNotFoundError:
        fd = os.open(name.encode(), flags | os.O_CREAT, 0o600, dir_fd=folder)
        os.fsync(folder)  # else a crash may take the new file's name with it
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(errno.EINVAL, "not a regular file")
    return fd


def _is_current(folder: int, name: str, fd: int, *, follow: bool) -> bool:
    """Whether the name still means the file that we have locked, rather than one that a rotation put there."""
    try:
        named = os.stat(name.encode(), dir_fd=folder, follow_symlinks=follow)
    except FileNotFoundError:
        return False
    return os.path.samestat(named, os.fstat(fd))


def _write(fd: int, data: bytes, *, record: bool) -> tuple[int, int]:
    """Write it whole or not at all; the file's size before, and where the written part ends. Raises OSError."""
    size, mended = _end_tail(fd, data, record=record)
    left = memoryview(mended)
    try:
        while left:
            left = left[os.write(fd, left) :]
    except OSError:
        _take_back(fd, size, size + len(mended) - len(left))
        raise
    return size, os.lseek(fd, 0, os.SEEK_CUR)


def _sync(fd: int, size: int, end: int) -> None:
    try:
        os.fsync(fd)
    except OSError:
        _take_back(fd, size, end)
        raise


def _take_back(fd: int, size: int, end: int) -> None:
    """Cut what we wrote: a part of a line is worse than none. Not if a program without the lock wrote after it."""
    with contextlib.suppress(OSError):
        if os.fstat(fd).st_size == end:
            os.ftruncate(fd, size)


def _end_tail(fd: int, data: bytes, *, record: bool) -> tuple[int, bytes]:
    """The file's size and what to write, once a last line without its end is cut, or ended.

    It is cut if a crash tore it from a record of ours, or from this very line: the delivery that wrote it is not
    settled and appends it again. A record that is whole but for its end stays: somebody may have taken the end away.
    """
    while True:
        size = os.fstat(fd).st_size
        last = os.pread(fd, 1, size - 1) if size else b"\n"
        if last == b"\n":
            return size, data
        if last:
            break  # else the file was cut while we looked
    start = _last_line(fd, size)
    ours = _torn_record(os.pread(fd, len(_SAMPLE), start)) if record else size - start < len(data)
    if ours:
        tail = os.pread(fd, size - start, start)
        if (not _is_whole(tail) if record else data.startswith(tail)) and os.fstat(fd).st_size == size:
            os.ftruncate(fd, start)
            return start, data
    return size, b"\n" + data


def _is_whole(line: bytes) -> bool:
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True


def _torn_record(beginning: bytes) -> bool:
    """Whether a line begins as our records do, as far as it goes."""
    filled = beginning + _SAMPLE[len(beginning) :]
    return bool(_RECORD.match(filled))


def _last_line(fd: int, size: int) -> int:
    """Where the last line begins."""
    end, chunk = size, 64 * 1024
    while end > 0:
        start = max(0, end - chunk)
        found = os.pread(fd, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _reason(error: OSError, name: str) -> str:
    if error.errno == errno.ELOOP:
        return f"{name} or a folder above it is a symlink, which a templated path doesn't follow"
    if error.errno in (errno.EINVAL, errno.ENXIO):
        return f"{name} is not a regular file"
    return f"{name} can't be written: {os.strerror(error.errno or 0)}"

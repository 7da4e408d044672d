"""A compiled append: writes one line for each event, whole and synced to the disk."""

import asyncio
import errno
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from router.actions.append.output_file import Guard, OutputFile
from router.actions.append.path import path_parts
from router.actions.append.record import record
from router.actions.append.write_line import append_line
from router.domain.errors import RenderError
from router.domain.files.protected import ProtectedPathError
from router.domain.outcomes import Cause, Outcome
from router.plugins.action import AttemptInput, Tools
from router.plugins.target import TargetSpec
from router.runtime.thread_pool import Threads
from router.templates import Template, context, render_without_blocking

_LATE_SECONDS = 0.2  #: extra time for a thread to report its own timeout


@dataclass(frozen=True, slots=True)
class AppendAction:
    """A compiled append."""

    target: TargetSpec
    path: Template
    line: Template | None
    base: Path  #: the folder of the path's constant part; the file is always below it
    timeout: float
    guard: Guard
    type: str = "append"

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """`{path, line}`; see Action.preview."""
        parts = path_parts(self.path, job)
        return {"path": str(self.base.joinpath(*parts)), "line": self._line(job, mask=True).decode()}

    async def attempt(self, job: AttemptInput, tools: Tools[Threads]) -> Outcome:
        """See Action.attempt."""
        try:
            parts, line = await render_without_blocking(self._rendered, job)
        except RenderError as error:
            return Outcome.failed(str(error))
        threads = tools.resources
        if threads.under_way(self.target.key) >= self.target.concurrency:
            # A write that hangs in the kernel can't be ended. So no further write starts until it returns.
            reason = "an earlier write has not returned yet; is its disk or network mount gone?"
            return Outcome.retry(reason, cause=Cause.TIMEOUT)
        file = OutputFile(self.base, tuple(parts[:-1]), parts[-1], self._follow_symlinks, self.guard)
        deadline = time.monotonic() + self.timeout
        writing = threads.call(self.target.key, append_line, file, line + b"\n", self.line is None, deadline)
        await asyncio.wait([writing], timeout=self.timeout + _LATE_SECONDS)
        return self._outcome(writing, parts[-1])

    def _outcome(self, writing: "asyncio.Future[None]", name: str) -> Outcome:
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
            # A file name with payload text is not shown.
            reason = _reason(error, name if self._follow_symlinks else "the file")
            return Outcome.retry(reason, cause=Cause.NOT_WRITTEN)
        return Outcome.succeeded()

    @property
    def _follow_symlinks(self) -> bool:
        """Symlinks are followed only in a constant path, since the operator wrote it."""
        return self.path.constant is not None

    def _rendered(self, job: AttemptInput) -> tuple[list[str], bytes]:
        return path_parts(self.path, job), self._line(job, mask=False)

    def _line(self, job: AttemptInput, *, mask: bool) -> bytes:
        if self.line is None:
            return record(job)
        text = self.line.render(context(job, mask_secrets=mask))
        # One line for each event: a line break in the payload must not look like another event.
        return text.replace("\r", "\\r").replace("\n", "\\n").encode()


def _reason(error: OSError, name: str) -> str:
    if error.errno == errno.ELOOP:
        return f"{name} or a folder above it is a symlink, which a templated path doesn't follow"
    if error.errno in (errno.EINVAL, errno.ENXIO):
        return f"{name} is not a regular file"
    return f"{name} can't be written: {os.strerror(error.errno or 0)}"

"""The action type `append`."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from router.actions.append.options import AppendOptions
from router.domain.outcomes import Cause
from router.plugins.action import Action, ActionType
from router.plugins.build import Build
from router.runtime.thread_pool import open_threads

if TYPE_CHECKING:
    from router.runtime.thread_pool import Threads

_THREADS = 64  #: appends under way at once; an append to a disk that is gone keeps its thread for ever
_HINTS: Mapping[str, tuple[str, ...]] = {
    "did you mean \"append\"? It writes a line to a file: append: events.log":
        ("file", "log", "logfile", "write", "writefile", "save", "output", "store", "print", "echo", "stdout", "jsonl"),
}  # fmt: skip


def _compile(options: Any, build: Build) -> Action:
    from router.actions.append.compile import compile_append  # noqa: PLC0415 - to list the types needs no templates

    return compile_append(options, build)


def _open_threads() -> "AbstractAsyncContextManager[Threads]":
    return open_threads("append", _THREADS)


APPEND = ActionType(
    name="append",
    options=AppendOptions,
    compile=_compile,
    short_forms={str: "path"},
    causes=(Cause.NOT_WRITTEN, Cause.TIMEOUT),
    hints=_HINTS,
    open_resources=_open_threads,
)

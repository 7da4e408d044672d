"""A progress bar for people who watch; nothing for programs and logs."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def progress(doing: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """A bar on standard error while that is a terminal; gives what is to be told of each step forward."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415 - only a person at a terminal waits for it
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn  # noqa: PLC0415

    numbers = TextColumn("{task.completed:,.0f} of {task.total:,.0f}") if total is not None else TextColumn("")
    columns = (TextColumn("{task.description}"), BarColumn(), numbers, TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(doing, total=total)
        yield lambda count: bar.advance(task, count)

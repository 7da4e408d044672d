"""The process that intake processes are forked from. It has loaded all modules, and has no threads and no files."""

import contextlib
import multiprocessing.context
import multiprocessing.forkserver


def forkserver() -> multiprocessing.context.ForkServerContext:
    """The context whose processes are forked from it; the first one starts it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "router.daemon.processes.preload"])
    return context


def warm_up() -> None:
    """Start it now. It loads its modules while this process does something else."""
    forkserver()
    with contextlib.suppress(OSError):  # then the first process says why
        multiprocessing.forkserver.ensure_running()

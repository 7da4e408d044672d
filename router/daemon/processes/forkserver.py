"""The process that intake processes are forked from. It has loaded all modules, and has no threads or open files."""

import contextlib
import multiprocessing.context
import multiprocessing.forkserver
import multiprocessing.process
import os
import signal
import threading

import structlog

START_SECONDS = 10.0  #: limit of one fork; it takes milliseconds, and a new forkserver loads its modules in 1 to 2 s

log = structlog.get_logger()


def forkserver() -> multiprocessing.context.ForkServerContext:
    """The context whose processes are forked from it. The first such process starts it."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["__main__", "router.daemon.processes.preload"])
    return context


def warm_up() -> None:
    """Start it now, so that it loads its modules while this process does other work."""
    forkserver()
    with contextlib.suppress(OSError, AttributeError):  # the first process will start it, and report why it can't
        multiprocessing.forkserver.ensure_running()


def start_process(process: multiprocessing.process.BaseProcess, pid: int) -> None:
    """Start a process.

    If the forkserver with this pid does not answer, it is killed, and this raises EOFError or OSError. The next call
    starts another forkserver.
    """
    late = threading.Timer(START_SECONDS, end_forkserver, (pid,))
    late.daemon = True
    late.start()
    try:
        process.start()
    finally:
        late.cancel()


def end_forkserver(pid: int) -> None:
    """Kill a forkserver that does not answer. Does nothing if this process has no such child. Its children stay
    alive."""
    try:
        ended = not pid or os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return
    if not ended:
        log.error("the process that intake processes are forked from does not answer; it is replaced", pid=pid)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

"""Connections for reading, each of one thread."""

import subprocess
import sys
from contextlib import closing
from pathlib import Path

from tests.conftest import PATIENCE_SECONDS
from tests.sqlite_template import open_store

_FORK = """
import os, pathlib, sys, threading, weakref
from router.store.sqlite.read_connections import ReadConnections

connections, has_read, may_end = ReadConnections(pathlib.Path(sys.argv[1])), threading.Event(), threading.Event()

def read():
    connections.read("SELECT 1")
    has_read.set()
    may_end.wait()

thread = threading.Thread(target=read)
thread.start()
has_read.wait()
[reader] = map(weakref.ref, connections._all)
forked = os.fork()
if forked == 0:
    os._exit(7 if reader() is None else 0)
code = os.waitstatus_to_exitcode(os.waitpid(forked, 0)[1])
may_end.set()
thread.join()
assert reader() is None, "the connection of a thread that has ended stays open"
sys.exit(code)
"""


def test_a_forked_process_leaves_the_connections_of_other_threads_alone(tmp_path: Path) -> None:
    """Closing one may wait for ever: for a lock that a thread held which the forked process does not have."""
    with closing(open_store(tmp_path / "store.db")):
        command = [sys.executable, "-W", "ignore", "-c", _FORK, str(tmp_path / "store.db")]
        done = subprocess.run(command, capture_output=True, timeout=PATIENCE_SECONDS, check=False)

    assert (done.returncode, done.stderr) == (0, b"")

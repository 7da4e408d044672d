"""Imported once by the process that all intake processes are forked from, so that they share its memory.

It has no threads and no open files. Like its children it ends with the main process: a service manager signals every
process of the service, and a terminal every process in the foreground.
"""

import gc
import signal

import router.daemon.processes.child

FOLLOWS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

for number in FOLLOWS:
    signal.signal(number, signal.SIG_IGN)
serve = router.daemon.processes.child.serve
gc.collect()
gc.freeze()  # otherwise the first collection in a child would write to all of this memory, and so copy it

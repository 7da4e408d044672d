"""Imported once by the process that all intake processes and the view process are forked from, so that they share its
memory.

It has no threads and no open files. Like its children it ends with the main process: a service manager signals every
process of the service, and a terminal every process in the foreground.
"""

import gc
import signal

import router.daemon.processes.child
import router.daemon.view_process.child

FOLLOWS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

for number in FOLLOWS:
    signal.signal(number, signal.SIG_IGN)
serve = router.daemon.processes.child.serve
serve_views = router.daemon.view_process.child.serve_views
gc.collect()
gc.freeze()  # otherwise the first collection in a child would write to all of this memory, and so copy it

"""Imported once by the process that all intake processes and the view process are forked from, so that they share its
memory.

It has no threads and no files open. Like its children it follows the main process, and ends with it: a service manager
signals each process of the service, and a terminal each process of the foreground.
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
gc.freeze()  # or the first collection in a child would write to all of it, and so copy it

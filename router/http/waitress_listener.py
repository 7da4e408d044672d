"""A listening socket for waitress. It says how long it rests after a connection could not be accepted.

waitress itself would try again at once, as long as that connection waits: without free descriptors it kept a core busy.
"""

import errno
import socket
import time

import structlog

from router.http.limits import REST_SECONDS

_USUAL = (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR, errno.ECONNABORTED)

log = structlog.get_logger()


class Listener(socket.socket):
    """Belongs to waitress's loop."""

    def __init__(self, sock: socket.socket) -> None:
        """Take over a listening socket."""
        super().__init__(fileno=sock.detach())
        self._until = 0.0  # monotonic

    def accept(self) -> tuple[socket.socket, object]:
        """See socket.accept."""
        try:
            return super().accept()
        except OSError as error:
            if error.errno not in _USUAL:
                reason = errno.errorcode.get(error.errno or 0, "")
                log.error("connection can't be accepted; further senders wait", error=reason)
                self._until = time.monotonic() + REST_SECONDS
            raise

    def rests(self, now: float) -> bool:
        """Whether it must not be watched now."""
        return now < self._until

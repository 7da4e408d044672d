"""The log of an intake process. Its lines go through the main process, so that lines never mix."""

import os

from router.daemon.processes.frames import Kind, pack
from router.daemon.processes.link import Link
from router.observe.logging.line_writer import MAX_WAITING


class SentLines:
    """A logger of structlog. Any thread may call it. When the main process is gone it writes to standard error."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self.lost = 0  #: lines that the main process did not take in time
        self.alone = False  #: the main process is gone

    def info(self, line: bytes) -> None:
        """Send the line."""
        self._send(line, urgent=False)

    debug = info

    def warning(self, line: bytes) -> None:
        """Send a line that must be written at once."""
        self._send(line, urgent=True)

    error = critical = warning

    def _send(self, line: bytes, *, urgent: bool) -> None:
        if self.alone:
            os.write(2, line + b"\n")
        elif self._link.waiting >= MAX_WAITING:
            self.lost += 1
        else:
            (self._link.send if urgent else self._link.send_later)(pack(Kind.LINE, urgent, line))

"""Pings that tell whether a process still runs. A frozen process reads nothing, and senders to it would wait."""

import time

from router.daemon.view_process.messages import Channel

PING_SECONDS = 1.0  #: between two looks for the answer


class Pings:
    """The pings of one process. One thread may use it."""

    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._sent_at: float | None = None  #: monotonic: of the ping without an answer

    def silent_seconds(self) -> float:
        """For how long the last ping has had no answer. Sends the next one if it had. Endless when the process is
        gone."""
        now = time.monotonic()
        try:
            if self._sent_at is not None and self._channel.poll():
                self._channel.recv_bytes()
                self._sent_at = None
            if self._sent_at is None:
                self._channel.send_bytes(b"ping")
                self._sent_at = now
        except (EOFError, OSError):
            return float("inf")
        return now - self._sent_at


def answer_pings(channel: Channel) -> None:
    """Send each ping back until the channel closes."""
    try:
        while True:
            channel.send_bytes(channel.recv_bytes())
    except (EOFError, OSError):
        return  # the threads that answer questions see the end too

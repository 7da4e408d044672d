"""Corrects a channel of waitress that keeps its loop spinning while a worker writes."""

from typing import Any

OUTPUT_BYTES = 1024 * 1024  #: that a sender may leave unread before its next reply waits


def correct_writable(server: Any) -> bool:
    """Keep waitress's loop from spinning while a worker writes. Returns whether this waitress needs it.

    The worker holds the output's lock and waits for the interpreter. The loop hears that the connection is writable,
    tries the lock, fails, and hears it again, some 30,000 times a second. The worker flushes by itself and wakes the
    loop at its end, so the loop has nothing to write until then.
    """
    base: Any = getattr(server, "channel_class", None)
    if base is None or not _spins(base):
        return False

    class Corrected(base):  # type: ignore[misc]
        def writable(self) -> bool:
            is_closing = self.will_close or self.close_when_flushed
            # With more output than this a worker waits for the loop to write.
            if self.requests and not is_closing and self.total_outbufs_len <= OUTPUT_BYTES:
                return False
            return bool(super().writable())

    server.channel_class = Corrected
    return True


def _spins(channel_class: Any) -> bool:
    """Whether this waitress calls a connection writable when it has output and a running request.

    False as well if the class is built in another way.
    """
    try:
        probe = channel_class.__new__(channel_class)
        probe.will_close = probe.close_when_flushed = False
        probe.total_outbufs_len, probe.requests = 1, [None]
        return bool(probe.writable())
    except Exception:  # noqa: BLE001 - another version's inner parts may be anything
        return False

"""The frames between the main process and an intake process: a length, a kind, a number, and a body."""

import struct
from enum import IntEnum
from typing import NamedTuple, cast

_LARGE = 1024 * 1024  #: bytes; a larger body is not copied
_HEADER = struct.Struct("<IBQ")  # length of the body, kind, number


class Kind(IntEnum):
    """What a frame says. Bodies are JSON, unless said otherwise."""

    # Sent by an intake process.
    READY = 1  #: rules of this generation (the number) are loaded; the body is the pid of its forkserver
    SERVING = 2
    APPEND = 3  #: an event to commit; its RESULT has the same number (event_frames.py)
    CANCEL = 4  #: the event's sender was told that it is not stored
    LINE = 5  #: a line of the log; the number is 1 when it is urgent; the body is the line
    COUNTS = 6  #: what was counted since the last frame of this kind (counts.py); the number is the request's, or 0
    PONG = 7  #: the loop runs; the number is that of the ping
    PREPARED = 8  #: rules of this generation are ready for SWAP
    REFUSED = 9  #: the rules can't be loaded; the body lists the problems
    SWAPPED = 10  #: requests are judged by rules of this generation from here on
    RENEWED = 11  #: the TLS certificate was read again, or the old one stays
    BYE = 12  #: all requests are answered, and the process ends
    EXPECT = 13  #: the sender of an event that follows waits for a first attempt's answer (answer_frames.py)
    FORGET = 14  #: the sender stopped waiting; the number is that of EXPECT

    # Sent by the main process.
    SERVE = 20  #: take requests
    RESULT = 21  #: the result of storing an event (event_frames.py)
    PING = 22  #: the body is the main process's clock (wall_clock.py)
    COLLECT = 23  #: send COUNTS now
    PREPARE = 24  #: load this text
    SWAP = 25  #: judge by the prepared rules
    RENEW = 26  #: read the TLS certificate again
    ANSWERED = 28  #: a first attempt's answer, or that there is none (answer_frames.py); the number is that of EXPECT
    STOP = 27  #: answer what has begun within the body's seconds, and end


class Frame(NamedTuple):
    """One frame that was read."""

    kind: int
    number: int
    body: bytes  #: of a large frame a memoryview: copying 25 MB would stop all threads for 10 to 20 ms


def pack(kind: Kind, number: int = 0, *parts: bytes) -> bytes:
    """A frame's bytes; `parts` are its body."""
    return b"".join((_HEADER.pack(sum(map(len, parts)), kind, number), *parts))


class FrameReader:
    """Collects bytes and returns whole frames."""

    __slots__ = ("_buffer",)

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that these bytes complete."""
        buffer = self._buffer
        buffer += data
        found: list[Frame] = []
        at, size, head = 0, len(buffer), _HEADER.size
        with memoryview(buffer) as view:
            while size - at >= head:
                length, kind, number = _HEADER.unpack_from(buffer, at)
                end = at + head + length
                if end > size:
                    break
                if length > _LARGE:  # the frame's body is a view of this buffer
                    found.append(Frame(kind, number, cast("bytes", view[at + head : end])))
                    self._buffer = bytearray()
                    return found + self.feed(bytes(view[end:]))
                found.append(Frame(kind, number, bytes(view[at + head : end])))
                at = end
        del buffer[:at]
        return found

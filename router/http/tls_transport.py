"""TLS for one connection, between asyncio's transport and ours: decrypts incoming bytes, encrypts outgoing ones.

It uses the standard library's SSLObject. asyncio's own TLS keeps a buffer of 256 KiB for each connection and can't
close one direction alone. Here a TLS connection reads into its server's shared buffer, and it is paused, half-closed
and cut like any other.
"""

import asyncio
import contextlib
import ssl
import time
from collections.abc import Callable
from typing import Protocol, cast

from router.http.limits import HANDSHAKE_SECONDS
from router.http.problem import problem
from router.http.response import serialize

_PLAIN_HTTP = problem(400, "this port speaks TLS; write https:// instead of http://")


class Inner(Protocol):
    """Receives the decrypted bytes: a connection, which writes to this transport."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio.BaseProtocol."""

    def buffer_updated(self, nbytes: int) -> None:
        """This many decrypted bytes are in the shared buffer."""

    def eof_received(self) -> bool:
        """The sender has closed its direction. Returns whether to keep the connection open for replies."""
        ...

    def pause_writing(self) -> None:
        """See asyncio.BaseProtocol."""

    def resume_writing(self) -> None:
        """See asyncio.BaseProtocol."""

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.BaseProtocol."""


class TlsTransport(asyncio.BufferedProtocol, asyncio.Transport):
    """Belongs to the loop's thread."""

    def __init__(
        self,
        inner: Inner,
        context: ssl.SSLContext,
        buffer: memoryview,
        loop: asyncio.AbstractEventLoop,
        failed: Callable[[str, int | None], None],
    ) -> None:
        """`buffer` holds incoming bytes, encrypted and then decrypted. `failed` gets the reason of a failed handshake,
        and the status of the answer if there was one."""
        super().__init__()
        self._inner = inner
        self._buffer = buffer
        self._loop = loop
        self._failed = failed
        self._encrypted_in, self._encrypted_out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._encrypted_in, self._encrypted_out, server_side=True)
        self._under: asyncio.Transport | None = None  # asyncio's transport, for encrypted bytes
        self._deadline: asyncio.TimerHandle | None = None  # of the handshake; None: it is done, or not begun
        self._is_open = False  # the handshake is done
        self._is_paused = False
        self._input_ends = False  # asyncio's transport has ended
        self._input_ended = False  # the connection knows that the sender has ended
        self._discards = False  # further incoming bytes are discarded

    # Called by asyncio's transport.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._under = cast("asyncio.Transport", transport)
        self._deadline = self._loop.call_later(HANDSHAKE_SECONDS, self._time_out)
        self._inner.connection_made(self)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002 - asyncio's signature
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        if not self._discards:
            self._encrypted_in.write(self._buffer[:nbytes])
            self._read()

    def eof_received(self) -> bool:
        if not self._is_open or self._discards:
            return False
        self._input_ends = True
        self._read()
        return True  # `_end_input` closes, if not the connection itself

    def pause_writing(self) -> None:
        self._inner.pause_writing()

    def resume_writing(self) -> None:
        self._inner.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._under = None
        self._end_deadline()
        self._inner.connection_lost(exc)

    # The handshake.

    def _shake_hands(self) -> bool:
        """Continue the handshake. Returns whether it is done."""
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            self._flush()
            return False
        except ssl.SSLError as error:
            self._refuse(error)
            return False
        self._is_open = True
        self._end_deadline()
        self._flush()
        return True

    def _refuse(self, error: ssl.SSLError) -> None:
        self._discards = True
        if error.reason == "HTTP_REQUEST" and self._under is not None:
            self._under.write(serialize(_PLAIN_HTTP, "1.1", keep_alive=False, head_only=False, now=time.time()))
            self._failed("TLS: plain HTTP was sent", _PLAIN_HTTP.status)
        else:
            self._flush()  # sends the alert with the reason to the other side
            self._failed(f"TLS: {handshake_fault(error)}", None)
        self.close()

    def _time_out(self) -> None:
        self._failed("TLS: the handshake took too long", None)
        self.abort()

    def _end_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    # Reading.

    def _read(self) -> None:
        """Decrypt incoming bytes until the connection wants no more."""
        if self._under is None or not (self._is_open or self._shake_hands()):
            return
        while not (self._is_paused or self._discards or self._input_ended):
            try:
                count = cast("int", self._tls.read(len(self._buffer), self._buffer))  # typeshed knows no buffer
            except ssl.SSLWantReadError:
                if not self._input_ends:
                    break
                count = 0  # closed without TLS's end message; HTTP itself knows whether a request is whole
            except ssl.SSLZeroReturnError:
                count = 0
            except ssl.SSLError:
                self.abort()  # bytes from a faulty or hostile peer, or lost bytes
                return
            if not count:
                self._input_ended = True
                if not self._inner.eof_received():
                    self.close()
                return
            self._inner.buffer_updated(count)
        self._flush()  # replies of TLS itself, such as for a change of keys

    def pause_reading(self) -> None:
        """See asyncio.ReadTransport. Bytes that are decrypted already wait too."""
        self._is_paused = True
        if self._under is not None:
            self._under.pause_reading()

    def resume_reading(self) -> None:
        """See asyncio.ReadTransport."""
        if self._under is None:
            return
        self._under.resume_reading()
        if self._is_paused:
            self._is_paused = False
            self._loop.call_soon(self._read)

    # Writing.

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """See asyncio.WriteTransport."""
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self._tls.write(rest) :]
                self._flush()
        except ssl.SSLError:
            self.abort()

    def _flush(self) -> None:
        encrypted = self._encrypted_out.read()
        if encrypted and self._under is not None:
            self._under.write(encrypted)

    def can_write_eof(self) -> bool:
        """TLS can close each direction separately."""
        return True

    def write_eof(self) -> None:
        """See asyncio.WriteTransport. Bytes that arrive from here on are not read."""
        self._discards = True
        self._say_end()
        if self._under is not None:
            self._under.write_eof()

    def _say_end(self) -> None:
        with contextlib.suppress(ssl.SSLError):  # the peer's end message may never come, and is not needed
            self._tls.unwrap()
        self._flush()

    # Ending.

    def close(self) -> None:
        """See asyncio.BaseTransport."""
        if self._is_open and not self._discards:
            self._say_end()
        if self._under is not None:
            self._under.close()

    def abort(self) -> None:
        """See asyncio.WriteTransport."""
        if self._under is not None:
            self._under.abort()


def handshake_fault(error: ssl.SSLError) -> str:
    """Why a handshake failed, in OpenSSL's constant words, without anything from the sender."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the client's certificate was refused: {error.verify_message}"
    return (error.reason or "the handshake failed").lower().replace("_", " ")

"""A TLS client that can close one direction of its connection, which ssl.SSLSocket can't."""

import contextlib
import socket
import ssl
import threading
from types import TracebackType
from typing import Any

READ_BYTES = 64 * 1024


class TlsClient:
    """Wraps a socket and is used like it. The handshake happens with the first byte that is sent or read."""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext) -> None:
        self.plain = plain
        self._in, self._out = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._in, self._out, server_hostname="localhost")
        self._is_open = False
        self._lock = threading.RLock()  # one thread may send while another reads, and OpenSSL allows one call at a time

    def __getattr__(self, name: str) -> Any:
        return getattr(self.plain, name)

    def __enter__(self) -> "TlsClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.plain.close()

    def shake_hands(self) -> None:
        """Complete the handshake."""
        with self._lock:
            while not self._is_open:
                try:
                    self.tls.do_handshake()
                    self._is_open = True
                except ssl.SSLWantReadError:
                    self._flush()
                    self._fill()
            self._flush()

    def sendall(self, data: bytes) -> None:
        self.shake_hands()
        view = memoryview(data)
        while view:
            with self._lock:
                view = view[self.tls.write(view[:READ_BYTES]) :]
                encrypted = self._out.read()
            self.plain.sendall(encrypted)

    def recv(self, count: int) -> bytes:
        while True:
            try:
                self.shake_hands()
                with self._lock:
                    return self.tls.read(count)
            except ssl.SSLWantReadError:
                self._fill()
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                return b""

    def shutdown(self, _: int) -> None:
        """Close the sending direction. Reading is still possible."""
        self.shake_hands()
        with contextlib.suppress(ssl.SSLError):
            self.tls.unwrap()
        with contextlib.suppress(OSError):  # the server has answered and closed already
            self._flush()
            self.plain.shutdown(socket.SHUT_WR)

    def _flush(self) -> None:
        if encrypted := self._out.read():
            self.plain.sendall(encrypted)

    def _fill(self) -> None:
        data = self.plain.recv(READ_BYTES)
        with self._lock:
            if data:
                self._in.write(data)
            else:
                self._in.write_eof()

"""Adds TLS to a PostgreSQL server without TLS, with the answers of a server that is built with OpenSSL."""

import contextlib
import select
import socket
import ssl
import struct
import threading

from router.http.certificate import TlsFiles
from tests.postgres import PATIENCE_SECONDS

_TLS_REQUEST = struct.pack("!ii", 8, 80877103)


class TlsRelay:
    """Decrypts connections and passes them on to the server."""

    def __init__(self, port: int, files: TlsFiles, host: str = "127.0.0.1") -> None:
        """`port`: the port of the server on loopback. `host`: the address of the relay."""
        self._server = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.cert, files.key)
        self._listener = socket.create_server((host, 0))
        self.port = int(self._listener.getsockname()[1])
        self.carried = 0  #: number of connections with a complete TLS handshake
        self.clear = 0  #: number of connections that did not ask for TLS and were cut
        self._closing = threading.Event()
        self._threads = [threading.Thread(target=self._accept)]
        self._threads[0].start()

    def close(self) -> None:
        """Cut all connections and accept no more."""
        self._closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(client,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError):
            client.settimeout(PATIENCE_SECONDS)
            if client.recv(8, socket.MSG_WAITALL) != _TLS_REQUEST:
                self.clear += 1
                return
            client.sendall(b"S")
            with self._context.wrap_socket(client, server_side=True) as carried:
                self.carried += 1
                with socket.create_connection(("127.0.0.1", self._server)) as server:
                    self._relay(carried, server)

    def _relay(self, carried: ssl.SSLSocket, server: socket.socket) -> None:
        """Relay in one thread, since two threads may not use a TLS socket at once."""
        while not self._closing.is_set():
            ready = [carried] if carried.pending() else select.select([carried, server], [], [], 0.1)[0]
            for one in ready:
                data = one.recv(65536)
                if not data:
                    return
                (server if one is carried else carried).sendall(data)

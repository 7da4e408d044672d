"""The pipes of a program: its standard input is fed, its output is drained. Both belong to the loop."""

import asyncio
import os

_CHUNK = 64 * 1024  #: bytes of one read or write


class Feeder:
    """Writes standard input as fast as the program reads. The program may close it early."""

    def __init__(self, fd: int, data: bytes) -> None:
        self._fd = fd
        self._data = memoryview(data)
        self._registered = False
        self.closed = False
        os.set_blocking(fd, False)

    def start(self) -> None:
        """Write whenever there is room, until all is written."""
        self._registered = True
        asyncio.get_running_loop().add_writer(self._fd, self.write)

    def write(self) -> None:
        """Write as much as there is room for."""
        try:
            while self._data:
                self._data = self._data[os.write(self._fd, self._data[:_CHUNK]) :]
        except BlockingIOError:
            return
        except OSError:
            pass  # the program has closed its input
        self.close()

    def close(self) -> None:
        """Close the pipe, so that the program sees the end of its input."""
        if self.closed:
            return
        self.closed = True
        if self._registered:
            asyncio.get_running_loop().remove_writer(self._fd)
        os.close(self._fd)


class Drain:
    """Reads all output and keeps the end of it."""

    def __init__(self, fd: int, limit: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._fd = fd
        self._limit = limit
        self._kept = bytearray()
        self._eof: asyncio.Future[None] = self._loop.create_future()
        self._open = True
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    @property
    def output(self) -> bytes:
        """The end of what was read."""
        return bytes(self._kept[-self._limit :])

    def _read(self) -> None:
        try:
            part = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        if not part:
            self.close()
            return
        self._kept += part
        if len(self._kept) > 2 * self._limit:
            del self._kept[: -self._limit]

    async def ended(self, timeout: float) -> None:  # noqa: ASYNC109 - not being done by then is no error
        """Wait until all processes have closed the other end."""
        if self._open:
            self._read()  # usually only the end of file is left
        if self._open:
            await asyncio.wait([self._eof], timeout=timeout)

    def close(self) -> None:
        """Stop reading."""
        if self._open:
            self._open = False
            self._loop.remove_reader(self._fd)
            if not self._eof.done():
                self._eof.set_result(None)

"""A request's body while it arrives: in memory up to a limit, then in a temporary file."""

import contextlib
import tempfile
from typing import IO

from router.http.limits import BODY_MEMORY


class Body:
    """Belongs to one thread at a time."""

    __slots__ = ("_file", "_parts", "size")

    def __init__(self) -> None:
        self.size = 0  #: bytes that have arrived
        self._parts: bytes | bytearray = b""
        self._file: IO[bytes] | None = None

    def add(self, data: bytes) -> None:
        """Append. Raises OSError when the temporary file has no room."""
        self.size += len(data)
        if self._file is not None:
            self._file.write(data)
        elif not self._parts:
            self._parts = data  # most bodies come in one piece
        else:
            if isinstance(self._parts, bytes):
                self._parts = bytearray(self._parts)
            self._parts += data
        if self._file is None and self.size > BODY_MEMORY:
            self._file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - it is closed with the body
            self._file.write(self._parts)
            self._parts = b""

    def take(self) -> bytes:
        """Return the whole body and empty this object. Raises OSError."""
        file = self._file
        if file is None:
            found, self._parts = self._parts, b""
            return found if isinstance(found, bytes) else bytes(found)
        file.seek(0)
        content = file.read()
        self.close()
        return content

    def close(self) -> None:
        """Free the memory and the file."""
        self._parts = b""
        if self._file is not None:
            with contextlib.suppress(OSError):
                self._file.close()
            self._file = None

"""Bodies in other charsets: edited as UTF-8 and written back in their charset."""

from dataclasses import dataclass

from router.payload.charset import decoded


@dataclass(frozen=True, slots=True)
class Codec:
    """How a body was decoded."""

    name: str  #: Python's name of the charset
    mark: bytes = b""  #: the byte order mark before the text
    exact: bool = True  #: whether encoding gives the same bytes again

    def encoded(self, text: bytes) -> bytes:
        """The edited text in the body's charset. It stays in UTF-8 if some bytes were invalid in the charset."""
        return self.mark + text.decode().encode(self.name) if self.exact else text


def recoded(body: bytes, charset: str, mark: bytes = b"") -> tuple[bytes, Codec]:
    """The text in UTF-8, and how to encode it again."""
    plain = body[len(mark) :]
    text = decoded(plain, charset)
    try:
        exact = text.encode(charset) == plain
    except UnicodeEncodeError:
        exact = False
    return text.encode(), Codec(charset, mark, exact)

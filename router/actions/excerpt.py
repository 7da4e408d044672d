"""The part of a response or of a program's output that is stored with the attempt."""

LENGTH = 1024  #: bytes


def excerpt(data: bytes, length: int = LENGTH, *, end: bool = False) -> str:
    """The beginning (or, with `end`, the end) as text. Control characters are replaced, since a terminal would obey
    them."""
    part = data[-length:] if end else data[:length]
    text = part.decode(errors="replace")
    # true for most texts; a check of each character takes far longer
    if text.replace("\n", "").replace("\t", "").isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else "\N{REPLACEMENT CHARACTER}" for c in text)

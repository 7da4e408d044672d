"""Finds dot segments in a URL's path, also those that a server sees only after it has decoded the path.

A value that a template fills in is percent-encoded once, so a server that decodes once has the value again. Many decode
once or twice more (a proxy, then a framework), split at `\\` as at `/`, drop `;parameters`, or read old and wide
spellings of a dot. `/a/..%2Fadmin` is then `/admin`. This module reads a path as the most lenient of them.
"""

import re
import unicodedata
from urllib.parse import unquote_to_bytes

DECODINGS = 3  #: every server decodes once; two more for servers behind it

# UTF-8 that is longer than it has to be (RFC 3629, section 3): C0 AE is a dot for a careless decoder. Such decoders
# often look at the last six bits alone, so any byte may follow.
_OVERLONG = re.compile(rb"[\xc0\xc1].|\xe0[\x80\x81].|\xf0\x80[\x80\x81].|\xf8\x80\x80[\x80\x81].", re.DOTALL)
_SIXTEEN_BITS = re.compile(r"%u([0-9A-Fa-f]{4})")  # how old servers of Microsoft write a character
_SPLIT = re.compile(r"[/\\]")
# Parameters, which servlet containers cut off (RFC 3986, section 3.3); or a path's end, once it is decoded and sent on.
_REST = re.compile(r"[;?#].*", re.DOTALL)
# Compatible forms (NFKC) give most of what a server may take for a dot or a slash; these they leave alone.
_ALIKE = str.maketrans(
    {
        "\u3002": ".",  # ideographic full stop
        "\u2215": "/",  # division slash
        "\u2044": "/",  # fraction slash
        "\u29f8": "/",  # big solidus
        "\u2571": "/",  # a diagonal of box drawings
        "\u2216": "\\",  # set minus
        "\u29f5": "\\",  # reverse solidus operator
    }
)
_IGNORED = ("Cc", "Cf", "Zs", "Zl", "Zp")  #: blanks and what can't be seen, which some servers drop


def escapes(path: str) -> str:
    """What in a percent-encoded path might lead elsewhere; empty when nothing does."""
    for _ in range(1 + DECODINGS):
        if any(_is_dots(segment) for segment in _SPLIT.split(_folded(path))):
            return "a . or .. segment"
        if any(unicodedata.category(c) == "Cc" for c in path):
            return "a control character"
        decoded = _decoded(path)
        if decoded == path:
            break
        path = decoded
    return ""


def _is_dots(segment: str) -> bool:
    segment = _REST.sub("", segment)
    if not segment.isascii() or not segment.isprintable() or " " in segment:
        segment = "".join(c for c in segment if unicodedata.category(c) not in _IGNORED)
    return segment in (".", "..")


def _folded(path: str) -> str:
    return path if path.isascii() else unicodedata.normalize("NFKC", path).translate(_ALIKE)


def _decoded(path: str) -> str:
    path = _folded(path)
    if "%" not in path:
        return path
    path = _SIXTEEN_BITS.sub(lambda found: chr(int(found[1], 16)), path)
    data = unquote_to_bytes(path.encode("utf-8", "surrogatepass"))
    return _OVERLONG.sub(_shortened, data).decode("utf-8", "replace")


def _shortened(found: re.Match[bytes]) -> bytes:
    """The ASCII character that an overlong form stands for."""
    lead, last = found[0][-2], found[0][-1]
    return bytes([(lead & 1) << 6 | last & 0x3F])

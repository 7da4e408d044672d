r"""Finds dot segments in a URL's path, including those that a server sees only after it has decoded the path.

A template percent-encodes its values once, so a server that decodes once gets the value back. Many servers decode two
or three times (a proxy, then a framework), split at `\` as at `/`, drop `;parameters`, or accept old and wide spellings
of a dot. They read `/a/..%2Fadmin` as `/admin`. This module reads a path as the most lenient of them does.
"""

import re
import unicodedata
from urllib.parse import unquote_to_bytes

DECODINGS = 3  #: every server decodes once; up to two more servers may stand behind it

# Overlong UTF-8 (RFC 3629, section 3): a careless decoder reads C0 AE as a dot. Such decoders often look at the last
# six bits alone, so any byte may follow.
_OVERLONG = re.compile(rb"[\xc0\xc1].|\xe0[\x80\x81].|\xf0\x80[\x80\x81].|\xf8\x80\x80[\x80\x81].", re.DOTALL)
_SIXTEEN_BITS = re.compile(r"%u([0-9A-Fa-f]{4})")  # how old Microsoft servers write a character
_SPLIT = re.compile(r"[/\\]")
# Servlet containers cut off parameters (RFC 3986, section 3.3). A decoded `?` or `#` ends the path when it is sent on.
_REST = re.compile(r"[;?#].*", re.DOTALL)
# NFKC folds most characters that a server may read as a dot or a slash. It leaves these.
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
_IGNORED = ("Cc", "Cf", "Zs", "Zl", "Zp")  #: blanks and invisible characters, which some servers drop


def escapes(path: str) -> str:
    """What in a percent-encoded path might lead to another place; empty when there is nothing."""
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
    """The ASCII character that an overlong form means."""
    lead, last = found[0][-2], found[0][-1]
    return bytes([(lead & 1) << 6 | last & 0x3F])

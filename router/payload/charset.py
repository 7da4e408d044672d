"""The charset that a Content-Type names, if it is one that senders use."""

import re
from encodings.aliases import aliases

UTF_8 = "utf_8"

_CHARSET = re.compile(r';\s*charset\s*=\s*"?([A-Za-z0-9_.:-]+)', re.IGNORECASE)
# Other codecs are not charsets, take quadratic time (punycode), or decode to half surrogate pairs (utf-7).
_TEXT_CODEC = re.compile(
    r"utf_8|utf_(16|32)(_[bl]e)?|ascii|latin_1|iso8859_\d+|cp\d+|koi8_[rtu]|shift_jis\w*|euc_\w+|gbk|gb2312|gb18030"
    r"|big5\w*"
)
_WITHOUT_ALIAS = ("cp720", "cp737", "cp856", "cp874", "cp875", "cp1006", "koi8_r", "koi8_t", "koi8_u")
_BY_NAME = {
    name: codec
    for name, codec in (*aliases.items(), *((codec, codec) for codec in (*aliases.values(), *_WITHOUT_ALIAS)))
    if _TEXT_CODEC.fullmatch(codec)
}
_SYNTAX = b"a=%+&"  #: the characters that structure a form


def charset_of(content_type: str | None) -> str:
    """Python's name of the charset; UTF-8 if the header names none, or an unknown one.

    The name is not looked up in Python's registry, whose cache keeps every name forever.
    """
    found = _CHARSET.search(content_type or "")
    if found is None:
        return UTF_8
    return codec_of(found[1]) or UTF_8


def codec_of(name: str) -> str | None:
    """Python's name of a charset; None for an unknown one."""
    return _BY_NAME.get(re.sub(r"[^a-z0-9]+", "_", name.lower()))


def says_utf_8(content_type: str) -> bool:
    """Whether the header means UTF-8, by its charset or without one."""
    found = _CHARSET.search(content_type)
    if found is None:
        return "charset" not in content_type.partition(";")[2].lower()
    return _BY_NAME.get(re.sub(r"[^a-z0-9]+", "_", found[1].lower())) in (UTF_8, "ascii")


def decoded(data: bytes, charset: str) -> str:
    """The text, with U+FFFD for bytes that are invalid in the charset."""
    return data.decode(charset, errors="replace")


def holds_ascii(charset: str) -> bool:
    """Whether ASCII characters are the same bytes in the charset; false for UTF-16 and EBCDIC."""
    return _SYNTAX.decode(charset, errors="replace") == _SYNTAX.decode()

"""The text that a sender signs, as in the option `signed`: constant text, and words for parts of the request."""

import difflib
import re
from dataclasses import dataclass

from router.domain.request import Inbound
from router.intake.verify.headers import check_header, one_header
from router.plugins.build import Build
from router.plugins.scheme import SignedParts, Unverified

WORDS = ("timestamp", "body", "url", "method")
_HEADER = "header:"
_KNOWN = re.compile(r"\{(timestamp|body|url|method|header:[^{}]*)\}")
_ANY_WORD = re.compile(r"\{([^{}\"']+)\}")  #: JSON around a word is constant text


@dataclass(frozen=True, slots=True)
class Message:
    """A compiled `signed`."""

    parts: tuple[tuple[str, bytes], ...]  #: (word, nothing), or (nothing, constant bytes)
    url: bytes = b""  #: the webhook's public URL, as the provider was told

    @classmethod
    def of(cls, text: str, url: str | None = None) -> "Message":
        """Compile a text whose words are all known."""
        pieces = _KNOWN.split(text)  # constant, word, constant …
        parts = [(piece, b"") if i % 2 else ("", piece.encode()) for i, piece in enumerate(pieces) if piece]
        return cls(tuple(parts), (url or "").encode())

    @property
    def headers(self) -> tuple[str, ...]:
        """Names of the headers that are signed."""
        return tuple(word.removeprefix(_HEADER) for word, _ in self.parts if word.startswith(_HEADER))

    @property
    def constants(self) -> bytes:
        """The constant text that every message holds."""
        return b"".join(text for _, text in self.parts)

    def coverage(self, timestamp_header: str | None) -> SignedParts:
        """What a signature of this message covers besides the body."""
        words = {word for word, _ in self.parts}
        timed = {timestamp_header} if timestamp_header and "timestamp" in words else set()
        headers = frozenset(name.lower() for name in {*self.headers, *timed})
        return SignedParts(headers, query="url" in words, method="method" in words)

    def filled(self, inbound: Inbound, timestamp: str) -> bytes | Unverified:
        """The bytes that the sender signed. A signed header that is missing or repeated is refused."""
        if self.parts == _BODY:
            return inbound.body
        filled: list[bytes] = []
        for word, constant in self.parts:
            found = constant if not word else self._value(word, inbound, timestamp)
            if isinstance(found, Unverified):
                return found
            filled.append(found)
        return b"".join(filled)

    def _value(self, word: str, inbound: Inbound, timestamp: str) -> bytes | Unverified:
        if word == "body":
            return inbound.body
        if word == "timestamp":
            return timestamp.encode()
        if word == "method":
            return inbound.method.encode()
        if word == "url":
            return self.url + (f"?{inbound.query}".encode() if inbound.query else b"")
        value = one_header(inbound, word.removeprefix(_HEADER))
        return value if isinstance(value, Unverified) else value.encode()


_BODY = (("body", b""),)


def check_message(text: str, build: Build, *, timed: bool, url: str | None, written: bool) -> None:
    """Report what is wrong with a `signed`.

    `timed`: the sender sends a time. `written`: `signed` comes from the file itself.
    """
    for word in dict.fromkeys(_ANY_WORD.findall(text)):
        if word.startswith(_HEADER):
            check_header(word.removeprefix(_HEADER), build, "signed")
        elif word not in WORDS:
            build.fault_unless_recorded(f"{{{word[:40]}}} is not a word of signed; {_cure(word)}", "signed")
    if "{body}" not in text:
        build.fault("{body} must be signed; otherwise anybody could change it", "signed")
    if ("{timestamp}" in text) != timed:
        build.fault("{timestamp} in signed and timestamp_header go together", "signed" if written else "header")
    if "{url}" in text and url is None:
        build.fault_unless_recorded(
            "{url} in signed needs url: the webhook's public URL as the provider was told, without its query", "signed"
        )
    if url is not None:
        _check_url(text, url, build)


def _check_url(text: str, url: str, build: Build) -> None:
    if not re.fullmatch(r"https?://[!-~]+", url) or "?" in url or "#" in url:
        build.fault("expected the webhook's public URL such as https://hooks.example.com/hooks/square, no query", "url")
    elif "{url}" not in text:
        build.fault("url needs {url} in signed", "url")


def _cure(word: str) -> str:
    near = difflib.get_close_matches(word.strip().lower()[:20], WORDS, 1)
    if near:
        return f"did you mean {{{near[0]}}}?"
    return f"there are {', '.join(f'{{{name}}}' for name in WORDS)} and {{header:NAME}}"


def signed_words(text: str) -> frozenset[str]:
    """The words in a `signed`."""
    return frozenset(f"{{{word}}}" for word in _KNOWN.findall(text))

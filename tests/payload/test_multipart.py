"""multipart/form-data becomes a mapping of fields, which are texts, and files, which are described."""

import time
from collections.abc import Iterator

import pytest

from router.domain.errors import PayloadError
from router.payload.body import Format, honest_headers, read_declared, read_signed
from router.payload.multipart import MAX_PARTS, boundary_of

TYPE = "multipart/form-data; boundary=xyz"


def part(text: str, *headers: str) -> bytes:
    return "\r\n".join(["--xyz", *headers, "", text, ""]).encode()


def field(name: str, text: str) -> bytes:
    return part(text, f'Content-Disposition: form-data; name="{name}"')


FILE = part("GIF89a…", 'Content-Disposition: form-data; name="thumb"; filename="a b.gif"', "Content-Type: image/gif")
BODY = field("to", "ann@example.com") + field("tag", "x") + field("tag", "y") + FILE + b"--xyz--\r\n"
FOUND = {
    "to": "ann@example.com",
    "tag": ["x", "y"],
    "thumb": {"filename": "a b.gif", "content_type": "image/gif", "size": 9},
}


@pytest.mark.parametrize("content_type", [TYPE, 'Multipart/Form-Data; charset=utf-8; boundary="xyz"'])
def test_parts_become_a_mapping(content_type: str) -> None:
    found = read_declared(BODY, content_type)

    assert (found.format, found.payload, found.texts) == (Format.MULTIPART, FOUND, True)


@pytest.mark.parametrize(
    "content_type", [TYPE, "multipart/form-data; boundary=to", "text/plain", "application/json", None]
)
def test_signed_multipart_is_recognized_by_its_bytes(content_type: str | None) -> None:
    assert read_signed(BODY, content_type).payload == FOUND
    assert boundary_of(BODY) == "xyz"


def test_a_content_type_with_another_boundary_is_corrected() -> None:
    def honest(declared: str) -> str:
        given = (("Content-Type", declared),)
        return dict(honest_headers(given, [declared], Format.MULTIPART, BODY))["Content-Type"]

    assert honest(TYPE) == TYPE
    assert honest("multipart/form-data; boundary=to") == 'multipart/form-data; boundary="xyz"'
    assert honest("application/x-www-form-urlencoded") == 'multipart/form-data; boundary="xyz"'


def test_json_in_a_field_becomes_the_payload() -> None:
    body = field("payload", '{"event": "media.play"}') + FILE + b"--xyz--\r\n"

    for read in (read_declared, read_signed):
        found = read(body, TYPE, json_field="payload")
        assert (found.payload, found.texts) == ({"event": "media.play"}, False)
        with pytest.raises(PayloadError, match="the JSON in the form is not valid JSON"):
            read(field("payload", "{") + b"--xyz--", TYPE, json_field="payload")


@pytest.mark.parametrize(
    "body",
    [
        b"--xyz",
        b"plain",
        field("a", "1"),
        field("a", "1") + b"--xy--",
        part("1") + b"--xyz--",
        part("1", "Content-Disposition: attachment") + b"--xyz--",
        b"--xyz\nContent-Disposition: form-data; name=a\n\n1\n--xyz--",
    ],
)
def test_a_broken_body_that_is_declared_as_multipart_is_refused(body: bytes) -> None:
    with pytest.raises(PayloadError):
        read_declared(body, TYPE)
    assert read_declared(body, TYPE, bounded=False).format is Format.TEXT
    assert read_signed(body, "text/plain").format is Format.TEXT


@pytest.mark.parametrize(
    "content_type", ["multipart/form-data", "multipart/form-data; boundary=", f'{TYPE[:-3]}"{"x" * 80}"']
)
def test_multipart_without_a_boundary_is_refused(content_type: str) -> None:
    with pytest.raises(PayloadError, match="not valid multipart/form-data"):
        read_declared(b"x", content_type)


def _bombs() -> Iterator[bytes]:
    yield from (
        field("a", "1") * (MAX_PARTS + 1) + b"--xyz--",
        field("a", "1") * 200_000 + b"--xyz--",
        part("1", *['Content-Disposition: form-data; name="a"'] * 1000) + b"--xyz--",
        part("1", "Content-Disposition: form-data; name=" + "a" * 1_000_000) + b"--xyz--",
        b"--xyz\r\n" * 1_000_000,
        field("a", "\r\n--xy" * 600_000),
        field("a", "\r" * 4_000_000),
        b"\r\n--xy" * 600_000,
        b"--xyz\r\n" + b"a" * 4_000_000,
        b"--" + b"x" * 4_000_000,
        b"--xyz\r\n" + b"a\r\n" * 1_000_000,
    )


def test_a_bomb_of_any_kind_is_refused_in_bounded_time() -> None:
    for bomb in _bombs():
        began = time.process_time()
        with pytest.raises(PayloadError):
            read_declared(bomb, TYPE)
        try:
            found = read_signed(bomb, TYPE)
        except PayloadError:
            found = None

        assert found is None or found.format is Format.TEXT, bomb[:100]
        assert time.process_time() - began < 10, bomb[:100]


def test_a_large_file_is_described_and_its_content_is_not_kept() -> None:
    body = part("x" * 4_000_000, 'Content-Disposition: form-data; name="f"; filename="f"') + b"--xyz--"

    assert read_declared(body, TYPE).payload == {"f": {"filename": "f", "content_type": "", "size": 4_000_000}}

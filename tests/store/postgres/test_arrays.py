"""Values that are sent to PostgreSQL as arrays arrive unchanged."""

from contextlib import closing
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.store.postgres.arrays import Blobs, Column, Numbers, Texts, Uuids, restored, stored
from router.store.postgres.connection import connect
from router.store.postgres.url import parse_url
from tests.conftest import examples


@pytest.mark.parametrize(
    ("column", "type_"),
    [
        (Texts([]), "text"),
        (Texts(["a", None, "", "é\n\\,{}\"'"]), "text"),
        (Numbers([0, None, -(2**63), 2**63 - 1]), "bigint"),
        (Blobs([b"", b"\x00\xff", b"x" * 100_000]), "bytea"),
        (Uuids([UUID(int=0), None, UUID(int=2**128 - 1)]), "uuid"),
    ],
)
def test_the_server_reads_back_the_same_values(postgres_url: str, column: Column, type_: str) -> None:
    with closing(connect(parse_url(postgres_url))) as connection:
        sql = f"SELECT * FROM unnest(%b::{type_}[])".encode()
        found = [value for (value,) in connection.execute(sql, (column,), binary=True)]

    assert found == column.values


@given(st.text())
@examples(200)
def test_any_text_can_be_stored(text: str) -> None:
    assert "\0" not in stored(text)
    assert restored(stored(text)) == text


@given(st.text("a\0\ufdd0\ufdd10"))
@examples(200)
def test_texts_with_nul_and_with_escapes_stay_different(text: str) -> None:
    assert restored(stored(text)) == text

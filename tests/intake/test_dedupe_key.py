"""Dedupe keys: what is stored of them, and how they are found again."""

from router.intake.dedupe_key import hashed_key, stored_key
from router.operate.queries import keys_of


def test_an_id_is_found_as_text_as_number_and_redacted() -> None:
    keys = keys_of("4111")

    assert keys == ('"4111"', "4111", hashed_key('"4111"'), hashed_key("4111"))
    assert keys_of("a" * 300) == (stored_key("a" * 300),)

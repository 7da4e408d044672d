"""docs/architecture.md names files and rooms that exist."""

import re
from pathlib import Path

from tests.test_imports import ROOMS

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "architecture.md").read_text()


def test_every_file_that_the_page_names_exists() -> None:
    named = set(re.findall(r"`((?:router|tests|docs)/[\w./-]*|CHANGELOG\.md)`", PAGE))

    assert len(named) > 60
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_the_page_lists_the_rooms_in_the_order_of_imports() -> None:
    rows = re.findall(r"^\| `router/(\w+)/` \|", PAGE, flags=re.MULTILINE)

    assert rows == list(ROOMS)


def test_an_event_passes_few_modules() -> None:
    journey = PAGE.partition("## The journey of an event")[2].partition("## ")[0]

    assert 15 < len(set(re.findall(r"`(router/[\w/]+\.py)`", journey))) <= 25

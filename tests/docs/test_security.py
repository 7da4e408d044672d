"""docs/security.md names tests that exist."""

import re
from pathlib import Path

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
TABLE = PAGE.partition("## What was tried")[2]


def test_every_attack_names_an_existing_test_or_is_marked_as_untested() -> None:
    rows = [line for line in TABLE.splitlines() if line.startswith("| ") and not line.startswith("| attack")]

    assert len(rows) > 50
    for row in rows:
        named = re.findall(r"`([\w/]+\.py)(?:::(\w+))?`", row)
        assert named or row.endswith("not held |"), row
        for file, test in named:
            assert (TESTS / file).is_file(), row
            assert not test or f"def {test}(" in (TESTS / file).read_text(), row

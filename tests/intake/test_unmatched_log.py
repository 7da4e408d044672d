"""Unmatched events are logged at a limited rate and without their values."""

from typing import Any

from router.intake.unmatched_log import EVERY_MS, UnmatchedLog
from tests.rules.match.strategies import event
from tests.rules.match.test_index import only

RULES = only({"$.a": 1, "$.token": "hush"})


def _lines(*received_at: int, source: str = "s", log: UnmatchedLog | None = None) -> list[dict[str, Any]]:
    log = log or UnmatchedLog()
    found = []
    for at in received_at:
        parsed = event({"a": 1, "token": "shh"}, received_at=at, source=source)
        found.append(log.note(RULES, parsed.event, parsed if log.is_due(parsed.event) else None))
    return [fields for fields in found if fields]


def test_an_unmatched_event_logs_the_closest_rule_and_its_failing_condition() -> None:
    (line,) = _lines(1000)

    assert line == {"closest": "r0", "fails": "$.token: equals", "held": "1 of 2", "unmatched_since": 0}


def test_unmatched_events_of_a_busy_source_are_logged_at_a_limited_rate_with_a_count() -> None:
    lines = _lines(1000, 1001, 1002, 1000 + EVERY_MS)

    assert [line["unmatched_since"] for line in lines] == [0, 2]


def test_each_source_has_its_own_log_limit() -> None:
    log = UnmatchedLog()

    assert len(_lines(1000, log=log) + _lines(1000, log=log, source="t")) == 2
    assert "closest" not in _lines(1000, source="t")[0]

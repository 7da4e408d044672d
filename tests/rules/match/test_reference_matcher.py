"""Compiled conditions have the same verdicts as the reference implementation."""

from typing import Any

from hypothesis import given, seed, settings
from hypothesis import strategies as st

from router.domain.errors import EvaluationError
from router.domain.events import ParsedEvent
from router.rules.compile.match import COMBINATORS
from router.rules.match.fields import FieldValues
from router.rules.match.operators import OPERATORS
from tests.conftest import examples
from tests.rules.match.reference_matcher import holds
from tests.rules.match.strategies import EVENTS, MATCHES, Match, words
from tests.rules.match.test_index import compiled


def _verdict(match: Match, parsed: ParsedEvent) -> bool | None:
    try:
        return compiled(match).holds(FieldValues(parsed))
    except EvaluationError:
        return None


@examples(90)
@given(match=MATCHES, events=st.lists(EVENTS, min_size=1, max_size=4))
def test_conditions_match_the_reference_implementation(match: Match, events: list[ParsedEvent]) -> None:
    for parsed in events:
        specified, answered = holds(match, parsed), _verdict(match, parsed)

        # A failing path is an error, unless the verdict was decided before the path was followed.
        assert answered == specified or (answered is None and _fails(match, parsed)), (match, parsed.payload)


def _fails(match: Any, parsed: ParsedEvent) -> bool:
    """Whether the condition has a path that can fail on the event."""
    return any("`" in word for word in words(match))


def test_the_generator_uses_every_operator() -> None:
    seen: set[str] = set()

    @seed(1)  # the same examples whatever the source of this test
    @settings(max_examples=150)
    @given(match=MATCHES)
    def collect(match: Match) -> None:
        seen.update(words(match))

    collect()

    assert {
        *OPERATORS,
        *COMBINATORS,
        "age",
        "equals_field",
        "time",
        "weekday",
        "params",
        "exists",
        "every",
        "elem",
        "ignore_case",
        "headers",
        "query",
    } <= seen
    assert {"source", "method", "path", "ip", "$..a", "$.a.`sorted`"} <= seen

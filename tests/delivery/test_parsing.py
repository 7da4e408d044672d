"""Events are parsed for attempts: once for all items of an event, and with the names of the parts of its path."""

from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.delivery.parsing import KEPT_BODY, EventParser
from router.domain.errors import RenderError
from router.domain.events import Event
from router.rules.compile.loader import Loader
from router.rules.source import Source


def _source(path: str) -> Source:
    text = f'sources: {{s: {{verify: none, parse: json, path: "{path}"}}}}\nunmatched: [append: x]\n'
    return Loader(REGISTRIES, {}).load(text, "rules.yaml", Path("/nowhere")).require().sources["s"]


def _event(id_: str = "e", body: bytes = b'{"a": [1]}') -> Event:
    return Event(id_, "s", "POST", "/in/pay", "", (), body, "", 0)


def test_the_items_of_an_event_share_its_payload() -> None:
    parser, source = EventParser(), _source("/in/{team}")

    first, second = (parser.parse(_event(), source, source, has_item=True) for _ in range(2))

    assert first is second
    assert parser.parse(_event("other"), source, source, has_item=True) is not first
    assert parser.parse(_event(), _source("/in/{team}"), source, has_item=True) is not first


@pytest.mark.parametrize(("has_item", "body"), [(False, b"{}"), (True, b'"' + b"x" * KEPT_BODY + b'"')])
def test_a_large_payload_or_one_without_items_is_parsed_for_each_attempt(*, has_item: bool, body: bytes) -> None:
    parser, source = EventParser(), _source("/in/{team}")

    first, second = (parser.parse(_event(body=body), source, source, has_item=has_item) for _ in range(2))

    assert first is not second


def test_parts_of_the_path_have_the_names_of_the_rules_that_planned_the_delivery() -> None:
    parsed = EventParser().parse(_event(), _source("/in/{squad}"), _source("/in/{team}"), has_item=False)

    assert parsed.params == {"team": "pay"}


def test_a_payload_that_can_not_be_parsed_is_an_error() -> None:
    with pytest.raises(RenderError, match="can't be parsed by the current settings"):
        EventParser().parse(_event(body=b"{"), _source("/in"), None, has_item=False)

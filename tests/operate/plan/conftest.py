"""A fixture with stored events, for plans of other rules."""

from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.daemon.registries import REGISTRIES
from router.domain.events import Event
from router.domain.filters import EventFilter
from router.domain.ids import uuid7
from router.operate.plan.report import PlanReport
from router.operate.plan.run import Plan
from router.rules.compile.loader import Loader
from router.rules.parsing import parse_event
from router.rules.ruleset import Ruleset
from router.store.contract import Store
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

NOW = 1_700_000_000_000
HEAD = "sources: {hub: {verify: none}}\ntargets: {ci: {url: 'http://ci.example'}}\n"

Rules = Callable[[str], Ruleset]


class Planned:
    """A store with events that were routed by some rules."""

    def __init__(self, store: SqliteStore, folder: Path) -> None:
        self.store: Store = store
        self.folder = folder
        self._loader = Loader(REGISTRIES, {"TOKEN": "planted-secret"}, require_secrets=False)
        self._count = 0

    def rules(self, text: str, folder: str = "") -> Ruleset:
        """Compile a rules file. It gets a source and a target unless it has its own."""
        text = text if "sources:" in text else HEAD + text
        return self._loader.load(text, "rules.yaml", self.folder / folder).require()

    def receive(self, ruleset: Ruleset, *payloads: Any, headers: tuple[tuple[str, str], ...] = ()) -> list[str]:
        """Store events that are routed by these rules."""
        self.store.put_ruleset(ruleset.text, NOW).result(60)
        ids = []
        for payload in payloads:
            self._count += 1
            at = NOW + self._count
            body = payload if isinstance(payload, bytes) else orjson.dumps(payload)
            sent = (("Content-Type", "application/json"), *headers)
            event = Event(uuid7(at), "hub", "POST", "/hooks/hub", "", sent, body, "192.0.2.1", at)
            plan = ruleset.plan(parse_event(event, ruleset.sources["hub"]))
            appended = self.store.append(event, plan.deliveries, ruleset.hash, matched=plan.matched).result(60)
            ids.append(appended.event_id)
        return ids

    def plan(self, before: Ruleset | None, after: Ruleset, **given: Any) -> PlanReport:
        """Compare the plans of all events. Without `before` the first plan is by the rules that routed each event."""
        report = PlanReport(samples=given.pop("samples", 3))
        Plan(self.store, after, report, before, lambda text: self._loader.load_recorded(text).ruleset, **given).run(
            EventFilter()
        )
        return report


@pytest.fixture
def planned(tmp_path: Path) -> Iterator[Planned]:
    """An empty store."""
    with closing(open_store(tmp_path / "store.db")) as store:
        yield Planned(store, tmp_path)

"""Fixtures with a service that a test can script, and with polled sources."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import orjson
import pytest

from router.daemon.registries import REGISTRIES
from router.domain.polls import PollState
from router.intake.poll.spec import PollSpec
from router.operate.poll_source import PollReport, poll_once
from router.rules.compile.loader import Loader
from router.rules.ruleset import Ruleset
from router.store.sqlite.store import SqliteStore
from tests.polled_service import Service

NOW = 1_700_000_000_000


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service."""
    service = Service()
    yield service
    service.stop()


@pytest.fixture
def other_service() -> Iterator[Service]:
    """A second running service at another port."""
    service = Service()
    yield service
    service.stop()


class Source:
    """A polled source with a store of its own. Each call of `poll` is one poll."""

    def __init__(self, folder: Path, store: SqliteStore, rules: str, environ: Mapping[str, str]) -> None:
        self.folder, self.store, self.environ = folder, store, environ
        self.now = NOW
        self.load(rules)

    def load(self, rules: str) -> None:
        """Load and use other rules."""
        self.ruleset: Ruleset = Loader(REGISTRIES, self.environ).load(rules, "rules.yaml", self.folder).require()

    def poll(self, *, dry: bool = False) -> PollReport:
        """Poll once. Raises PollError."""
        source = self.ruleset.sources["s"]
        assert isinstance(source.poll, PollSpec)
        return poll_once(self.store, self.ruleset, source, source.poll, self.now, dry=dry)

    def payloads(self, *, dry: bool = False) -> list[Any]:
        """Poll once. Return the payloads of the new events."""
        return [orjson.loads(one.event.body) for one in self.poll(dry=dry).events]

    @property
    def state(self) -> PollState:
        """The state of the source in the store."""
        [state] = self.store.polls()
        return state


RULES = """
secrets: {{token: {{env: TOKEN}}}}
sources:
  s: {{{more}poll: {{{poll}}}}}
rules:
  - name: all
    actions: [append: all.jsonl]
"""


@pytest.fixture
def source(tmp_path: Path, service: Service) -> Iterator[Callable[..., Source]]:
    """Return a function that makes a source of the service. It takes the keys of `poll` as YAML in flow style."""
    with closing(SqliteStore(tmp_path / "store.db")) as store:

        def make(poll: str = "", *, more: str = "", url: str = "", **environ: str) -> Source:
            text = ", ".join(part for part in (f'url: "{url or service.url + "/jobs"}"', poll) if part)
            rules = RULES.format(more=more, poll=text)
            return Source(tmp_path, store, rules, {"TOKEN": "a-long-secret", **environ})

        yield make

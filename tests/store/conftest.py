"""Fixtures that open empty stores, and make events and planned deliveries."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from router.domain.deliveries import PlannedDelivery, RulesetText
from router.domain.events import Event
from router.store.contract import Store
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from router.store.sqlite.store import SqliteStore
from tests.sqlite_template import open_store

NOW = 1_700_000_000_000
_numbers = itertools.count()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of the SQLite store."""
    return tmp_path / "store.db"


@pytest.fixture
def sqlite_store(path: Path) -> Iterator[SqliteStore]:
    """An empty SQLite store with the ruleset `r1`."""
    with closing(open_store(path)) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(60)
        yield store


@pytest.fixture
def postgres_store(postgres_store_url: str) -> Iterator[PostgresStore]:
    """An empty PostgreSQL store with the ruleset `r1`."""
    with closing(PostgresStore(parse_url(postgres_store_url))) as store:
        store.put_ruleset(RulesetText("r1", "rules: []", "/etc"), NOW).result(60)
        yield store


@pytest.fixture(params=["sqlite_store", "postgres_store"])
def store(request: pytest.FixtureRequest) -> Store:
    """An empty store of each kind. To run these tests on another kind, add the name of its fixture above."""
    found: Store = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def event() -> Callable[..., Event]:
    """Return a function that makes an event."""

    def make(**given: Any) -> Event:
        defaults: dict[str, Any] = {
            "id": f"event-{next(_numbers):06}",
            "source": "github",
            "method": "POST",
            "path": "/hooks/github",
            "query": "a=1",
            "headers": (("X-A", "1"), ("X-A", "2"), ("X-B", "é")),
            "body": b'{"raw": "bytes \xc3\xa9"}',
            "ip": "192.0.2.1",
            "received_at": NOW,
        }
        return Event(**defaults | given)

    return make


@pytest.fixture
def planned_delivery() -> Callable[..., PlannedDelivery]:
    """Return a function that makes a planned delivery."""

    def make(target: str = "ci", **given: Any) -> PlannedDelivery:
        defaults: dict[str, Any] = {
            "id": f"delivery-{next(_numbers):06}",
            "rule": "deploy",
            "action": "forward",
            "type": "forward",
            "target": target,
        }
        return PlannedDelivery(**defaults | given)

    return make

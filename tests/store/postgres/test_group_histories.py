"""Groups on PostgreSQL: random histories of two nodes are compared with the same model as those of SQLite."""

import itertools

import pytest
from hypothesis import settings
from hypothesis.stateful import rule

from router.domain.deliveries import RulesetText
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.conftest import THOROUGH, number_of_examples
from tests.postgres import SharedStore
from tests.store.test_groups import Histories

NODES = 2


class HistoriesOfNodes(Histories):
    """Each step uses another node. Other tests cover what a crashed node leaves behind."""

    shared: SharedStore

    def open(self) -> None:
        url = parse_url(self.shared.url)
        self.nodes = [PostgresStore(url) for _ in range(NODES)]
        self.turns = itertools.cycle(self.nodes)
        self.nodes[0].put_ruleset(RulesetText("r1", "", ""), 0).result(60)
        for node in self.nodes:
            node.on_skipped(self.told.extend)

    @property
    def store(self) -> PostgresStore:  # type: ignore[override]
        """The store of the node whose turn it is."""
        found = next(self.turns)
        found.changed_by_others(alone=False)
        return found

    @rule()
    def crash(self) -> None:
        """The nodes connect again. Their attempts continue, since a claim stays valid as long as its token."""
        for node in self.nodes:
            node.close()
        self.open()

    def teardown(self) -> None:
        broken = [finding for finding in self.nodes[0].check(lambda *_: None) if finding.broken]
        for node in self.nodes:
            node.close()
        self.shared.empty()
        self.folder.cleanup()
        assert broken == []


HistoriesOfNodes.TestCase.settings = settings(
    max_examples=number_of_examples(8), stateful_step_count=20, deadline=None, derandomize=THOROUGH == 1
)


class TestHistoriesOfNodes(HistoriesOfNodes.TestCase):  # type: ignore[misc, valid-type]
    """See HistoriesOfNodes."""

    @pytest.fixture(autouse=True)
    def meet(self, postgres_store_url: str, _shared_store: SharedStore) -> None:
        """Give the histories the store that their nodes share."""
        assert _shared_store.url == postgres_store_url
        HistoriesOfNodes.shared = _shared_store

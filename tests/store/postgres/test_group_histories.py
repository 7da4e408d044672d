"""Groups on PostgreSQL: any history of two nodes is compared with the model that SQLite's is compared with."""

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
    """Each step by another node. What a node leaves that crashed is taken over: other tests hold that."""

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
        """The nodes connect anew. Their attempts go on, since a claim holds while its token does."""
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
        """Where the nodes meet."""
        assert _shared_store.url == postgres_store_url
        HistoriesOfNodes.shared = _shared_store

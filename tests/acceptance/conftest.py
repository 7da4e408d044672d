"""Fixtures for fleets on the PostgreSQL server that the tests of this process share."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.fleet import RULES, Fleet
from tests.conftest import Receiver
from tests.postgres import Server


@pytest.fixture
def fleet(tmp_path: Path, postgres_server: Server, receiver: Receiver) -> Iterator[Callable[..., Fleet]]:
    """Return a function that makes a fleet without nodes. URL in the rules becomes the receiver's URL."""
    made: list[Fleet] = []

    def make(rules: str = RULES, server: Server = postgres_server, **more: Any) -> Fleet:
        made.append(Fleet(tmp_path, server, rules.replace("URL", receiver.url), **more))
        return made[-1]

    yield make
    for one in made:
        one.close()

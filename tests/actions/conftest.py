"""Fixtures that make jobs, compile actions, and run one attempt."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.actions.registry import ACTIONS
from router.domain.deliveries import Claim, Delivery, State
from router.domain.events import Event, ParsedEvent
from router.domain.outcomes import Outcome
from router.domain.secrets import Secret
from router.plugins.action import Action, AttemptInput, Tools
from router.plugins.build import Build
from router.plugins.target import TargetSpec

NOW = 1_700_000_000_000
EVENT_ID = "018bcfe5-6800-7000-8000-000000000001"
DELIVERY_ID = "018bcfe5-6800-7000-8000-000000000002"


@pytest.fixture
def job() -> Callable[..., AttemptInput]:
    """Return a function that makes a job."""

    def make(
        payload: Any = None,
        *,
        secrets: Mapping[str, str] | None = None,
        item: tuple[str, int] | None = None,
        **given: Any,
    ) -> AttemptInput:
        defaults: dict[str, Any] = {
            "id": EVENT_ID,
            "source": "github",
            "method": "POST",
            "path": "/hooks/github",
            "query": "",
            "headers": (("X-GitHub-Event", "push"),),
            "body": json.dumps(payload).encode(),
            "ip": "192.0.2.1",
            "received_at": NOW,
        }
        event = Event(**defaults | given)
        delivery = Delivery(
            DELIVERY_ID, 1, event.id, "deploy", "act", "forward", "t", None, "h", State.RUNNING, NOW, 0, 0, None, NOW
        )
        if item is not None:
            delivery = replace(delivery, item=item[0], item_index=item[1])
        held = {name: Secret(name, value) for name, value in (secrets or {}).items()}
        return AttemptInput(Claim("token", delivery, event, 1), lambda: ParsedEvent(event, payload), held)

    return make


@pytest.fixture
def build(tmp_path: Path) -> Callable[..., Build]:
    """Return a function that makes a build."""

    def make(**given: Any) -> Build:
        targets = {name: TargetSpec(name, 16, None, url) for name, url in given.pop("targets", {}).items()}
        secrets = {name: Secret(name, value) for name, value in given.pop("secrets", {}).items()}
        return Build("deploy/act", tmp_path, targets, secrets, **given)

    return make


@pytest.fixture
def act(build: Callable[..., Build]) -> Callable[..., Action]:
    """Return a function that compiles an action without faults from its options."""

    def make(type_: str, options: dict[str, Any], **given: Any) -> Action:
        made = build(**given)
        action = ACTIONS[type_].compile(ACTIONS[type_].options.model_validate(options), made)
        for judge in made.at_end:
            judge()
        assert not [fault for fault in made.faults if fault.level == "error"], made.faults
        return action

    return make


@pytest.fixture
def faults(build: Callable[..., Build]) -> Callable[..., list[str]]:
    """Return a function that lists the faults of an action's options with their places."""

    def find(type_: str, options: dict[str, Any], **given: Any) -> list[str]:
        made = build(**given)
        ACTIONS[type_].compile(ACTIONS[type_].options.model_validate(options), made)
        for judge in made.at_end:
            judge()
        return [f"{'.'.join(map(str, fault.place))}: {fault.message}" for fault in made.faults]

    return find


@contextlib.asynccontextmanager
async def open_tools(action: Action) -> AsyncIterator[Tools[Any]]:
    """The resources that attempts of the action's type share, for the running loop."""
    async with ACTIONS[action.type].open_resources() as resources:
        yield Tools(resources)


@pytest.fixture
def attempt() -> Callable[..., Outcome]:
    """Return a function that makes one attempt, or several on the same connections, on a loop of its own."""

    def run(action: Action, *jobs: AttemptInput) -> Outcome:
        async def once() -> Outcome:
            async with open_tools(action) as tools:
                for one in jobs:
                    outcome = await action.attempt(one, tools)
            return outcome

        return asyncio.run(once())

    return run

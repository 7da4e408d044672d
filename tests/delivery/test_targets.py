"""What a node tells the fleet of its targets, and what it hears of them."""

import asyncio
import time
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import closing
from pathlib import Path
from typing import Any, cast

from router.daemon.registries import REGISTRIES
from router.delivery.due_targets import DueTargets
from router.delivery.fleet_side import FleetSide
from router.delivery.held_claims import HeldClaims
from router.delivery.targets import Targets
from router.rules.compile.loader import Loader
from router.rules.ruleset import CurrentRuleset
from router.runtime.lease import Lease
from router.runtime.loop_inbox import Inbox
from router.store.fleet import Share
from tests.sqlite_template import open_store

RULES = """
sources: {open: {verify: none}}
targets: {hook: {url: "http://127.0.0.1:1", concurrency: 4}}
rules: [{name: sent, actions: [{forward: {target: hook}}]}]
"""


def test_a_node_reports_slots_as_used_until_no_claim_can_use_them(tmp_path: Path) -> None:
    """Otherwise two nodes could begin attempts at once at a target with concurrency 1."""
    ruleset = Loader(REGISTRIES, {}).load(RULES, "rules.yaml", tmp_path).require()
    targets = Targets(CurrentRuleset(ruleset), cast("Any", None), lambda: 0, lambda *_: None)

    def held(claiming: Mapping[str, int]) -> int:
        return targets.wanted_shares(lambda _: True, lambda: claiming, sets_limits=True)["hook"][1]

    assert held({}) == 0
    targets.take_shares({"hook": Share(4, None, False)}, {})
    assert held({}) == 4  # a claim may begin an attempt at any time
    assert targets.get("hook", time.monotonic()).free(time.monotonic()) == 4
    targets.take_shares({"hook": Share(1, None, False)}, {})
    assert held({"hook": 3}) == 3  # it began before
    targets.get("hook", time.monotonic()).start()
    assert held({"hook": 3}) == 4
    assert held({}) == 1


def test_a_breaker_that_another_node_changed_makes_the_loop_look_at_once(tmp_path: Path) -> None:
    asyncio.run(_hears_of_breakers(tmp_path))


async def _hears_of_breakers(folder: Path) -> None:
    looks: list[bool] = []
    current = CurrentRuleset(Loader(REGISTRIES, {}).load(RULES, "rules.yaml", folder).require())
    with closing(open_store(folder / "store.db")) as store:
        targets = Targets(current, store, lambda: 0, lambda *_: None)
        side = FleetSide(
            HeldClaims(), targets, DueTargets(current, targets, ()), store, Lease(), lambda: looks.append(True)
        )
        inbox = Inbox()
        side.open(inbox)

        async def told(breakers: Mapping[str, str]) -> list[bool]:
            looks.clear()
            side.take_breakers(breakers, time.monotonic())
            await inbox.result(done())
            return looks

        def done() -> "Future[None]":
            future: Future[None] = Future()
            future.set_result(None)
            return future

        is_open = {"hook": '{"since": 0, "until": 60000}'}
        assert await told(is_open)
        assert not await told(is_open)
        assert await told({})

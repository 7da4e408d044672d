"""The slots that a node reports to the fleet as used."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from router.daemon.registries import REGISTRIES
from router.delivery.targets import Targets
from router.rules.compile.loader import Loader
from router.rules.ruleset import CurrentRuleset
from router.store.fleet import Share

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

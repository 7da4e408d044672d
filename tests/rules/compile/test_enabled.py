"""`enabled` and `paused` in a rules file: which rules don't match, which deliveries are held, and notes of `check`."""

from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.domain.events import Event, ParsedEvent
from router.domain.holds import HoldKind
from router.rules.compile.loader import Loaded, Loader
from router.rules.dry_run.preview import made_event, preview
from router.rules.ruleset import Plan, Ruleset


def loaded(text: str) -> Loaded:
    """Load rules with one open source."""
    return Loader(REGISTRIES, {}).load(f"sources: {{s: {{verify: none}}}}\n{text}", "rules.yaml", Path("/etc/rules"))


def planned(ruleset: Ruleset) -> Plan:
    """The plan of an event."""
    event = Event("e", "s", "POST", "/hooks/s", "", (), b"{}", "192.0.2.1", 0)
    return ruleset.plan(ParsedEvent(event, {}))


def test_a_disabled_rule_neither_matches_nor_stops() -> None:
    ruleset = loaded("""
rules:
  - {name: off, enabled: false, stop: true, actions: [append: a.jsonl]}
  - {name: on, actions: [append: b.jsonl]}
""").require()

    assert planned(ruleset).matched == ("on",)
    assert ruleset.holds == {(HoldKind.RULE, "off")}


def test_unmatched_runs_when_only_a_disabled_rule_would_match() -> None:
    ruleset = loaded(
        """
rules: [{name: off, enabled: false, actions: [append: a.jsonl]}]
unmatched: [append: u.jsonl, {name: no, append: v.jsonl, enabled: false}]
""".replace("[append: u.jsonl,", "[{append: u.jsonl},")
    ).require()

    assert [(d.rule, d.action) for d in planned(ruleset).deliveries] == [("unmatched", "append")]
    assert ruleset.holds == {(HoldKind.RULE, "off"), (HoldKind.ACTION, "unmatched/no")}


def test_a_rule_whose_actions_are_all_disabled_still_matches_and_stops() -> None:
    ruleset = loaded("""
rules:
  - {name: quiet, stop: true, actions: [{append: a.jsonl, enabled: false}]}
  - {name: on, actions: [append: b.jsonl]}
""").require()

    plan = planned(ruleset)

    assert (plan.matched, plan.deliveries) == (("quiet",), ())
    assert ruleset.holds == {(HoldKind.ACTION, "quiet/append")}


def test_an_event_is_planned_for_a_paused_target() -> None:
    ruleset = loaded("""
targets: {ci: {url: "http://127.0.0.1:9", paused: true}}
rules: [{name: on, actions: [forward: {target: ci}]}]
""").require()

    assert [d.target for d in planned(ruleset).deliveries] == ["ci"]
    assert ruleset.holds == {(HoldKind.TARGET, "ci")}


def test_enabled_true_and_paused_false_are_the_defaults() -> None:
    ruleset = loaded("""
targets: {ci: {url: "http://127.0.0.1:9", paused: false}}
rules: [{name: on, enabled: true, actions: [{forward: {target: ci}, enabled: true}]}]
""").require()

    assert len(planned(ruleset).deliveries) == 1
    assert not ruleset.holds


def test_check_notes_everything_that_is_disabled_or_paused_with_its_place() -> None:
    found = Loader(REGISTRIES, {}).load(
        "sources: {s: {verify: none}, t: {verify: none, enabled: false}}\n"
        'targets: {ci: {url: "http://127.0.0.1:9", paused: true}}\n'
        "rules:\n"
        "  - {name: r, source: s, enabled: false, actions: [forward: {target: ci}]}\n"
        "  - {name: q, source: t, actions: [{append: a.jsonl, enabled: false}]}\n",
        "rules.yaml",
        Path("/etc/rules"),
    )

    assert [str(problem) for problem in found.problems] == [
        "rules.yaml:1:57: note: sources.t.enabled: the source is disabled; requests to /hooks/t are answered 404",
        "rules.yaml:2:51: note: targets.ci.paused: the target is paused; its deliveries are held",
        'rules.yaml:4:35: note: rules[0] "r".enabled: the rule is disabled; deliveries that wait for it are held',
        'rules.yaml:5:63: note: rules[1] "q".actions[0].enabled: the action is disabled; '
        "deliveries that wait for it are held",
    ]


def test_a_disabled_rule_is_still_checked() -> None:
    found = loaded('rules: [{name: r, enabled: false, match: {$.a: {equal: 1}}, actions: [append: "{{"]}]')

    assert len([problem for problem in found.problems if problem.level is Level.ERROR]) == 2


def test_a_disabled_rule_that_stops_makes_no_rule_unreachable() -> None:
    found = loaded("""
rules:
  - {name: off, enabled: false, stop: true, actions: [append: a.jsonl]}
  - {name: on, actions: [append: b.jsonl]}
""")

    assert not found.warnings


@pytest.mark.parametrize("explained", [True, False])
def test_the_preview_shows_disabled_rules_and_held_deliveries(explained: bool) -> None:
    ruleset = (
        Loader(REGISTRIES, {})
        .load(
            """
sources: {s: {verify: none, enabled: false}}
targets: {ci: {url: "http://127.0.0.1:9", paused: true}}
rules:
  - {name: off, enabled: false, actions: [append: a.jsonl]}
  - {name: on, actions: [forward: {target: ci}]}
""",
            "rules.yaml",
            Path("/etc/rules"),
        )
        .require()
    )
    event = made_event(ruleset.sources["s"], b"{}", [], "", "application/json", 0)

    shown = preview(ruleset, event, arriving=True, explained=explained).as_json()

    assert shown["source_disabled"] is True
    assert [delivery["held"] for delivery in shown["deliveries"]] == ["target ci is paused"]
    if explained:
        assert shown["explain"][0] | {"conditions": []} == {
            "rule": "off",
            "verdict": "not tried",
            "reason": "it is disabled (enabled: false)",
            "conditions": [],
        }

"""Rules for own events of the router, and a rules file with a source that is named router."""

from pathlib import Path
from typing import Any

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.domain.events import Event, ParsedEvent
from router.domain.own_events import KINDS, SAMPLES, sample_event
from router.rules.compile.loader import Loaded, Loader
from router.rules.notices import notice
from router.rules.own_source import OWN_SOURCE
from router.rules.parsing import parse_event
from router.rules.ruleset import Ruleset

SOURCES = "sources: {shop: {verify: none}, crm: {verify: none}}\n"
OWN = "sources: {router: {verify: none}, crm: {verify: none}}\n"


def _load(text: str, folder: Path = Path("/"), **more: Any) -> Loaded:
    return Loader(REGISTRIES, {}, **more).load(text, "rules.yaml", folder)


def _ruleset(text: str) -> Ruleset:
    return _load(text).require()


def _own(kind: str = "delivery.dead") -> ParsedEvent:
    return parse_event(sample_event(kind, 0), OWN_SOURCE)


def _matched(ruleset: Ruleset, parsed: ParsedEvent) -> list[str]:
    return [rule.name for rule in ruleset.match(parsed).rules]


@pytest.mark.parametrize(
    ("source", "hears"),
    [
        ("router", True),
        ("[router]", True),
        ("[shop, router]", True),
        ('"*"', False),
        ('"r*"', False),
        ('"[r]outer"', False),
        ("shop", False),
    ],
)
def test_own_events_match_only_rules_with_the_literal_source_router(source: str, hears: bool) -> None:
    sources = SOURCES.replace("crm", "rest")  # so that r* matches a source
    ruleset = _ruleset(
        f"{sources}rules: [{{name: r, source: {source.replace('[r]outer', '[r]est')}, actions: [append: x]}}]"
    )

    assert ruleset.hears_itself is hears
    assert _matched(ruleset, _own()) == (["r"] if hears else [])


def test_a_rule_without_a_source_does_not_get_own_events() -> None:
    ruleset = _ruleset("sources: {shop: {verify: none}}\nrules: [{name: r, actions: [append: x]}]")

    assert ruleset.rules[0].sources == {"shop"}
    assert not ruleset.hears_itself


def test_own_events_never_run_unmatched_actions() -> None:
    ruleset = _ruleset(
        f"{SOURCES}rules: [{{name: r, source: router, match: {{$.kind: target.up}}, actions: [append: x]}}]\n"
        "unmatched: [append: y]"
    )

    assert ruleset.plan(_own()).deliveries == ()
    assert len(ruleset.plan(_own("target.up")).deliveries) == 1
    assert notice(ruleset, "delivery.dead", "a/b", {}, 0) is None
    other = Event("1", "shop", "POST", "/hooks/shop", "", (), b"{}", "127.0.0.1", 0)
    assert [one.rule for one in ruleset.plan(parse_event(other, ruleset.sources["shop"])).deliveries] == ["unmatched"]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_an_example_that_rules_can_match(kind: str) -> None:
    ruleset = _ruleset(
        f"{SOURCES}rules: [{{name: r, source: router, match: {{$.kind: {kind}}}, actions: [append: x]}}]"
    )

    assert _matched(ruleset, _own(kind)) == ["r"]
    assert set(SAMPLES) == set(KINDS)


def test_an_unknown_kind_gets_a_warning() -> None:
    [problem] = _load(
        f"{SOURCES}rules: [{{name: r, source: router, match: {{$.kind: delivery.died}}, actions: [append: x]}}]\n"
        "unmatched: [append: y]"
    ).problems

    assert problem.level is Level.WARNING
    assert "this can't hold" in str(problem)


def test_a_source_named_router_in_the_file_stays_an_ordinary_source() -> None:
    loaded = _load(
        OWN + 'rules: [{name: r, source: router, actions: [append: x]}, {name: s, source: "*", actions: [append: y]}]'
    )

    ruleset = loaded.require()
    assert [sorted(rule.sources) for rule in ruleset.rules] == [["router"], ["crm", "router"]]
    assert not ruleset.hears_itself
    assert notice(ruleset, "delivery.dead", "a/b", {}, 0) is None
    assert _matched(ruleset, _own()) == []
    sent = Event("1", "router", "POST", "/hooks/router", "", (), b"{}", "127.0.0.1", 0)
    assert _matched(ruleset, parse_event(sent, ruleset.sources["router"])) == ["r", "s"]
    [note] = loaded.problems
    assert note.level is Level.NOTE
    assert str(note) == (
        'rules.yaml:1:11: note: sources: "router" is a source of this file, so no rule can listen to the router\'s own events; '
        "for these give it another name, and path: /hooks/router"
    )


def test_own_events_get_no_reply() -> None:
    loaded = _load(
        f"{SOURCES}rules: [{{name: r, source: router, respond: {{body: x}}, actions: [append: x]}}]\nunmatched: [append: y]"
    )

    assert "has no sender to answer" in str(loaded.problems[0])


@pytest.mark.parametrize(("only", "allowed"), [("[router]", True), ("[shop]", False), ('["*"]', False), (None, True)])
def test_a_file_with_bounds_may_use_own_events_if_its_bounds_name_them(
    tmp_path: Path, only: str | None, allowed: bool
) -> None:
    (tmp_path / "team.yaml").write_text("rules: [{name: r, source: router, actions: [append: out/x]}]")
    entry = "team.yaml" if only is None else f"{{files: team.yaml, only: {{sources: {only}, actions: [append]}}}}"

    loaded = _load(f"include: [{entry}]\n{SOURCES}unmatched: [append: out/y]", tmp_path)

    assert ("may not be used in this file" in str(loaded.errors)) is not allowed


def test_a_name_similar_to_router_gets_that_suggestion() -> None:
    rules = "rules: [{name: r, source: rooter, actions: [append: out/x]}]\n"

    assert 'undefined source "rooter"; did you mean "router"?' in str(_load(SOURCES + rules).problems[0])
    assert 'undefined source "nobody"; known: crm, shop' in str(
        _load(SOURCES + rules.replace("rooter", "nobody")).problems[0]
    )

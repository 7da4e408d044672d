"""An action type declares everything that the program needs to know of it, so that a new type works everywhere."""

import ast
import contextlib
import json
import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from click.testing import CliRunner
from pydantic import Field

from router.actions.registry import ACTIONS, status_prefix, status_word
from router.admin.api.openapi import document
from router.admin.api.routes import ENDPOINTS
from router.cli.main import cli
from router.cli.retry_times import schedule_line
from router.daemon.registries import REGISTRIES
from router.daemon.wall_clock import now_ms
from router.delivery.dispatcher import Dispatcher
from router.domain.deliveries import State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Cause, Outcome
from router.plugins.action import ActionType, AttemptInput, Tools
from router.plugins.build import Build
from router.plugins.options import Options
from router.plugins.target import TargetSpec
from router.rules.compile.json_schema import json_schema
from router.rules.compile.loader import Loader
from router.rules.dry_run.preview import preview
from router.rules.parsing import parse_event
from router.rules.ruleset import CurrentRuleset, Ruleset
from tests.conftest import until
from tests.sqlite_template import open_store

ROUTER = Path(__file__).parents[2] / "router"


class BellOptions(Options):
    """The options of the action `bell`."""

    times: int = Field(default=1, description="How often.")
    pin: int | None = Field(default=None, description="The bell's PIN.")


@dataclass(frozen=True)
class BellAction:
    """Rings a bell. Its status is the number of rings so far."""

    target: TargetSpec
    times: int
    type: str = "bell"

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        return {"times": self.times, "of": job.event.source}

    async def attempt(self, job: AttemptInput, tools: Tools["Bell"]) -> Outcome:
        if job.claim.attempt == 1:
            return Outcome.retry("the bell is stuck", tools.resources.rings, cause=Cause.TIMEOUT)
        tools.resources.rings += self.times
        return Outcome.succeeded(tools.resources.rings)


@dataclass
class Bell:
    """The resource that attempts share."""

    rings: int = 0
    is_open: bool = True


opened: list[Bell] = []


@contextlib.asynccontextmanager
async def _open_bell() -> AsyncIterator[Bell]:
    opened.append(Bell())
    yield opened[-1]
    opened[-1].is_open = False


def _compile(options: BellOptions, build: Build) -> BellAction:
    if options.times > 9:
        build.fault("nobody would hear the tenth", "times")
    return BellAction(TargetSpec(build.name, 1), options.times)


BELL = ActionType(
    name="bell",
    options=BellOptions,
    compile=_compile,
    short_forms={str: "times"},
    value_hints={int: "for several rings, write {times: 3}"},
    causes=(Cause.TIMEOUT,),
    retry_defaults={"attempts": 2, "initial": "10ms", "max": "10ms"},
    danger="ring this bell",
    confidential_keys=frozenset({"pin"}),
    hints={'did you mean "bell"? It rings': ("gong", "chime")},
    status_word="rings",
    status_prefix="rung ",
    open_resources=_open_bell,
)
SOURCES = "sources: {s: {verify: {scheme: bearer, secret: {env: TOKEN}}}, open: {verify: none}}\n"
RULES = SOURCES + "rules: [{name: door, source: s, actions: [bell: {times: 3}]}]\n"


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setitem(ACTIONS, "bell", BELL)
    opened.clear()
    yield


def _problems(actions: str, source: str = "s") -> list[str]:
    text = f"{SOURCES}rules: [{{name: door, source: {source}, actions: [{actions}]}}]\n"
    loaded = Loader(REGISTRIES, {"TOKEN": "t" * 32}).load(text, "rules.yaml", Path("/srv"))
    return [problem.message for problem in loaded.problems if "no rule listens" not in problem.message]


def _ruleset(folder: Path) -> Ruleset:
    return Loader(REGISTRIES, {"TOKEN": "t" * 32}).load(RULES, "rules.yaml", folder).require()


def _event() -> Event:
    now = now_ms()
    return Event(uuid7(now), "s", "POST", "/hooks/s", "", (), b"{}", "127.0.0.1", now)


@pytest.mark.parametrize(
    ("actions", "message"),
    [
        ("bell: {times: 10}", "nobody would hear the tenth"),
        ("bell: 3", "expected text or a mapping, found the number 3; for several rings, write {times: 3}"),
        ("gong: 3", 'unknown action "gong"; did you mean "bell"? It rings'),
        ("bel: {times: 1}", 'unknown key "bel"; did you mean "bell"?'),
        ("times: 1", 'unknown key "times" here; it belongs inside bell: { … }'),
        ("{bell: {times: 1}, retry: {on: [network]}}", "found network, a cause that can't happen here"),
    ],
)
def test_messages_about_a_new_type_use_its_terms(actions: str, message: str) -> None:
    found = _problems(actions)

    assert any(message in text for text in found), found


def test_a_new_type_can_need_verified_sources() -> None:
    [found] = _problems("bell: {times: 1}", source="open")

    assert found.startswith('source "open" has verify: none, so anybody could ring this bell; ')
    text = RULES.replace("source: s,", "source: s, match: {method: POST},").replace("scheme: bearer", "scheme: github")
    loaded = Loader(REGISTRIES, {"TOKEN": "t" * 32}).load(text, "rules.yaml", Path("/srv"))
    assert any("could ring this bell" in problem.message for problem in loaded.warnings)


def test_values_of_confidential_keys_are_not_shown() -> None:
    [found] = _problems("bell: {pin: hunter2}")

    assert "hunter2" not in found


def test_a_new_type_is_in_the_schemas() -> None:
    schema = json_schema(REGISTRIES)
    jsonschema.validate({"sources": {"s": {"verify": "none"}}, "unmatched": [{"bell": {"times": 2}}]}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"sources": {"s": {"verify": "none"}}, "unmatched": [{"bell": {"often": 2}}]}, schema)

    shown = document(ENDPOINTS)["components"]["schemas"]
    assert shown["ActionType"]["enum"] == [*ACTIONS]
    assert "bell" in shown["Tested"]["properties"]["deliveries"]["items"]["properties"]


def test_a_new_type_is_previewed_and_its_retries_explained(tmp_path: Path) -> None:
    ruleset = _ruleset(tmp_path)

    [shown] = preview(ruleset, _event()).as_json()["deliveries"]
    assert shown["bell"] == {"times": 3, "of": "s"}
    [action] = ruleset.actions.values()
    assert schedule_line(action) == (
        "door/bell: tries at 0 s, then every 10 ms (2 tries, each wait ±20 %); retries on: everything; interrupted: retry"
    )


def test_a_new_type_is_delivered_with_its_resources_and_shown_in_lists(tmp_path: Path) -> None:
    ruleset, store = _ruleset(tmp_path), open_store(tmp_path / "store.db")
    event = _event()
    dispatcher = Dispatcher(CurrentRuleset(ruleset), store, lambda _: ruleset, ACTIONS, now_ms)
    store.put_ruleset(ruleset.text, now_ms()).result(60)
    plan = ruleset.plan(parse_event(event, ruleset.sources["s"]))
    store.append(event, plan.deliveries, ruleset.hash).result(60)
    dispatcher.start()
    until(lambda: [d.state for d in store.deliveries()] == [State.SUCCEEDED])
    dispatcher.stop(1)
    [delivery] = store.deliveries()
    store.close()

    assert [(bell.rings, bell.is_open) for bell in opened] == [(3, False)]
    where = ["--store", f"sqlite:{tmp_path / 'store.db'}"]
    run = CliRunner().invoke(cli, ["deliveries", "show", delivery.id, *where])
    assert "door/bell (bell)" in run.output
    assert ": retry, rings 0\n" in run.output
    assert ": succeeded, rings 3\n" in run.output
    listed = CliRunner().invoke(cli, ["deliveries", "list", "--json", *where])
    assert [one["type"] for one in json.loads(listed.output)] == ["bell"]


def test_a_status_is_still_named_when_its_action_type_is_gone() -> None:
    assert (status_word("bell"), status_prefix("bell")) == ("rings", "rung ")
    assert (status_word("command"), status_prefix("command")) == ("exit code", "exit ")
    assert (status_word("removed"), status_prefix("removed")) == ("status", "")


def test_no_module_outside_of_actions_contains_the_name_of_a_type() -> None:
    """Such a place would need a change for each new type."""
    names = {name for name in ACTIONS if name != "bell"}
    found = [
        f"{path.relative_to(ROUTER)}:{node.lineno}"
        for path in sorted(ROUTER.rglob("*.py"))
        # An importer writes rules with the one type that the other tool has.
        if path.relative_to(ROUTER).parts[0] != "actions" and path.relative_to(ROUTER).parts[:2] != ("cli", "importers")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Constant) and node.value in names
    ]

    assert found == []


def test_no_room_but_actions_imports_a_type() -> None:
    modules = re.compile(r"router\.actions\.(?:forward|command|append)\b")
    users = {str(path.relative_to(ROUTER)) for path in ROUTER.rglob("*.py") if modules.search(path.read_text())}

    assert {user for user in users if not user.startswith("actions/")} == set()

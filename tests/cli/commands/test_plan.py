"""`plan`: what a changed rules file would do to stored events."""

import json
import re

import pytest

from router.daemon.registries import REGISTRIES
from router.rules.compile.loader import Loader
from tests.cli.conftest import StoreCommands, now_ms

RULES = """
sources: {github: {verify: none}}
rules:
  - {name: deploy, match: {$.ref: main}, actions: [append: {path: out/a.txt, line: "{{ payload.ref }}"}]}
"""
HOUR = 3_600_000


@pytest.fixture
def ran(store_commands: StoreCommands) -> StoreCommands:
    """A store on which rules ran, with two events of today and one of last week."""
    (store_commands.folder / "rules.yaml").write_text(RULES)
    (store_commands.folder / "new.yaml").write_text(RULES.replace('"{{', '"now {{'))
    ruleset = Loader(REGISTRIES, {}, require_secrets=False).load_file(store_commands.folder / "rules.yaml").require()
    with store_commands.opened() as store:
        store.put_ruleset(ruleset.text, now_ms()).result(60)
        store.put_note("rules", json.dumps({"hash": ruleset.hash})).result(60)
    store_commands.put_many([((), 200 * HOUR, {"body": b'{"ref": "main"}'})])
    store_commands.put_many([((), HOUR, {"body": b'{"ref": "main"}'}), ((), HOUR, {"body": b'{"ref": "x|y"}'})])
    with store_commands.opened() as store:
        store.put_ruleset(ruleset.text, now_ms()).result(60)
    return store_commands


def test_a_plan_compares_the_running_rules_with_a_file(ran: StoreCommands) -> None:
    text = ran.run("plan", "new.yaml").stdout

    assert "2 events compared, 1 with deliveries that differ; 0 deliveries the same" in text
    assert "~ 1 delivery changes: deploy/append (append): line\n" in text
    assert "      line: main\n            now main\n" in text
    assert "not covered: verify; path; dedupe;" in text


def test_the_json_is_versioned_and_has_the_counts(ran: StoreCommands) -> None:
    found = ran.json("plan", "new.yaml")

    assert found["version"] == 1
    assert found["against"]["rules"] == "running"
    assert (found["events"]["compared"], found["deliveries"]["change"], found["differs"]) == (2, 1, True)
    assert [rule["rule"] for rule in found["rules"]] == ["deploy", "unmatched"]
    assert json.loads(ran.run("plan", "new.yaml", "--format", "json").stdout)["changes"] == found["changes"]


def test_time_and_source_select_events(ran: StoreCommands) -> None:
    assert ran.json("plan", "new.yaml", "--since", "20d")["events"]["compared"] == 3
    assert ran.json("plan", "new.yaml", "--since", "20d", "--until", "2d")["events"]["compared"] == 1
    done = ran.run("plan", "new.yaml", "--source", "gitlab")
    assert "no event of that time was compared" in done.stdout
    assert 'no source "gitlab" is known' in done.stderr


def test_markdown_has_ids_and_no_part_of_the_payload(ran: StoreCommands) -> None:
    text = ran.run("plan", "new.yaml", "--format", "markdown").stdout

    [event] = [s["event"] for s in ran.json("plan", "new.yaml")["changes"][0]["samples"]]
    assert f"`{event}`" in text
    assert text.startswith("### plan: `new.yaml` ")
    assert "| `deploy` | 1 | 1 |" in text
    assert "main" not in text


def test_markdown_shows_names_unchanged_and_notifies_nobody(ran: StoreCommands) -> None:
    name = "ask @acme|team `#1` <b> [x](y) *z*"
    (ran.folder / "named.yaml").write_text(RULES.replace("deploy", json.dumps(name)))

    text = ran.run("plan", "named.yaml", "--format", "markdown").stdout

    fenced = f"``{name} (was deploy)``".replace("|", "\\|")  # a bare pipe would end the table's cell
    assert f"| {fenced} | 1 | 1 |" in text
    assert f"``deploy/append → {name}/append (append)``" in text
    assert not re.search("[@#]", re.sub("(`+).*?[^`]\\1(?!`)", "", text).replace("### ", "")), "all stand in code"


def test_expect_same_fails_only_on_a_difference(ran: StoreCommands) -> None:
    ran.run("plan", "rules.yaml", "--expect-same")
    (ran.folder / "renamed.yaml").write_text(RULES.replace("deploy", "ship"))
    assert "deploy/append → ship/append" in ran.run("plan", "renamed.yaml", "--expect-same").stdout
    assert "the new rules give a different result" in ran.run("plan", "new.yaml", "--expect-same", code=1).stderr


def test_a_plan_can_compare_with_other_rules(ran: StoreCommands) -> None:
    same = ran.json("plan", "new.yaml", "--against", "new.yaml")
    assert (same["against"]["rules"], same["differs"]) == ("file", False)
    then = ran.run("plan", "new.yaml", "--against", "then", "--expect-same", code=1)
    assert "2 events not compared: the rules r1 that it was routed by no longer compile" in then.stdout


def test_errors_of_plan_name_their_cure(ran: StoreCommands) -> None:
    (ran.folder / "bad.yaml").write_text("rules: [{nam: x}]")
    assert "bad.yaml:1:10" in ran.run("plan", "bad.yaml", code=1).stderr
    assert "no such file" in ran.run("plan", "new.yaml", "--against", "runing", code=1).stderr.lower()
    with ran.opened() as store:
        store.put_note("rules", "{}").result(60)
    assert "--against FILE" in ran.run("plan", "new.yaml", code=1).stderr


def test_a_plan_can_omit_samples(ran: StoreCommands) -> None:
    assert ran.json("plan", "new.yaml", "--sample", "0")["changes"][0]["samples"] == []


def test_a_plan_shows_changed_answers_to_senders(ran: StoreCommands) -> None:
    (ran.folder / "answers.yaml").write_text(
        RULES.replace("{name: deploy,", "{name: deploy, respond: {body: '@team'},")
    )

    text = ran.run("plan", "answers.yaml").stdout
    assert "~ the sender of 1 event gets another answer, by no rule → deploy: status, content_type," in text
    assert "      body: null\n            @team\n" in text
    markdown = ran.run("plan", "answers.yaml", "--format", "markdown").stdout
    assert "- **~** the sender of 1 event gets another answer, by `no rule → deploy`: status," in markdown
    assert "@team" not in markdown
    assert "give a different result" in ran.run("plan", "answers.yaml", "--expect-same", code=1).stderr

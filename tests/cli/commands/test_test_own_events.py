"""`test` with the router's own events."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
RULES = """
sources: {shop: {verify: none}}
rules:
  - name: dead
    source: router
    match: {$.kind: delivery.dead}
    actions:
      - append: {path: out/dead.txt, line: "{{ payload.delivery.rule }}: {{ payload.delivery.error }}"}
unmatched: [append: out/unmatched.jsonl]
"""


@pytest.fixture
def rules(tmp_path: Path) -> Path:
    """A file with a rule for dead deliveries."""
    path = tmp_path / "rules.yaml"
    path.write_text(RULES)
    return path


def test_an_example_of_a_kind_is_tried_without_a_store(run: Run, rules: Path) -> None:
    done = run("test", rules, "--event", "delivery.dead", "--expect", "dead")

    assert done.returncode == 0, done.stderr
    assert "line: orders: HTTP 503; gave up" in done.stdout


def test_an_own_event_of_another_kind_plans_no_delivery(run: Run, rules: Path) -> None:
    done = run("test", rules, "--event", "target.up", "--json")

    assert json.loads(done.stdout)["deliveries"] == []


def test_the_error_for_an_unknown_kind_suggests_the_nearest(run: Run, rules: Path) -> None:
    done = run("test", rules, "--event", "delivery.died")

    assert done.returncode == 1
    assert 'the router has no own event "delivery.died"; did you mean "delivery.dead"?' in done.stderr


def test_a_payload_can_be_tried_as_an_own_event(run: Run, rules: Path, tmp_path: Path) -> None:
    (tmp_path / "own.json").write_text('{"kind": "delivery.dead", "delivery": {"rule": "x", "error": "y"}}')

    done = run("test", rules, "--source", "router", "--payload", tmp_path / "own.json")

    assert "line: x: y" in done.stdout


def test_a_source_named_router_in_the_file_has_no_own_events(run: Run, rules: Path) -> None:
    rules.write_text(RULES.replace("shop:", "router:"))

    done = run("test", rules, "--event", "delivery.dead")

    assert done.returncode == 1
    assert '"router" is a source of this file' in done.stderr


@pytest.mark.parametrize(
    ("case", "result"),
    [
        ("event: delivery.dead\n  expect: {rules: [dead]}", 0),
        ("event: target.down\n  expect: {rules: []}", 0),
        (
            "event: delivery.dead\n  payload: {delivery: {rule: mine}}\n"
            "  expect: {deliveries: [{append: {line: 'mine: HTTP 503; gave up: the next attempt would be later than give_up_after'}}]}",
            0,
        ),
        ("event: delivery.dead\n  expect: {rules: []}", 'rule "dead" matched, and was not expected to'),
        ("event: delivery.died\n  expect: {rules: []}", 'did you mean "delivery.dead"?'),
        (
            "event: delivery.dead\n  source: shop\n  expect: {rules: []}",
            "source: the example of an own event has its own",
        ),
        (
            "event: delivery.dead\n  payload: [1]\n  expect: {rules: []}",
            "expected a mapping of what differs from the example, found a list",
        ),
    ],
)
def test_a_case_can_name_a_kind_of_own_event(
    run: Run, rules: Path, tmp_path: Path, case: str, result: int | str
) -> None:
    (tmp_path / "cases.yaml").write_text(f"- name: c\n  {case}\n")

    done = run("test", rules, "--cases", tmp_path / "cases.yaml")

    if result == 0:
        assert done.returncode == 0, done.stdout + done.stderr
    else:
        assert done.returncode == 1
        assert str(result) in done.stdout + done.stderr

"""Retry policies of a rules file: a more specific setting replaces a more general one, key by key."""

from collections.abc import Callable
from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.retry_policy import RetryPolicy
from router.rules.compile.loader import Loaded, Loader

Load = Callable[[str], Loaded]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    """Return a function that loads a rules file with the source `a`."""
    return lambda text: Loader(REGISTRIES, {}).load("sources: {a: {verify: none}}\n" + text, "rules.yaml", tmp_path)


def _policies(loaded: Loaded) -> dict[str, RetryPolicy]:
    return {action.name: action.retry for action in loaded.require().rules[0].actions}


def _on(policy: RetryPolicy) -> list[str] | None:
    return None if policy.on is None else [str(entry) for entry in policy.on]


LAYERS = """
defaults: {retry: {initial: 5s, max: 1m, give_up_after: 2h}}
targets:
  ci: {url: http://127.0.0.1:9, retry: {max: 30s, attempts: 7, on: [503], retry_after_max: 5m}}
rules:
  - name: r
    allow_unverified: true
    actions:
      - append: x
      - forward: {target: ci}
      - name: own
        forward: {target: ci}
        retry: {attempts: 2, on: [5xx, network], jitter: 0, factor: 3, interrupted: dead}
      - name: elsewhere
        forward: http://127.0.0.1:9
      - command: [/bin/true]
"""


def test_the_most_specific_retry_setting_wins_key_by_key(load: Load) -> None:
    found = _policies(load(LAYERS))

    assert found["append"] == RetryPolicy(initial=5, max=60, give_up_after=7200)
    assert found["elsewhere"] == found["append"]
    assert found["command"] == RetryPolicy(initial=5, max=60, give_up_after=7200, attempts=1)
    of_target, own = found["forward"], found["own"]
    assert (of_target.initial, of_target.max, of_target.attempts, of_target.retry_after_max) == (5, 30, 7, 300)
    assert (own.initial, own.max, own.attempts, own.retry_after_max) == (5, 30, 2, 300)
    assert (own.jitter, own.factor, own.retry_interrupted, own.give_up_after) == (0, 3, False, 7200)
    assert (_on(of_target), _on(own)) == (["503"], ["5xx", "network"])


def test_defaults_can_enable_retries_of_commands(load: Load) -> None:
    found = _policies(load(LAYERS.replace("{initial: 5s", "{attempts: 9, initial: 5s")))

    assert (found["command"].attempts, found["append"].attempts, found["forward"].attempts) == (9, 9, 7)


@pytest.mark.parametrize(
    ("on", "forward", "command", "append"),
    [
        ("[5xx, network]", ["5xx", "network"], None, None),
        ("[5xx, network, timeout]", ["5xx", "network", "timeout"], None, None),
        ("[75, timeout]", None, ["75", "timeout"], None),
        ("[timeout]", ["timeout"], ["timeout"], ["timeout"]),
        ("[not-written, 503, signal]", ["503"], ["signal"], ["not-written"]),
        ('["300-599", "1-255"]', ["300-599"], ["1-255"], None),
    ],
)
def test_default_retry_causes_apply_to_matching_action_types(
    load: Load, on: str, forward: list[str] | None, command: list[str] | None, append: list[str] | None
) -> None:
    found = _policies(load(LAYERS.replace("{initial: 5s", f"{{on: {on}, initial: 5s")))

    assert (_on(found["elsewhere"]), _on(found["command"]), _on(found["append"])) == (forward, command, append)
    assert _on(found["forward"]) == ["503"]


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ("503", "503"),
        ("5xx", "5xx"),
        ('"500-599"', "5xx"),
        ("500-599", "5xx"),
        ('"500 - 510"', "500-510"),
        ("404-404", "404"),
        ("300-599", "300-599"),
        ("network", "network"),
    ],
)
def test_a_retry_on_entry_is_a_status_a_range_a_class_or_a_cause(load: Load, written: str, shown: str) -> None:
    rules = f"rules: [{{name: r, actions: [{{forward: 'http://h', retry: {{on: [{written}]}}}}]}}]"

    assert _on(_policies(load(rules))["forward"]) == [shown]


@pytest.mark.parametrize(
    ("retry", "hint"),
    [
        ("{on: [75]}", "this changes nothing while attempts is 1 (the default of this type); raise attempts"),
        ("{on: [75], attempts: 1}", "this changes nothing while attempts is 1; raise attempts"),
    ],
)
def test_a_retry_on_list_without_effect_gets_a_warning(load: Load, retry: str, hint: str) -> None:
    rules = f"rules: [{{name: r, allow_unverified: true, actions: [{{command: [/bin/true], retry: {retry}}}]}}]"

    loaded = load(rules)

    assert [problem.message for problem in loaded.problems] == [hint]
    assert loaded.ruleset is not None
    assert load(rules.replace("[75]", "[75], attempts: 2").replace(", attempts: 1}", "}")).problems == ()

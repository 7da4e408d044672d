"""An operator's commands, beside a running daemon and while it is stopped."""

import json
import re
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from tests.conftest import Daemon, Receiver

Run = Callable[..., CompletedProcess[str]]
Wait = Callable[[Callable[[], Any]], Any]
Start = Callable[..., Daemon]

RULES = """
sources: {{in: {{verify: none}}, other: {{verify: none}}}}
rules:
  - name: forward
    source: in
    match: {{$.go: true}}
    actions:
      - forward: {{url: "{url}", path: {path}, concurrency: 4}}
        retry: {{initial: 1h, max: 1h, jitter: 0}}
        order_by: $.key
"""
PROMPT_SECONDS = 20.0  #: a commit is noticed within 0.2 s; a slow and busy machine needs longer


class Operator:
    """Runs commands on the store of a daemon."""

    def __init__(self, run: Run, daemon: Daemon) -> None:
        self._run = run
        self.store = f"sqlite:{daemon.store}"
        self.folder = daemon.store.parent

    def __call__(self, *arguments: str, code: int = 0) -> CompletedProcess[str]:
        """Run a command."""
        done = self._run(*arguments, "--store", self.store, cwd=self.folder)
        assert done.returncode == code, (done.stdout, done.stderr)
        assert "Traceback" not in done.stderr
        return done

    def json(self, *arguments: str) -> Any:
        """Run a command with --json. Return its value."""
        return json.loads(self(*arguments, "--json").stdout)

    def states(self) -> list[str]:
        """The states of all deliveries, in the order of planning."""
        return [d["state"] for d in reversed(self.json("deliveries", "list", "--limit", "5000"))]


def rules(receiver: Receiver, path: str = "/x") -> str:
    """The text of the rules."""
    return RULES.format(url=receiver.url, path=path).replace(
        f'url: "{receiver.url}", path: {path}', f'url: "{receiver.url}{path}"'
    )


def post(daemon: Daemon, source: str = "in", **payload: Any) -> str:
    """Send an event. Return its id."""
    answer = daemon.post(f"/hooks/{source}", json.dumps({"go": True, **payload}).encode())
    assert answer.status == 202, answer.body
    return str(answer.json["id"])


def test_a_replay_while_the_daemon_runs_is_delivered_promptly(
    start: Start, run: Run, eventually: Wait, receiver: Receiver
) -> None:
    receiver.status = 410
    daemon = start(rules(receiver))
    operate = Operator(run, daemon)
    event = post(daemon)
    daemon.wait_for_line("attempt settled", event_id=event, state="dead")
    [dead] = operate.json("deliveries", "list", "--state", "dead", "--rule", "forward", "--since", "1h")
    receiver.status = 200

    done = operate("deliveries", "replay", dead["id"])
    replayed_at = time.monotonic()

    assert done.stdout == "replayed 1 delivery\n"
    assert "no daemon" not in done.stderr
    eventually(lambda: len(receiver.ids()) == 2)
    assert time.monotonic() - replayed_at < PROMPT_SECONDS
    daemon.wait_for_line("attempt settled", event_id=event, state="succeeded")
    shown = operate.json("deliveries", "show", dead["id"])
    assert [(a["outcome"], a["status"]) for a in shown["attempts_made"]] == [("failed", 410), ("succeeded", 200)]


def test_a_replay_delivers_a_waiting_retry_at_once(
    start: Start, run: Run, eventually: Wait, receiver: Receiver
) -> None:
    receiver.status = 500
    daemon = start(rules(receiver))
    operate = Operator(run, daemon)
    event = post(daemon)
    daemon.wait_for_line("attempt settled", event_id=event, state="pending")
    receiver.status = 200

    operate("deliveries", "replay", "--state", "pending", "--event", event)

    daemon.wait_for_line("attempt settled", event_id=event, state="succeeded", attempt=2)


def test_cancelling_a_running_delivery_unblocks_the_next_of_its_order(
    start: Start, run: Run, eventually: Wait, receiver: Receiver
) -> None:
    daemon = start(rules(receiver, "/hang"))
    operate = Operator(run, daemon)
    first, second, third = (post(daemon, key=1) for _ in range(3))
    eventually(lambda: receiver.ids() == [first])

    [running] = operate.json("deliveries", "list", "--state", "running")
    operate("deliveries", "cancel", "--event", second)
    operate("deliveries", "cancel", running["id"])

    eventually(lambda: receiver.ids() == [first, third])
    receiver.release.set()
    daemon.wait_for_line("attempt lost: someone else owns the delivery", event_id=first)
    daemon.wait_for_line("attempt settled", event_id=third, state="succeeded")
    assert operate.states() == ["cancelled", "cancelled", "succeeded"]
    [attempt] = operate.json("deliveries", "show", running["id"])["attempts_made"]
    assert (attempt["outcome"], attempt["error"]) == ("interrupted", "cancelled while it was made")
    assert operate("store", "check").stdout.endswith("the store is sound\n")


def test_operations_on_a_stopped_daemon_take_effect_at_its_start(start: Start, run: Run, receiver: Receiver) -> None:
    receiver.status = 410
    daemon = start(rules(receiver))
    operate = Operator(run, daemon)
    events = [post(daemon) for _ in range(3)]
    for event in events:
        daemon.wait_for_line("attempt settled", event_id=event, state="dead")
    assert daemon.stop() == 0

    done = operate("events", "replay", events[0], events[2])
    operate("deliveries", "cancel", "--event", events[1], "--state", "dead")
    assert "no daemon runs on this store; the deliveries begin when one starts" in done.stderr
    assert "none runs on this store" in operate("status").stdout
    assert operate.states() == ["pending", "cancelled", "pending"]

    receiver.status = 200
    again = start(daemon.rules)
    for event in (events[0], events[2]):
        again.wait_for_line("attempt settled", event_id=event, state="succeeded")
    assert operate.states() == ["succeeded", "cancelled", "succeeded"]


def test_an_event_can_be_rerouted_after_its_rule_was_fixed(start: Start, run: Run, receiver: Receiver) -> None:
    daemon = start(rules(receiver))
    operate = Operator(run, daemon)
    missed = post(daemon, source="other", key=5)
    assert operate.json("events", "show", missed)["deliveries"] == []

    after = len(daemon.lines)
    daemon.rules.write_text(rules(receiver).replace("source: in", "source: [in, other]"))
    daemon.wait_for_line("rules reloaded", after)
    done = operate("events", "replay", "--reroute", "--source", "other", "--since", "1h")

    assert "planned 1 delivery of 1 event" in done.stdout
    daemon.wait_for_line("attempt settled", event_id=missed, state="succeeded")
    assert receiver.ids() == [missed]


def test_a_reroute_can_use_rules_that_the_daemon_does_not_run(
    start: Start, run: Run, receiver: Receiver, tmp_path: Path
) -> None:
    daemon = start(rules(receiver))
    operate = Operator(run, daemon)
    missed = post(daemon, source="other")
    mine = tmp_path / "mine.yaml"
    mine.write_text("sources: {other: {verify: none}}\nrules: [{name: mine, actions: [append: mine.jsonl]}]\n")

    operate("events", "replay", "--reroute", missed, "--rules", str(mine))

    daemon.wait_for_line("attempt settled", event_id=missed, state="succeeded", rule="mine")
    [line] = (tmp_path / "mine.jsonl").read_text().splitlines()
    assert json.loads(line)["id"] == missed


def test_many_dead_deliveries_are_replayed_by_a_filter_while_events_come_in(
    start: Start, run: Run, eventually: Wait, receiver: Receiver
) -> None:
    receiver.status = 410
    daemon = start(rules(receiver))
    operate = Operator(run, daemon)
    events = [post(daemon, key=n % 5) for n in range(300)]
    eventually(lambda: len(receiver.ids()) == 300)
    eventually(lambda: operate.json("status")["dead"] == 300)
    receiver.requests.clear()
    receiver.status = 200
    before = operate.states()

    dry = operate("deliveries", "replay", "--rule", "forward", "--dry-run").stdout
    assert dry.endswith("would have replayed 300 deliveries\n")
    assert operate.states() == before
    assert receiver.ids() == []

    assert operate("deliveries", "replay", "--rule", "forward").stdout == "replayed 300 deliveries\n"
    later = [post(daemon, key=n % 5) for n in range(50)]

    eventually(lambda: len(receiver.ids()) >= 350)
    eventually(lambda: set(operate.states()) == {"succeeded"})
    arrived = receiver.ids()
    assert len(arrived) == 350
    numbers = {event: n for n, event in enumerate([*events, *later])}
    for key in range(5):
        lane = [numbers[event] for event in arrived if numbers[event] % 5 == key]
        assert lane == sorted(lane)
    assert operate("store", "check").stdout.endswith("the store is sound\n")


def test_a_backup_of_a_busy_daemon_has_every_accepted_event(
    start: Start, run: Run, receiver: Receiver, tmp_path: Path
) -> None:
    daemon = start(rules(receiver))
    operate = Operator(run, daemon)
    events = [post(daemon, key=n) for n in range(100)]

    operate("store", "backup", str(tmp_path / "copy.db"))
    post(daemon)

    done = run("events", "list", "--json", "--limit", "500", "--store", f"sqlite:{tmp_path / 'copy.db'}")
    assert [event["id"] for event in json.loads(done.stdout)] == events[::-1]


def test_status_reports_a_running_daemon(start: Start, run: Run, eventually: Wait, receiver: Receiver) -> None:
    receiver.status = 500
    daemon = start(rules(receiver))
    operate = Operator(run, daemon)
    for key in range(30):
        post(daemon, key=key)
    daemon.wait_for_line("target fails; its deliveries wait", target=receiver.url)
    after = len(daemon.lines)
    daemon.rules.write_text("sources: {in: {verify: nonne}}\n")
    daemon.wait_for_line("rules not reloaded; the running rules stay", after)

    def status() -> Any:
        """The output of `status` once the drift is noted, the breaker is open and no attempt is running."""
        found = operate.json("status")
        told = "nonne" in str(found["rules"].get("drift")) and found["breakers"]
        waiting = [(target["due"], (target["breaker"] or {}).get("state")) for target in found["targets"]]
        return told and waiting == [(30, "open")] and found

    found = eventually(status)
    breaker = r"open, for \d+m?s, tried again in \d+m?s, \d+ failures"
    text = eventually(lambda: re.search(breaker, shown := operate("status").stdout) and shown)

    assert found["running"]
    assert (found["pid"], found["process"]["listen"]) == (daemon.process.pid, f"127.0.0.1:{daemon.port}")
    assert f"runs, process {daemon.process.pid}, version " in text
    assert (found["rules"]["file"], found["rules"]["rules"]) == (str(daemon.rules), 1)
    assert found["rules"]["hash"][:12] in text
    assert re.search(r"^file +not what runs for \d+m?s: .*rules\.yaml:1:", text, re.MULTILINE)
    assert found["targets"][0]["target"] == receiver.url


@pytest.mark.parametrize("command", [["events", "list"], ["deliveries", "replay", "--all"], ["status"]])
def test_a_killed_daemons_store_is_usable_at_once(
    start: Start, run: Run, receiver: Receiver, command: list[str]
) -> None:
    daemon = start(rules(receiver))
    post(daemon)
    daemon.kill()

    Operator(run, daemon)(*command)

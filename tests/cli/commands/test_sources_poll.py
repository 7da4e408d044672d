"""`sources poll`, and `test` and `status` for polled sources."""

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from router.store.sqlite.store import SqliteStore
from tests.conftest import run_in_process
from tests.polled_service import Reply, Service

Run = Callable[..., CompletedProcess[str]]

RULES = """
sources:
  jobs: {poll: {url: "URL/jobs?key={{ secrets.key }}", items: "$.jobs[*]", id: [item.id, item.status]}}
  open: {verify: none}
secrets: {key: {env: POLL_KEY}}
rules:
  - name: done
    source: jobs
    match: {$.status: completed}
    actions: [append: done.jsonl]
"""
JOBS = {"jobs": [{"id": 1, "status": "queued"}, {"id": 2, "status": "completed"}]}


@pytest.fixture
def service() -> Iterator[Service]:
    """A running service that lists two jobs."""
    service = Service()
    service.body = JOBS
    yield service
    service.stop()


@pytest.fixture
def run(tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Return a function that runs a command in a folder with rules and an empty store."""
    monkeypatch.setenv("POLL_KEY", "a-long-secret")
    (tmp_path / "rules.yaml").write_text(RULES.replace("URL", service.url))
    SqliteStore(tmp_path / "webhook-router.db").close()

    def command(*arguments: str, stdin: str = "") -> CompletedProcess[str]:
        return run_in_process(*arguments, folder=tmp_path, input=stdin)

    return command


def test_a_dry_run_shows_the_events_of_a_first_poll_and_stores_nothing(run: Run, tmp_path: Path) -> None:
    done = run("sources", "poll", "jobs", "--once", "--dry-run")

    assert done.returncode == 0, done.stderr
    assert "jobs: 2 items, 2 events would be stored" in done.stdout
    assert "with start: now it would only remember" in done.stdout
    assert '{"id":2,"status":"completed"}' in done.stdout
    assert "done / append" in done.stdout
    with closing(SqliteStore(tmp_path / "webhook-router.db")) as store:
        assert store.polls() == []


def test_a_dry_run_needs_no_store(run: Run, tmp_path: Path) -> None:
    (tmp_path / "webhook-router.db").unlink()

    assert run("sources", "poll", "jobs", "--dry-run").returncode == 0
    assert "there is no store" in run("sources", "poll", "jobs").stderr


def test_a_poll_is_stored_and_shown_by_status(run: Run, service: Service, tmp_path: Path) -> None:
    first = run("sources", "poll", "jobs", "--once")
    service.body = {"jobs": [{"id": 1, "status": "completed"}]}
    second = json.loads(run("sources", "poll", "jobs", "--once", "--json").stdout)
    status = run("status")
    [polled] = json.loads(run("status", "--json").stdout)["polls"]

    assert "existing items are only remembered, and make no events" in first.stdout
    assert [(one["payload"], one["matched"]) for one in second["events"]] == [
        ('{"id":1,"status":"completed"}', ["done"])
    ]
    assert "source jobs  1 event, polled" in status.stdout
    assert (polled["source"], polled["events"], polled["failures"]) == ("jobs", 1, 0)
    with closing(SqliteStore(tmp_path / "webhook-router.db")) as store:
        [event] = store.events()
        routing = store.routing(event.id)
        assert routing is not None
        assert store.ruleset(routing.ruleset) is not None


def test_a_poll_that_fails_says_why_without_the_secret(run: Run, service: Service) -> None:
    service.answer = lambda _: Reply(status=401)

    done = run("sources", "poll", "jobs", "--once")

    assert (done.returncode, done.stdout) == (1, "")
    assert "source jobs: HTTP 401: the service refuses the credentials" in done.stderr
    assert "a-long-secret" not in done.stderr


@pytest.mark.parametrize(("name", "words"), [("open", "source open is not polled"), ("jbos", "unknown source 'jbos'")])
def test_only_a_polled_source_can_be_polled(run: Run, name: str, words: str) -> None:
    done = run("sources", "poll", name, "--once")

    assert done.returncode == 2
    assert words in done.stderr


def test_the_command_test_shows_the_events_of_a_recorded_answer(run: Run) -> None:
    answer = json.dumps(JOBS)

    shown = run("test", "--source", "jobs", "--payload", "-", "--expect", "done", stdin=answer)
    as_json = json.loads(run("test", "--source", "jobs", "--payload", "-", "--json", stdin=answer).stdout)

    assert shown.returncode == 0, shown.stderr
    assert "event 2 of 2" in shown.stdout
    assert [one["matched"] for one in as_json["events"]] == [[], ["done"]]
    assert run("test", "--source", "jobs", "--payload", "-", "--expect-none", stdin=answer).returncode == 1
    broken = run("test", "--source", "jobs", "--payload", "-", stdin="{")
    assert "the answer is not valid JSON" in broken.stderr
    assert "is polled" in run("test", "--source", "jobs", "--payload", "-", "--query", "a=b", stdin=answer).stderr


CASES = """
- name: good
  source: jobs
  payload: {jobs: [{id: 1, status: completed}, {id: 2, status: queued}]}
  expect: {rules: [done], events: 2, deliveries: [{rule: done}]}
- name: wrong
  source: jobs
  payload: {jobs: []}
  expect: {rules: [done], events: 1}
"""


def test_cases_can_have_recorded_answers(run: Run, tmp_path: Path) -> None:
    (tmp_path / "polls.cases.yaml").write_text(CASES)

    done = run("test", "--cases", "polls.cases.yaml")

    assert done.returncode == 1
    assert "+ good" in done.stdout
    assert 'rule "done" did not match: the answer gives no event' in done.stdout
    assert "expected 1 events, but the answer gives 0" in done.stdout


@pytest.mark.parametrize("key", ["method: GET", "ip: 192.0.2.1", "query: {a: b}", "params: {a: b}"])
def test_a_case_of_a_polled_source_refuses_keys_that_describe_a_request(run: Run, tmp_path: Path, key: str) -> None:
    case = f"- {{name: x, source: jobs, {key}, payload: {{jobs: []}}, expect: {{rules: []}}}}"
    (tmp_path / "polls.cases.yaml").write_text(case)

    done = run("test", "--cases", "polls.cases.yaml")

    assert "nobody sends to a polled source" in done.stdout + done.stderr


def test_nothing_can_be_sent_to_a_polled_source(run: Run, tmp_path: Path) -> None:
    (tmp_path / "p.json").write_text("{}")

    assert "the router asks this source itself" in run("send", "p.json", "--source", "jobs").stderr

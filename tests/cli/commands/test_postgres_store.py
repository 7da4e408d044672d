"""The commands on a store in PostgreSQL."""

import json
import socket
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from router.cli.main import main
from router.domain.deliveries import PlannedDelivery, RulesetText, Settlement, State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome
from router.store.postgres.store import PostgresStore
from router.store.postgres.url import parse_url
from tests.conftest import forked_program

NOW = 1_700_000_000_000
SECRET = "s3cr3t"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Return a function that runs a command and gives its exit code, output and errors."""

    def run_one(*arguments: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        out, err = capsys.readouterr()
        return int(str(ended.value.code)), out, err

    return run_one


@pytest.fixture
def filled(postgres_store_url: str) -> tuple[str, str, str]:
    """A store's URL, and the ids of its event and of a dead delivery."""
    event, delivery = uuid7(NOW), uuid7(NOW)
    with closing(PostgresStore(parse_url(postgres_store_url))) as store:
        store.put_ruleset(RulesetText("r1", "version: 1", "/etc"), NOW).result(30)
        made = Event(event, "github", "POST", "/hooks/github", "", (("X-A", "1"),), b"{}", "192.0.2.1", NOW)
        plan = [PlannedDelivery(delivery, "deploy", "forward", "forward", "ci")]
        store.append(made, plan, "r1", matched=["deploy"]).result(30)
        [claim] = store.claim({"ci": 1}, NOW).result(30)
        end = Settlement(delivery, claim.token, Outcome.failed("HTTP 410", 410), State.DEAD, NOW + 5, NOW)
        store.settle([end]).result(30)
    return postgres_store_url, event, delivery


def test_stored_events_and_deliveries_are_listed_and_shown(run: Run, filled: tuple[str, str, str]) -> None:
    url, event, delivery = filled

    for arguments, shown in (
        (["events", "list"], event),
        (["events", "show", event[:13]], "X-A"),
        (["deliveries", "list"], "dead"),
        (["deliveries", "show", delivery], "HTTP 410"),
        (["targets", "list"], "ci"),
        (["status"], url),
        (["store", "check"], "the store is sound"),
    ):
        code, out, err = run(*arguments, "--store", url)
        assert (code, err) == (0, ""), arguments
        assert shown in out, arguments


def test_deliveries_are_replayed_and_cancelled_and_targets_paused(run: Run, filled: tuple[str, str, str]) -> None:
    url, _, delivery = filled

    assert run("deliveries", "replay", delivery, "--store", url)[0] == 0
    assert json.loads(run("deliveries", "show", delivery, "--json", "--store", url)[1])["state"] == "pending"
    assert run("targets", "pause", "ci", "--store", url)[0] == 0
    assert "paused" in run("deliveries", "list", "--store", url)[1]
    assert run("targets", "resume", "ci", "--store", url)[0] == 0
    assert run("deliveries", "cancel", delivery, "--store", url)[0] == 0
    assert json.loads(run("deliveries", "show", delivery, "--json", "--store", url)[1])["state"] == "cancelled"


def wrong_urls(port: int) -> list[str]:
    """URLs of a stopped server, with an unknown option, and without a database."""
    return [
        f"postgresql://me:{SECRET}@127.0.0.1:{port}/hooks",
        f"postgresql://me:{SECRET}@127.0.0.1/hooks?sslmod=x",
        f"postgresql://me:{SECRET}@db",
    ]


@pytest.mark.parametrize("command", [["status"], ["events", "list"], ["store", "check"]])
def test_an_unusable_store_gives_a_one_line_error_and_exit_code_3(run: Run, command: list[str]) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        for url in wrong_urls(taken.getsockname()[1]):
            code, out, err = run(*command, "--store", url)

            assert (code, out) == (3, ""), url
            check_refusal(err)


def test_serve_refuses_a_wrong_store_url(tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(
        "version: 1\nsources: {a: {verify: none}}\nrules: [{name: r, actions: [{append: a.jsonl}]}]\n"
    )
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        url = wrong_urls(taken.getsockname()[1])[0]
        command = [forked_program(), "serve", "rules.yaml", "--listen", "127.0.0.1:0", "--admin", "off", "--store", url]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)

    assert done.returncode == 3
    check_refusal(done.stderr)


def check_refusal(err: str) -> None:
    """Check that the error is one line without the password."""
    assert err.startswith("webhook-router: could not start: the store")
    assert err.count("\n") == 1
    assert SECRET not in err


def test_store_backup_of_postgresql_points_to_the_databases_own_tools(run: Run, filled: tuple[str, str, str]) -> None:
    code, _, err = run("store", "backup", "copy.db", "--store", filled[0])

    assert code == 1
    assert "pg_dump" in err

"""A real daemon, started like by systemd."""

import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon
from tests.daemon.test_systemd import Listening

RULES = """\
sources: {{open: {{verify: none}}}}
rules:
  - name: {name}
    actions: [append: out.jsonl]
"""


@pytest.fixture
def systemd() -> Iterator[Listening]:
    """A listening service manager."""
    with tempfile.TemporaryDirectory() as folder:
        listening = Listening(f"{folder}/notify")
        yield listening
        listening.close()


def _hear(systemd: Listening, key: str) -> dict[str, str]:
    """Read datagrams until one has this key. Return it."""
    for _ in range(1000):
        heard = systemd.hear(60)
        if key in heard:
            return heard
    raise AssertionError(f"never heard {key}")


def test_the_daemon_notifies_systemd_of_start_reload_and_stop(start: Callable[..., Daemon], systemd: Listening) -> None:
    daemon = start(RULES.format(name="one"), env={"NOTIFY_SOCKET": systemd.name}, flags=("--grace", "20"))
    ready = systemd.hear()
    assert ready["READY"] == "1"
    assert ready["STATUS"].startswith(f"serving on 127.0.0.1:{daemon.port}, 1 rules, hash ")

    daemon.rules.write_text(RULES.format(name="two"))
    assert _hear(systemd, "RELOADING")["RELOADING"] == "1"
    assert _hear(systemd, "READY")["STATUS"].startswith("serving on ")

    daemon.rules.write_text("sources: [\n")
    _hear(systemd, "RELOADING")
    refused = _hear(systemd, "READY")["STATUS"]
    assert f"; the rules file is not what runs: {daemon.rules}:" in refused

    daemon.rules.write_text(RULES.format(name="two"))  # the rules are unchanged, so only the status changes
    assert "not what runs" not in _hear(systemd, "STATUS")["STATUS"]

    daemon.process.send_signal(signal.SIGHUP)
    _hear(systemd, "RELOADING")
    _hear(systemd, "READY")

    assert daemon.stop() == 0
    stopping = _hear(systemd, "STOPPING")
    assert int(stopping["EXTEND_TIMEOUT_USEC"]) > 20_000_000


def test_watchdog_pings_stop_while_the_daemon_is_stopped(start: Callable[..., Daemon], systemd: Listening) -> None:
    daemon = start(RULES.format(name="one"), env={"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "2000000"})
    for _ in range(3):
        assert _hear(systemd, "WATCHDOG") == {"WATCHDOG": "1"}

    daemon.process.send_signal(signal.SIGSTOP)
    with pytest.raises(TimeoutError):
        for _ in range(10):  # earlier datagrams may still be in the socket
            systemd.hear(2)
    daemon.process.send_signal(signal.SIGCONT)

    assert _hear(systemd, "WATCHDOG")
    assert daemon.stop() == 0


def test_a_watchdog_for_another_process_is_ignored(start: Callable[..., Daemon], systemd: Listening) -> None:
    start(
        RULES.format(name="one"),
        env={"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "100000", "WATCHDOG_PID": "1"},
    )

    assert "READY" in systemd.hear()
    with pytest.raises(TimeoutError):
        systemd.hear(1)


def test_commands_do_not_inherit_the_variables_of_systemd(
    start: Callable[..., Daemon], systemd: Listening, tmp_path: Path, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    text = (
        "sources: {open: {verify: none}}\n"
        "rules:\n  - name: env\n    allow_unverified: true\n    actions: [command: {shell: env > seen; mv seen env}]\n"
    )
    daemon = start(text, env={"NOTIFY_SOCKET": systemd.name, "WATCHDOG_USEC": "60000000"})
    daemon.post("/hooks/open", b"{}")

    eventually((tmp_path / "env").exists)

    assert "NOTIFY" not in (tmp_path / "env").read_text()
    assert "WATCHDOG" not in (tmp_path / "env").read_text()

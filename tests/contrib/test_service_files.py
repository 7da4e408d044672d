"""The files in contrib and the Containerfile are parsed, and checked by the real tools where these are installed."""

import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from router.cli.main import NOT_STARTED, USAGE, cli
from router.daemon.lifecycle import ANSWER_SECONDS, LAST_SECONDS
from router.daemon.settings import GRACE_SECONDS
from tests.conftest import Daemon, run_in_process

ROOT = Path(__file__).parents[2]
UNIT = ROOT / "contrib" / "systemd" / "webhook-router.service"
CONTAINER = (ROOT / "Containerfile").read_text()
ROTATION = (ROOT / "contrib" / "logrotate" / "webhook-router").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
RULES = "sources: {open: {verify: none}}\nrules: [{name: all, actions: [append: out.jsonl]}]\n"


def _service() -> dict[str, list[str]]:
    """The keys of the unit's [Service] section with all their values."""
    found: dict[str, list[str]] = {}
    for line in UNIT.read_text().partition("[Service]")[2].partition("\n[")[0].splitlines():
        if line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


def _flags_exist(command: str, flags: list[str]) -> bool:
    known = {flag for parameter in cli.commands[command].params for flag in parameter.opts if flag.startswith("-")}
    return set(flags) <= known


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("NotifyAccess", "main"),
        ("KillMode", "control-group"),
        ("ExecReload", "/bin/kill -HUP $MAINPID"),
        ("Restart", "on-failure"),
        ("RestartPreventExitStatus", str(USAGE)),
        ("User", "webhook-router"),
        ("UMask", "0077"),
        ("LimitCORE", "0"),  # the watchdog's SIGABRT would dump memory with secrets
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("ProtectHome", "yes"),
        ("PrivateTmp", "yes"),
        ("PrivateDevices", "yes"),
        ("CapabilityBoundingSet", ""),
        ("RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6"),
        ("MemoryDenyWriteExecute", "yes"),
        ("StateDirectory", "webhook-router"),
        ("ConfigurationDirectory", "webhook-router"),
    ],
)
def test_the_unit_sets_every_hardening_option(key: str, value: str) -> None:
    assert _service()[key] == [value]


def test_the_unit_starts_and_stops_existing_commands() -> None:
    service = _service()
    program, command, *arguments = shlex.split(service["ExecStart"][0])

    assert Path(program).name == "webhook-router"
    assert _flags_exist(command, [argument for argument in arguments if argument.startswith("-")])
    assert int(service["TimeoutStopSec"][0]) > GRACE_SECONDS + ANSWER_SECONDS + LAST_SECONDS
    assert int(service["WatchdogSec"][0]) >= 10  # longer than a busy machine delays a ping
    assert NOT_STARTED not in map(int, service["RestartPreventExitStatus"])  # a port or a disk may be free later
    assert service["SystemCallFilter"] == ["@system-service", "~@privileged"]


def test_systemd_analyze_accepts_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze on this machine")
    copy = tmp_path / UNIT.name
    # The program may be missing on this machine.
    copy.write_text(re.sub(r"(?m)^ExecStart=\S+", "ExecStart=/bin/true", UNIT.read_text()))

    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False, timeout=60)

    about_us = [line for line in (done.stdout + done.stderr).splitlines() if UNIT.name in line]
    assert (about_us, done.returncode) == ([], 0)


def test_systemd_analyze_rates_the_unit_as_safe(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze on this machine")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text())

    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", copy],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze judges no unit that isn't loaded")
    level = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)

    assert level, done
    assert float(level[1]) < 2.0  # of 10; a unit without hardening options has 9 or more


def test_systemd_analyze_rejects_a_broken_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze on this machine")
    copy = tmp_path / UNIT.name
    copy.write_text(UNIT.read_text().replace("KillMode=control-group", "KillMode=all-of-them"))

    done = subprocess.run(["systemd-analyze", "verify", copy], capture_output=True, text=True, check=False, timeout=60)

    assert "all-of-them" in done.stderr


def _instructions(stage: str) -> list[tuple[str, str]]:
    joined = stage.replace("\\\n", " ")
    lines = [line.strip() for line in joined.splitlines()]
    return [(line.split()[0], line.partition(" ")[2].strip()) for line in lines if line and not line.startswith("#")]


def test_the_container_runs_unprivileged_and_has_a_health_check() -> None:
    *_, last = CONTAINER.partition("\nFROM ")[2].split("\nFROM ")
    found = dict(_instructions("FROM " + last))

    user, _, group = found["USER"].partition(":")
    assert int(user) > 0
    assert int(group) > 0
    assert found["STOPSIGNAL"] == "SIGTERM"
    assert found["VOLUME"] == "/var/lib/webhook-router"
    assert "CMD" in found["HEALTHCHECK"]
    assert "FROM" in found
    assert not re.search(r"(?i)secret|token|password", found["ENV"])


def test_the_container_copies_and_runs_existing_files() -> None:
    for line in re.findall(r"^COPY (?!--from)(.+)$", CONTAINER, re.MULTILINE):
        for name in line.split()[:-1]:
            assert (ROOT / name).exists(), name
            assert f"!{name.removeprefix('./')}" in (ROOT / ".dockerignore").read_text().splitlines(), name
    readme = re.search(r'^readme = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert readme
    assert readme[1] in CONTAINER  # pip needs it for the build
    variables = set(re.findall(r"WEBHOOK_ROUTER_[A-Z_]+", CONTAINER))
    known = {
        variable
        for command in cli.commands.values()
        for parameter in command.params
        if isinstance(parameter, click.Option) and isinstance(variable := parameter.envvar, str)
    }
    assert variables <= known
    commands = re.findall(r"^(?:CMD|ENTRYPOINT) \[(.+)\]", CONTAINER, re.MULTILINE)
    assert commands == ['"webhook-router"', '"serve", "/etc/webhook-router/rules.yaml"']
    [check] = re.findall(r"^HEALTHCHECK .*CMD \[(.+)\]", CONTAINER, re.MULTILINE)
    assert check == '"webhook-router", "healthy"'


def test_the_health_check_asks_a_running_daemon(start: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = start(RULES)
    admin = f"127.0.0.1:{daemon.admin_port}"

    assert run_in_process("healthy", "--admin", admin, folder=tmp_path).stdout == "healthy\n"
    assert (
        run_in_process("healthy", "--ready", "--admin", f"0.0.0.0:{daemon.admin_port}", folder=tmp_path).stdout
        == "ready\n"
    )
    intake = run_in_process("healthy", "--admin", f"127.0.0.1:{daemon.port}", folder=tmp_path)
    assert (intake.returncode, intake.stderr) == (1, "the daemon is not healthy: it answered 404\n")
    daemon.kill()
    dead = run_in_process("healthy", "--admin", admin, folder=tmp_path)
    assert (dead.returncode, dead.stdout) == (1, "")
    assert dead.stderr == f"webhook-router: the daemon at {admin} can't be reached: Connection refused; does it run?\n"
    assert run_in_process("healthy", "--admin", "off", folder=tmp_path).returncode == 2
    assert run_in_process("healthy", "--admin", "nonsense", folder=tmp_path).returncode == 2


def test_the_health_check_works_with_a_required_token(start: Callable[..., Daemon], tmp_path: Path) -> None:
    token = "0123456789abcdef0123"
    (tmp_path / "token").write_text(token + "\n")
    daemon = start(RULES, flags=("--admin", "0.0.0.0:0", "--admin-token-file", str(tmp_path / "token")))
    admin = ("--admin", f"127.0.0.1:{daemon.admin_port}")

    without = run_in_process("healthy", *admin, folder=tmp_path)

    assert without.returncode == 1
    assert "needs a token" in without.stderr
    assert run_in_process("healthy", *admin, "--admin-token-file", tmp_path / "token", folder=tmp_path).returncode == 0
    assert "can't be read" in run_in_process("healthy", *admin, "--admin-token-file", "none", folder=tmp_path).stderr


@pytest.mark.parametrize("answer", [b"", b"\0\xff\r\n\r\n", b"HTTP/9 x\r\n"])
def test_the_health_check_fails_cleanly_on_any_answer(answer: bytes, tmp_path: Path) -> None:
    import socket
    import threading

    with socket.create_server(("127.0.0.1", 0)) as server:

        def speak() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        done = run_in_process("healthy", "--admin", f"127.0.0.1:{server.getsockname()[1]}", folder=tmp_path)
        thread.join()

    assert done.returncode == 1
    assert "can't be reached: it does not speak HTTP" in done.stderr


def _rotated() -> dict[str, list[str]]:
    """The directives of each entry of the logrotate example, by path."""
    plain = re.sub(r"(?m)^\s*#.*$", "", ROTATION)
    return {
        path: [line.strip() for line in body.splitlines() if line.strip()]
        for path, body in re.findall(r"(\S+) \{\n(.*?)\n\}", plain, re.DOTALL)
    }


def test_the_logrotate_example_renames_instead_of_copying() -> None:
    entries = _rotated()

    appended = entries["/var/lib/webhook-router/*.jsonl"]
    assert "copytruncate" not in appended
    assert {"nocreate", "delaycompress", "missingok"} <= set(appended)
    assert "copytruncate" in entries["/var/log/webhook-router/log"]


def test_logrotate_accepts_the_example(tmp_path: Path) -> None:
    program = shutil.which("logrotate") or shutil.which("logrotate", path="/usr/sbin:/sbin")
    if program is None:
        pytest.skip("there is no logrotate on this machine")
    example = tmp_path / "webhook-router"
    example.write_text(re.sub(r"(?m)^\s*su .*$", "", ROTATION))  # the user may be missing on this machine

    done = subprocess.run(
        [program, "--debug", "--state", tmp_path / "state", example], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0
    assert "error" not in done.stderr.lower()


def test_lines_appended_after_a_rotation_go_to_a_new_file(
    start: Callable[..., Daemon], tmp_path: Path, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    daemon = start(RULES)
    current, rotated = tmp_path / "out.jsonl", tmp_path / "out.jsonl.1"
    first = daemon.post("/hooks/open", b"{}").json["id"]
    eventually(lambda: current.exists() and first in current.read_text())

    current.rename(rotated)  # like logrotate with nocreate
    second = daemon.post("/hooks/open", b"{}").json["id"]

    eventually(lambda: current.exists() and second in current.read_text())
    assert first in rotated.read_text()
    assert second not in rotated.read_text()
    assert current.stat().st_mode & 0o777 == 0o600


def test_every_service_file_is_documented_in_operations() -> None:
    for name in ("contrib/systemd/webhook-router.service", "contrib/logrotate/webhook-router", "Containerfile"):
        assert f"](../{name})" in OPERATIONS

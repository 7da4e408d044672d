"""The package of docs/extending.md is built, installed and run in a real daemon."""

import importlib
import inspect
import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from email.message import Message
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Message as MessageHandler

from router.plugins.entry_points import RESERVED
from router.rules.compile.actions import ACTION_KEYS
from tests.conftest import Daemon, forked_program
from tests.free_port import free_port
from tests.plugins.conftest import PAGE, written

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]
RULES = """
sources:
  acme: {{verify: {{scheme: acme, secret: {{env: ACME_KEY}}}}}}
rules:
  - name: alarm
    match: {{$.level: alarm}}
    actions:
      - mail:
          host: 127.0.0.1
          port: {port}
          tls: none
          sender: router@example.com
          to: [ops@example.com]
          subject: "{{{{ payload.title }}}}"
          text: "{{{{ payload.text }}}}"
"""
KEY = "key-of-acme-for-tests"


class _Inbox(MessageHandler):
    def __init__(self) -> None:
        super().__init__()
        self.messages: list[Message] = []

    def handle_message(self, message: Message) -> None:
        self.messages.append(message)


@pytest.fixture
def smtp() -> Iterator[tuple[int, _Inbox]]:
    """Run a real SMTP server. Yields its port and its received messages."""
    inbox = _Inbox()
    port = free_port()
    controller = Controller(inbox, hostname="127.0.0.1", port=port, ready_timeout=60)
    controller.start()
    try:
        yield port, inbox
    finally:
        controller.stop()


def _run(folder: Path, program: str, *arguments: str | Path, **more: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ACME_KEY": KEY, **more}
    command = [program, *map(str, arguments)]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="session")
def acme_program(acme: Path, program_with: Callable[[Path], str]) -> str:
    """The program with the plugins of the page."""
    return program_with(acme)


@pytest.fixture(scope="session")
def broken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with plugins that can't be used."""
    return written(tmp_path_factory.mktemp("broken") / "path", BROKEN, MODULES)


@pytest.fixture(scope="session")
def broken_program(broken: Path, program_with: Callable[[Path], str]) -> str:
    """The program with plugins that can't be used."""
    return program_with(broken)


def test_the_documented_package_verifies_events_and_sends_mail(
    start: Start, eventually: Wait, acme_program: str, smtp: tuple[int, _Inbox], tmp_path: Path
) -> None:
    port, inbox = smtp
    daemon = start(RULES.format(port=port), env={"ACME_KEY": KEY}, program=(acme_program,))
    (tmp_path / "alarm.json").write_text('{"level": "alarm", "title": "Disk full", "text": "on host 7 é"}')

    assert daemon.post("/hooks/acme", b"{}", {"X-Acme-Time": "1", "X-Acme-Signature": "00"}).status == 401
    to = f"127.0.0.1:{daemon.port}"
    sent = _run(tmp_path, acme_program, "send", "alarm.json", "--source", "acme", "--rules", daemon.rules, "--to", to)

    assert sent.returncode == 0, sent.stderr
    [message] = eventually(lambda: inbox.messages)
    assert (message["Subject"], message["To"]) == ("Disk full", "ops@example.com")
    assert message.get_payload(decode=True).decode().strip() == "on host 7 é"
    daemon.wait_for_line("attempt settled", outcome="succeeded")
    assert daemon.wait_for_line("plugin loaded", kind="action", name="mail", package="acme-router-plugins 1.0")
    assert daemon.wait_for_line("plugin loaded", kind="scheme", name="acme")
    status = json.loads(_run(tmp_path, acme_program, "status", "--store", f"sqlite:{daemon.store}", "--json").stdout)
    assert [(one["name"], one["error"]) for one in status["process"]["plugins"]] == [("mail", None), ("acme", None)]


def test_commands_work_with_the_plugin(acme_program: str, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(RULES.format(port=25))
    (tmp_path / "alarm.json").write_text('{"level": "alarm", "title": "Disk\\nfull", "text": "x"}')

    checked = _run(tmp_path, acme_program, "check", "--strict")
    tried = _run(tmp_path, acme_program, "test", "--payload", "alarm.json")
    schema = json.loads(_run(tmp_path, acme_program, "schema").stdout)

    assert checked.stdout == "rules.yaml: fine, 1 rule, 1 source\n"
    assert "the subject would have a line break" in tried.stdout
    mail = {"host": "h", "sender": "a@b", "to": ["a@b"], "subject": "s", "text": "t"}
    rules: dict[str, Any] = {
        "sources": {"acme": {"verify": {"scheme": "acme", "secret": {"env": "X"}}}},
        "rules": [{"name": "r", "actions": [{"mail": mail, "retry": {"on": ["network"]}}]}],
    }
    jsonschema.validate(rules, schema)
    for wrong in ({**mail, "prt": 25}, {**mail, "tls": "no"}):
        rules["rules"][0]["actions"][0]["mail"] = wrong
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(rules, schema)


def test_the_error_for_an_option_of_a_plugin_names_its_place(acme_program: str, tmp_path: Path) -> None:
    text = (
        RULES.format(port=25).replace("ops@example.com", "ops").replace("tls: none", "tls: non\n          usrname: x")
    )
    (tmp_path / "rules.yaml").write_text(text.replace("tls: non\n", "tls: none\n"))

    checked = _run(tmp_path, acme_program, "check")

    assert checked.returncode == 1
    assert 'rules[0] "alarm".actions[0].mail: unknown key "usrname"; did you mean "username"?' in checked.stderr
    (tmp_path / "rules.yaml").write_text(RULES.format(port=25).replace("ops@example.com", "ops"))
    assert "mail.to[0]: expected one address, such as ops@example.com" in _run(tmp_path, acme_program, "check").stderr


WILD = """
import asyncio
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from router.domain.outcomes import Outcome
from router.plugins.action import ActionType
from router.plugins.options import Options
from router.plugins.target import TargetSpec

class How(Options):
    how: str

@dataclass(frozen=True)
class Wild:
    how: str
    target: TargetSpec
    type: str = "wild"
    def preview(self, job):
        if self.how == "exit":
            raise SystemExit(3)
        return {"how": object() if self.how == "object" else self.how}
    async def attempt(self, job, tools):
        if self.how == "exit":
            raise SystemExit(3)
        if self.how == "interrupt":
            raise KeyboardInterrupt
        if self.how == "cancel":
            raise asyncio.CancelledError
        if self.how == "types":
            return Outcome.retry(b"x", "y")
        return Outcome.failed("a\\0" + "long " * 1000)

def compile(options, build):
    if options.how == "leave":
        raise SystemExit(3)
    return Wild(options.how, TargetSpec(options.how, 1))

@asynccontextmanager
async def opened():
    raise SystemExit(3)
    yield

WILD = ActionType(name="wild", options=How, compile=compile)
CLOSED = replace(WILD, name="closed", open_resources=opened)
"""
BROKEN = {
    "webhook_router.actions": {
        "gone": "no_such_module:X",
        "raises": "raises:X",
        "exits": "exits:X",
        "bare": "bare:X",
        "mute": "mute:X",
        "odd": "odd:NUMBER",
        "other": "odd:TYPE",
        "forward": "odd:TYPE",
        "retry": "odd:TYPE",
        "Loud": "odd:TYPE",
        "fails": "odd:FAILS",
        "wild": "wild:WILD",
        "closed": "wild:CLOSED",
    },
    "webhook_router.schemes": {"github": "odd", "half": "odd", "shut": "shut"},
}
MODULES = {
    "raises": 'raise RuntimeError("it is broken")',
    "exits": "import sys; sys.exit(3)",
    "bare": "print('read me')\nclass Bare(BaseException):\n    pass\nraise Bare('\x1b[31mred')",
    "mute": "class Mute(Exception):\n    def __str__(self):\n        raise ValueError\nraise Mute",
    "wild": WILD,
    "odd": (
        "from router.plugins.action import ActionType\nfrom router.plugins.options import Options\nNUMBER = 5\n"
        'TYPE = ActionType(name="another", options=Options, compile=lambda o, b: None)\n'
        "def _fails(options, build):\n    raise KeyError('oh')\n"
        'FAILS = ActionType(name="fails", options=Options, compile=_fails)\n'
    ),
    "shut": (
        "from router.plugins.options import Options as Base\nfrom router.plugins.scheme import SenderProfile\n"
        "DEFAULTS = {}\nPROFILE = SenderProfile()\nclass Options(Base):\n    pass\n"
        "class V:\n    verifies = True\n    signed_parts = None\n    def verify(self, inbound, now):\n        return 1 / 0\n"
        "    def sign(self, inbound, now):\n        return 1 / 0\n"
        "def compile(options, build):\n    return V()\n"
    ),
}
REASONS = {
    "gone": "ModuleNotFoundError: No module named 'no_such_module'",
    "raises": "RuntimeError: it is broken (",
    "exits": "SystemExit: 3 (",
    "bare": "Bare: [31mred (",
    "mute": "Mute (",
    "odd": "expected an ActionType of router.plugins.action, found int",
    "other": 'its ActionType is called "another", and its entry point "other"; they have to agree',
    "forward": "its name is taken by the program itself; the package has to choose another",
    "retry": "its name is a key of the rules file; the package has to choose another",
    "Loud": "its name is not a word of lower-case letters",
    "github": "its name is taken by the program itself",
    "half": "a scheme has Options, DEFAULTS, PROFILE and compile; it lacks DEFAULTS, PROFILE, compile",
}


def test_unusable_plugins_are_reported_and_nothing_else_fails(
    start: Start, eventually: Wait, broken_program: str, tmp_path: Path
) -> None:
    good = "sources: {open: {verify: none}, shut: {verify: {scheme: shut}}}\nrules: [{name: r, source: open, actions: [append: out/x.jsonl]}]\nunmatched: [append: out/y]\n"
    daemon = start(good, program=(broken_program,))

    assert daemon.post("/hooks/open", b"{}", {"Content-Type": "application/json"}).status == 202
    eventually((tmp_path / "out" / "x.jsonl").exists)
    assert daemon.post("/hooks/shut", b"{}", {}).status == 503  # a source with a failing scheme accepts nothing
    checked = _run(tmp_path, broken_program, "check", "--strict")
    status = _run(tmp_path, forked_program(), "status", "--store", f"sqlite:{daemon.store}").stdout
    logged = {one["name"]: one["error"] for one in daemon.lines if one["message"] == "plugin can't be used"}
    daemon.stop()

    assert checked.returncode == 0
    assert checked.stdout == "rules.yaml: fine, 1 rule, 2 sources\n"
    assert set(logged) == set(REASONS)
    for name, reason in REASONS.items():
        assert logged[name].startswith(reason)
        assert re.search(
            rf'"{name}" \(package broken-plugins 2\.0\) can\'t be used: {re.escape(reason)}', checked.stderr
        )
        assert f'"{name}" (broken-plugins 2.0) can\'t be used: {reason[:40]}' in " ".join(status.split())


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        ("raises: {}", 'the plugin for the action "raises" (package broken-plugins 2.0) can\'t be used: RuntimeError'),
        ("fails: {}", "the plugin of broken-plugins 2.0 fails: KeyError: 'oh'"),
        ("wild: {how: leave}", "the plugin of broken-plugins 2.0 fails: SystemExit: 3"),
    ],
)
def test_the_error_for_a_rule_with_an_unusable_plugin_says_why(
    broken_program: str, tmp_path: Path, rule: str, problem: str
) -> None:
    text = f"sources: {{open: {{verify: none}}}}\nrules: [{{name: r, actions: [{{{rule}}}]}}]\n"
    (tmp_path / "rules.yaml").write_text(text)

    checked = _run(tmp_path, broken_program, "check")

    assert checked.returncode == 1
    assert problem in checked.stderr
    assert "Traceback" not in checked.stderr


@pytest.mark.parametrize("how", ["exit", "object"])
def test_a_failing_preview_is_reported(broken_program: str, tmp_path: Path, how: str) -> None:
    text = f"sources: {{open: {{verify: none}}}}\nrules: [{{name: r, actions: [{{wild: {{how: {how}}}}}]}}]\n"
    (tmp_path / "rules.yaml").write_text(text)
    (tmp_path / "payload.json").write_text("{}")

    tested = _run(tmp_path, broken_program, "test", "--payload", "payload.json")

    assert "the plugin of broken-plugins 2.0 fails: " in tested.stdout
    assert "report it" not in tested.stderr


def test_an_exception_of_a_plugin_does_not_stop_other_deliveries(
    start: Start, eventually: Wait, broken_program: str, tmp_path: Path
) -> None:
    ways = ["exit", "interrupt", "cancel", "types", "text"]
    actions = [f"{{name: {how}, wild: {{how: {how}}}, retry: {{attempts: 1}}}}" for how in ways]
    actions += ["{name: shut, closed: {how: shut}}", "append: out/x.jsonl"]
    daemon = start(
        f"sources: {{open: {{verify: none}}}}\nrules: [{{name: r, actions: [{', '.join(actions)}]}}]\n",
        program=(broken_program,),
    )

    def errors() -> dict[str, str]:
        settled = [one for one in daemon.lines if one["message"] == "attempt settled"]
        return {one["action"]: one["error"] for one in settled if one.get("error")}

    assert daemon.post("/hooks/open", b"{}", {"Content-Type": "application/json"}).status == 202
    eventually((tmp_path / "out" / "x.jsonl").exists)
    eventually(lambda: set(errors()) == {*ways, "shut"})
    found = errors()
    assert found["shut"] == "the plugin of broken-plugins 2.0 can't open its resources: SystemExit"
    assert found["types"] == "internal error (TypeError)"
    assert {found[how] for how in ("exit", "interrupt", "cancel")} == {"internal error (RuntimeError)"}
    assert found["text"].startswith("a long long") and len(found["text"]) == 500


def test_only_the_deliveries_of_a_removed_plugin_fail(start: Start, acme_program: str, tmp_path: Path) -> None:
    text = (
        "sources: {open: {verify: none}}\ndefaults: {retry: {initial: 1h}}\nrules:\n  - name: r\n    actions:\n"
        "      - mail: {host: 127.0.0.1, port: 1, tls: none, sender: a@b, to: [a@b], subject: s, text: t}\n"
        "      - append: out/x.jsonl\n"
    )
    daemon = start(text, program=(acme_program,))
    daemon.post("/hooks/open", b"{}", {"Content-Type": "application/json"})
    line = daemon.wait_for_line("attempt settled", action="mail")
    assert line["error"] == "no mail by 127.0.0.1:1: ConnectionRefusedError"
    daemon.stop()

    (tmp_path / "rules.yaml").write_text(
        "sources: {open: {verify: none}}\nrules: [{name: other, actions: [append: out/z]}]"
    )
    daemon = start(tmp_path / "rules.yaml")
    store = f"sqlite:{daemon.store}"
    _run(tmp_path, forked_program(), "deliveries", "replay", "--store", store, "--rule", "r", "--state", "succeeded")
    _run(tmp_path, forked_program(), "deliveries", "replay", "--store", store, "--rule", "r", "--state", "pending")

    failed = daemon.wait_for_line("attempt settled", action="mail")
    assert (failed["state"], failed["error"]) == (
        "dead",
        'the plugin of action "mail" is not installed, or can\'t be used',
    )
    assert daemon.wait_for_line("attempt settled", action="append")["state"] == "succeeded"


def test_every_documented_name_for_plugins_exists_and_has_a_docstring() -> None:
    table = re.findall(r"^\| `(router\.[\w.]+)` \| (.+) \|$", PAGE.read_text(), re.MULTILINE)
    assert len(table) >= 15
    for module, cell in table:
        found = importlib.import_module(module)
        for name, members in re.findall(r"`(\w+)`(?: \(([^)]*)\))?", cell):
            if name.islower() and not hasattr(found, name):
                continue  # a member is written in parentheses after its class
            value = getattr(found, name)
            if inspect.isclass(value) or inspect.isfunction(value):
                assert inspect.getdoc(value), f"{module}.{name}"
            for member in re.findall(r"`(\w+)`", members or ""):
                assert hasattr(value, member) or member in value.__dataclass_fields__, f"{module}.{name}.{member}"


def test_a_plugin_can_not_have_the_name_of_a_key_of_actions() -> None:
    assert set(ACTION_KEYS) <= RESERVED

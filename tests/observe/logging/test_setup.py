"""Each log entry is one line without control characters."""

import json
import logging
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime
from typing import Any

import pytest

from router.observe.logging.libraries import bounded, constant_part
from router.observe.logging.setup import has_colours, json_line
from router.observe.logging.text import TextLine

BEGIN = """
import structlog, sys
from router.observe.logging import libraries
from router.observe.logging.setup import configure
configure(sys.argv[1], sys.argv[2])
libraries.listen()
log = structlog.get_logger()
"""
SAY = BEGIN + 'log.info("event received", event_id="e", matched=["a"], deliveries=1)\nlog.debug("not heard")'
NOW = datetime(2026, 1, 2, 3, 4, 5, 678_901, UTC)
HOSTILE = "a\x1b[31m\x9b\x7f\n\r\u202e\u2028\ud800é"


def _run(script: str, level: str = "info", style: str = "json") -> list[str]:
    arguments = [sys.executable, "-c", script, level, style]
    return subprocess.run(arguments, capture_output=True, text=True, check=True).stderr.splitlines()


def _on_a_terminal(script: str, **environ: str) -> str:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-c", script, "info", "auto"],
        stderr=theirs, env={**os.environ, "TZ": "UTC", "TERM": "xterm-256color", "NO_COLOR": "", **environ},
    )  # fmt: skip
    os.close(theirs)
    process.wait()
    with os.fdopen(ours, "rb") as terminal:
        return terminal.read1(10_000).decode()


def _text(level: str = "info", **fields: Any) -> str:
    return TextLine(colours=False, terminal=False).line({"event": "said", **fields}, level, NOW)


def test_a_json_line_has_its_fields_then_level_time_and_message() -> None:
    before = datetime.now(UTC)
    [line] = [json.loads(line) for line in _run(SAY)]

    assert list(line) == ["event_id", "matched", "deliveries", "level", "timestamp", "message"]
    assert (line["matched"], line["level"], line["message"]) == (["a"], "info", "event received")
    assert line["timestamp"].endswith("Z")
    assert before <= datetime.fromisoformat(line["timestamp"]) <= datetime.now(UTC)


def test_a_text_line_has_time_level_message_and_ids_last() -> None:
    line = _text(event_id="e", matched=["a", "b c"], none=[], status=None, error='it said "no"', ok=True, ms=5)

    assert line == (
        '2026-01-02T03:04:05.678901Z info    said  matched=a,"b c" none=none error="it said \\"no\\"" ok=yes ms=5 event_id=e'
    )
    assert _text() == "2026-01-02T03:04:05.678901Z info    said"


def test_a_terminal_gets_the_time_of_day_and_colours_unless_disabled() -> None:
    coloured = _on_a_terminal(SAY)
    plain = [_on_a_terminal(SAY, **wish) for wish in ({"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""})]

    assert "\x1b[32minfo" in coloured
    assert coloured.count("\n") == 1
    for line in plain:
        assert "\x1b" not in line
        assert line.split()[1:] == ["info", "event", "received", "matched=a", "deliveries=1", "event_id=e"]
        assert len(line.split()[0]) == len("03:04:05.678")
    assert not has_colours(False, {"TERM": "xterm"})


@pytest.mark.parametrize("place", ["value", "list", "mapping", "message"])
def test_hostile_text_stays_one_line_without_control_characters(place: str) -> None:
    found: Any = {"value": HOSTILE, "list": [HOSTILE], "mapping": {HOSTILE: HOSTILE}, "message": "said"}[place]
    message = HOSTILE if place == "message" else "said"

    text = TextLine(colours=False, terminal=True).line({"event": message, "field": found}, "info", NOW)
    line = json_line({"event": message, "field": found}, "info", NOW).decode()

    assert text.isprintable()
    assert line.isprintable()
    assert json.loads(line)["field"] == found
    assert json.loads(line)["timestamp"] == "2026-01-02T03:04:05.678901Z"


def test_json_keeps_unicode_and_accepts_values_that_are_not_json() -> None:
    assert '"é漢"' in json_line({"event": "x", "name": "é漢"}, "info", NOW).decode()
    line = json.loads(json_line({"event": "x", "thing": object(), "number": 2**70}, "info", NOW))
    assert (line["thing"], line["number"]) == ("<object>", 2**70)


FAULTS = (
    BEGIN
    + """
import asyncio, gc, logging, threading, warnings
def fail(): raise ValueError("pl4nted")
def outer():
    try: fail()
    except ValueError as error: raise KeyError("pl4nted") from error
try: outer()
except KeyError: log.exception("first")
logging.getLogger("aiohttp.client").error("got %s from %d at http://ann:pl4nted@host/pl4nted?pl4nted", "pl4nted", 5)
logging.getLogger("waitress").warning("Exception while serving /pl4nted\\npl4nted")
logging.getLogger("quiet").info("pl4nted")
warnings.warn("no 'pl4nted'")
class Ends:
    def __del__(self): fail()
Ends()
thread = threading.Thread(target=fail)
thread.start()
thread.join()
async def main():
    async def task(): fail()
    task = asyncio.ensure_future(task())
    await asyncio.sleep(0); await asyncio.sleep(0)
    del task
    gc.collect()
asyncio.run(main())
raise_later = None
"""
)


@pytest.mark.parametrize("style", ["json", "text"])
@pytest.mark.parametrize("level", ["info", "debug"])
def test_every_exception_is_one_line_with_type_and_place_but_without_its_message(style: str, level: str) -> None:
    lines = _run(FAULTS, level, style)

    assert len(lines) == 7
    assert "pl4nted" not in "".join(lines)
    assert "Traceback" not in "".join(lines)
    if style == "json":
        found = [json.loads(line) for line in lines]
        assert [line.get("error") for line in found] == [
            "KeyError", None, None, "UserWarning", "ValueError", "ValueError", "ValueError"
        ]  # fmt: skip
        assert all(line["at"] == "<string>:10" for line in found[4:])
        assert found[1]["said"] == "got <str> from 5 at …"
        assert ("trace" in found[0]) is (level == "debug")
    if level == "debug":
        assert "in outer" in lines[0]
        assert "in fail" in lines[0]


def test_the_place_of_an_exception_omits_the_install_folder() -> None:
    [line] = _run(
        BEGIN + 'from router.domain.units import as_size\ntry: as_size("x")\nexcept Exception: log.exception("x")'
    )

    assert json.loads(line)["at"].startswith("router/domain/units.py:")


def test_only_constant_messages_of_libraries_are_logged() -> None:
    def record(message: Any, *args: Any) -> logging.LogRecord:
        return logging.LogRecord("x", logging.WARNING, "x.py", 1, message, args, None)

    assert constant_part(record(ValueError("secret"))) == "<ValueError>"
    assert constant_part(record("%d of %s, %.1f s", 3, "secret", 1.25)) == "3 of <str>, 1.2 s"
    assert constant_part(record("%d of %s", "secret", 5)) == "%d of %s"
    assert constant_part(record("%s: %s", b"secret", {"secret": 1})) == "<bytes>: <dict>"
    assert bounded("x" * 100_000) == "x" * 200
    assert bounded("token 'a' and \"b") == "token '…' and '…'"


def test_lines_of_an_intake_process_have_its_number() -> None:
    script = BEGIN.replace(
        "configure(sys.argv[1], sys.argv[2])", "log_to(configure(*sys.argv[1:]), *sys.argv[1:], {'process': 3})"
    )
    [line] = _run(script.replace("import configure", "import configure, log_to") + 'log.warning("said", a=1)')

    assert list(json.loads(line)) == ["a", "process", "level", "timestamp", "message"]

"""A line says what it says, in the words that structlog's own processors would give it."""

import json
import subprocess
import sys
from datetime import UTC, datetime

SCRIPT = """
import structlog
from router.logs import configure
configure("info", "json")
log = structlog.get_logger()
log.info("event received", event_id="e", matched=["a"], deliveries=1)
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
log.debug("not heard")
"""


def test_a_json_line_has_its_fields_then_level_time_and_message() -> None:
    before = datetime.now(UTC)
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)

    first, second = (json.loads(line) for line in done.stderr.splitlines())

    assert list(first) == ["event_id", "matched", "deliveries", "level", "timestamp", "message"]
    assert (first["matched"], first["level"], first["message"]) == (["a"], "info", "event received")
    assert first["timestamp"].endswith("Z")
    assert before <= datetime.fromisoformat(first["timestamp"]) <= datetime.now(UTC)
    assert second["level"] == "error"
    assert "ZeroDivisionError" in second["exception"]

"""The admin listener of a real daemon answers generated requests as its OpenAPI document says.

Schemathesis generates valid requests and invalid ones. It runs as a command: its pytest plugin would make each worker
generate the cases of all operations, even if another worker runs them.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from router.admin.api.openapi import document
from router.admin.api.routes import ENDPOINTS
from tests.conftest import SHARE, THOROUGH, Daemon

SCHEMATHESIS = str(Path(sys.executable).with_name("schemathesis"))
PHASES = ["coverage", "fuzzing"] if SHARE == 1 else ["coverage"]  #: the first one is systematic
EXAMPLES = 6  #: of the second, for each operation, beside some 40 of the first
SECONDS = 600  #: for some 800 requests, on a slow and busy machine
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "unsupported_method",  # is a 405 with Allow
    "ignored_auth",  # requests without the token and with a wrong token
    "negative_data_rejection",
)
RULES = """
sources: {internal: {verify: none}}
rules:
  - name: all
    actions:
      - {forward: "http://127.0.0.1:9/", retry: {attempts: 1}}
      - append: all.jsonl
"""


def test_every_operation_answers_as_documented(start: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = start(RULES)
    for number in range(5):
        assert daemon.post("/hooks/internal", b'{"a": %d}' % number).status == 202
    openapi = document(ENDPOINTS)
    (tmp_path / "openapi.json").write_text(json.dumps(openapi))
    token = Path(f"{daemon.store}.token").read_text().strip()

    done = subprocess.run(
        [
            *(SCHEMATHESIS, "run", "openapi.json", "--url", f"http://127.0.0.1:{daemon.admin_port}"),
            *("--header", f"Authorization: Bearer {token}", "--checks", ",".join(CHECKS), "--continue-on-failure"),
            *("--phases", ",".join(PHASES), "--max-examples", str(EXAMPLES * THOROUGH), "--seed", "1"),
            *("--generation-deterministic", "--suppress-health-check", "all"),
            *("--no-color", "--warnings", "off"),
        ],
        cwd=tmp_path,
        env={**os.environ, "NO_PROXY": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=SECONDS * THOROUGH,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    operations = sum(len(methods) for methods in openapi["paths"].values())
    assert done.stdout.count(f"{operations} passed") == len(PHASES), done.stdout
    assert daemon.admin("/-/ready").json["dispatcher"]
    assert not [line for line in daemon.lines if line["level"] == "error"]

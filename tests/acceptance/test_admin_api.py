"""A real daemon's admin listener, asked at random by what its OpenAPI document says: it answers as that says.

The negative cases are generated against the document as well: what it forbids is refused, and not with a 5xx.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    negative_data_rejection,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from router.admin.api.openapi import document
from router.admin.api.routes import ENDPOINTS
from tests.conftest import Daemon

EXAMPLES = 25  #: for each operation, beside some 40 that go through the document systematically
CHECKS: Any = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_schema_conformance,
    unsupported_method,  # is a 405 with Allow
    ignored_auth,  # without the token, and with a wrong one
    negative_data_rejection,
]
RULES = """
sources: {internal: {verify: none}}
rules:
  - name: all
    actions:
      - {forward: "http://127.0.0.1:9/", retry: {attempts: 1}}
      - append: all.jsonl
"""
DOCUMENT = document(ENDPOINTS)
schema = schemathesis.openapi.from_dict(DOCUMENT)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """One daemon for all, with something in its store."""
    folder = tmp_path_factory.mktemp("api")
    (folder / "rules.yaml").write_text(RULES)
    daemon = Daemon(folder, folder / "rules.yaml")
    for number in range(5):
        assert daemon.post("/hooks/internal", b'{"a": %d}' % number).status == 202
    yield daemon
    daemon.kill()


@pytest.fixture(scope="module")
def session(daemon: Daemon) -> Iterator[requests.Session]:
    """One connection, with the token."""
    with requests.Session() as session:
        session.trust_env = False
        session.headers["Authorization"] = f"Bearer {Path(f'{daemon.store}.token').read_text().strip()}"
        yield session


@schema.parametrize()
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
def test_every_operation_answers_as_documented(case: Any, daemon: Daemon, session: requests.Session) -> None:
    case.call_and_validate(base_url=f"http://127.0.0.1:{daemon.admin_port}", session=session, checks=CHECKS)


def test_the_daemon_survives_and_logs_no_exception(daemon: Daemon, session: requests.Session) -> None:
    assert session.get(f"http://127.0.0.1:{daemon.admin_port}/-/ready", timeout=60).json()["dispatcher"]
    assert not [line for line in daemon.lines if line["level"] == "error"]

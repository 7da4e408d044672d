"""Client certificates of a real daemon: renewed ones are used, and no secret is stored."""

import base64
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from router.store.open import open_operator_store
from tests.actions.forward.servers import tls_server
from tests.conftest import Daemon
from tests.http.authority import Authority

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]
JSON = {"Content-Type": "application/json"}


def test_a_renewed_client_certificate_is_used_without_a_restart(start: Start, eventually: Wait, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    authority.issue("first")
    for kind in ("pem", "key"):
        (tmp_path / f"first.{kind}").rename(tmp_path / f"client.{kind}")
    with tls_server(authority.issue(), authority.path) as server:
        daemon = start(
            f"""
sources: {{open: {{verify: none}}}}
targets:
  partner:
    url: https://localhost:{server.port}
    tls: {{ca: test-authority.pem, cert: client.pem, key: client.key}}
defaults: {{retry: {{initial: 10ms, max: 100ms}}}}
rules: [{{name: r, actions: [forward: {{target: partner}}]}}]
"""
        )
        daemon.post("/hooks/open", b"{}", JSON)
        eventually(lambda: server.names == ["first"])

        authority.issue("client", ends=timedelta(hours=2))  # recognized by the name in it
        daemon.wait_for_line("rules reloaded")
        daemon.post("/hooks/open", b"{}", JSON)

        eventually(lambda: server.names == ["first", "client"])


def test_no_secret_of_a_connection_is_stored(
    start: Start, eventually: Wait, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secrets = {"PASSWORD": "pl4nted-password", "TOKEN": "pl4nted-token", "KEY": "pl4nted-key"}
    for name, value in secrets.items():
        monkeypatch.setenv(name, value)
    with tls_server() as server:
        server.echo = True
        server.status = 400
        url = f"http://127.0.0.1:{server.port}"
        daemon = start(
            f"""
sources: {{open: {{verify: none}}}}
targets:
  basic: {{url: "{url}", auth: {{basic: {{username: ann, password: {{env: PASSWORD}}}}}}}}
defaults: {{retry: {{attempts: 1}}}}
rules:
  - name: r
    actions:
      - {{name: a, forward: {{target: basic}}}}
      - {{name: b, forward: {{url: "{url}", auth: {{bearer: {{env: TOKEN}}}}}}}}
      - {{name: c, forward: {{url: "{url}", auth: {{header: X-Api-Key, value: {{env: KEY}}}}}}}}
"""
        )
        daemon.post("/hooks/open", b"{}", JSON)
        eventually(lambda: len([line for line in daemon.lines if line["message"] == "attempt settled"]) == 3)
        daemon.stop()

    sent = [
        value
        for request in server.requests
        for name, value in request.items()
        if name in ("Authorization", "X-Api-Key")
    ]
    basic = base64.b64encode(b"ann:pl4nted-password").decode()
    assert sorted(sent) == ["Basic " + basic, "Bearer pl4nted-token", "pl4nted-key"]
    with closing(open_operator_store(tmp_path / "webhook-router.db")) as store:
        kept = [attempt.excerpt for one in store.deliveries() for attempt in store.attempts(one.id)]
        requests = [str(attempt.sent) for one in store.deliveries() for attempt in store.attempts(one.id)]
    assert len(kept) == 3
    shown = "\n".join([*kept, *requests, *map(str, daemon.lines)])
    for name, value in secrets.items():
        assert value not in shown
        assert f"<secret:env {name}>" in shown
    assert basic not in shown

"""The daemon retries as the rules file says."""

import time
from collections.abc import Callable
from pathlib import Path

from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from tests.conftest import Daemon

RULES = """
sources: {{open: {{verify: none}}}}
defaults: {{retry: {{initial: 20ms, max: 100ms}}}}
targets:
  ci: {{url: "{url}", retry: {{on: [503, 429], retry_after_max: 1s}}}}
rules:
  - name: r
    allow_unverified: true
    actions:
      - {{name: healing, forward: {{target: ci, path: /503/503/200}}}}
      - {{name: unlisted, forward: {{target: ci, path: /404/200}}}}
      - {{name: gone, forward: "{url}/410/200"}}
      - {{name: named-gone, forward: "{url}/410/410/200", retry: {{on: [410]}}}}
      - {{name: limited, forward: {{target: ci, path: /503/503/503/200}}, retry: {{attempts: 3}}}}
      - {{name: asked, forward: {{target: ci, path: /after-1/200}}}}
      - {{name: asked-too-much, forward: {{target: ci, path: /after-86400/200}}}}
      - name: busy
        command: {{shell: "echo x >>busy; test $(wc -l <busy) -ge 3 || exit 75"}}
        retry: {{attempts: 5, on: [75]}}
      - {{name: broken, command: {{shell: "echo x >>broken; exit 1"}}, retry: {{attempts: 5, on: [75]}}}}
      - {{name: once, command: {{shell: "echo x >>once; exit 75"}}}}
      - {{name: no-file, append: plain/x.jsonl, retry: {{on: [timeout]}}}}
      - {{name: mended, append: plain/x.jsonl}}
"""


class _Script:
    """Answers the requests to a path with the path's segments in turn. `after-N` is a 429 with Retry-After."""

    def __init__(self) -> None:
        self.times: dict[str, list[float]] = {}

    def __call__(self, request: Request) -> Response:
        times = self.times.setdefault(request.path, [])
        steps = request.path.strip("/").split("/")
        step = steps[min(len(times), len(steps) - 1)]
        times.append(time.monotonic())
        if step.startswith("after-"):
            return Response("", 429, {"Retry-After": step.removeprefix("after-")})
        return Response("", int(step))


def test_each_failure_is_retried_as_the_rules_say(
    start: Callable[..., Daemon], httpserver: HTTPServer, tmp_path: Path
) -> None:
    script = _Script()
    for path in ("/503/503/200", "/404/200", "/410/200", "/410/410/200", "/503/503/503/200", "/after-1/200"):
        httpserver.expect_request(path).respond_with_handler(script)
    httpserver.expect_request("/after-86400/200").respond_with_handler(script)
    (tmp_path / "plain").write_text("a file where a folder should be")
    daemon = start(RULES.format(url=httpserver.url_for("").rstrip("/")))

    assert daemon.post("/hooks/open", b"{}").status == 202

    def ends(action: str, state: str) -> tuple[int, str | None, str | None]:
        line = daemon.wait_for_line("attempt settled", action=action, state=state)
        return line["attempt"], line.get("cause"), line.get("error")

    assert ends("healing", "succeeded")[0] == 3
    assert ends("unlisted", "dead") == (1, "status", "HTTP 404; not tried again: retry.on does not list it")
    assert ends("gone", "dead") == (1, "status", "HTTP 410: the target is gone for good")
    assert ends("named-gone", "succeeded")[0] == 3
    assert ends("limited", "dead") == (3, "status", "HTTP 503; gave up after 3 attempts")
    assert ends("asked", "succeeded")[0] == 2
    assert ends("asked-too-much", "succeeded")[0] == 2
    assert ends("busy", "succeeded")[0] == 3
    assert ends("broken", "dead") == (1, "exit", "exit code 1; not tried again: retry.on does not list it")
    assert ends("once", "dead") == (1, "exit", "exit code 75")
    attempt, cause, error = ends("no-file", "dead")
    assert (attempt, cause) == (1, "not-written")
    assert str(error).endswith("retry.on does not list it")
    daemon.wait_for_line("attempt settled", action="mended", state="pending")
    (tmp_path / "plain").unlink()
    assert ends("mended", "succeeded")[0] > 1
    assert (tmp_path / "plain" / "x.jsonl").read_text().count("\n") == 1
    # Retry-After is obeyed up to retry_after_max. A second is longer than any wait of these policies.
    for path in ("/after-1/200", "/after-86400/200"):
        first, second = script.times[path]
        assert second - first >= 0.99


INTERRUPTED = """
sources: {open: {verify: none}}
rules:
  - name: r
    allow_unverified: true
    actions:
      - {name: again, command: {shell: "echo x >>again; test $(wc -l <again) -ge 2 || sleep 600"}}
      - {name: never, command: {shell: "echo x >>never; sleep 600"}, retry: {interrupted: dead}}
"""


def test_an_attempt_interrupted_by_a_stop_is_repeated_unless_the_rules_say_dead(
    start: Callable[..., Daemon], eventually: Callable[[Callable[[], object]], object], tmp_path: Path
) -> None:
    daemon = start(INTERRUPTED, flags=("--grace", "0"))
    assert daemon.post("/hooks/open", b"{}").status == 202
    eventually(lambda: (tmp_path / "again").exists() and (tmp_path / "never").exists())
    assert daemon.stop() == 0
    never = daemon.wait_for_line("attempt settled", action="never")
    assert (never["outcome"], never["state"]) == ("interrupted", "dead")
    assert "interrupted: dead" in never["error"]

    daemon = start(tmp_path / "rules.yaml")

    assert daemon.wait_for_line("attempt settled", action="again")["state"] == "succeeded"
    assert ((tmp_path / "again").read_text(), (tmp_path / "never").read_text()) == ("x\nx\n", "x\n")

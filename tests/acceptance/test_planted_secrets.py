"""Secrets, payloads and queries with a marker are sent and fail in every way. No marker may appear in the log, standard
error, answers to senders, metrics, the admin listener or `status`, and no secret in the store."""

import base64
import json
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from router.admin.api.routes import ENDPOINTS
from tests.conftest import PATIENCE_SECONDS, Daemon, request, run_in_process
from tests.free_port import free_port
from tests.http.talking import talk
from tests.intake.signed_requests import sign, whsec

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]

# A part of every marker. A text that contains it has leaked. It is too long to appear by chance.
MARK = "pl4ntedmark"
# Paths of the admin listener that show an event, an answer or the rules. All others may contain no marker.
SHOWING = ("/api/rules", "/api/events/{id}", "/api/deliveries/{id}", "/api/rules/check", "/api/rules/test")

#: By variable name. Names of one word are credentials of senders. The others are sent by actions.
SECRETS = {
    name: f"{MARK}-secret-{name.lower()}"
    for name in ("GITHUB", "GITLAB", "STRIPE", "SLACK", "SHOPIFY", "TWILIO", "HMAC", "BASIC", "BEARER", "TOKEN", "QUERY")
} | {
    "STANDARD": whsec(f"{MARK}-secret-standard"),
    "DISCORD": "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",  # published in RFC 8032, section 7.1
    "META": f"{MARK}-secret-meta",
    "OUT_TOKEN": f"{MARK}-secret-out & \"quoted\"",
    "OUT_SIGN": whsec(f"{MARK}-secret-signing-key"),
}  # fmt: skip

RULES = """
secrets:
  token: {env: OUT_TOKEN}
  echo: {env: OUT_ECHO}
  user: {env: OUT_USER}
  refused: {env: OUT_REFUSED}
  unknown: {env: OUT_UNKNOWN}
  tls: {env: OUT_TLS}
  metadata: {env: OUT_METADATA}
sources:
  standard: {verify: {scheme: standard-webhooks, secret: {env: STANDARD}}}
  github: {verify: {scheme: github, secret: {env: GITHUB}}}
  gitlab: {verify: {scheme: gitlab, secret: {env: GITLAB}}}
  stripe: {verify: {scheme: stripe, secret: {env: STRIPE}}}
  slack: {verify: {scheme: slack, secret: {env: SLACK}}}
  shopify: {verify: {scheme: shopify, secret: {env: SHOPIFY}}}
  twilio: {verify: {scheme: twilio, secret: {env: TWILIO}, url: "https://hooks.example.com/hooks/twilio"}}
  discord: {verify: {scheme: discord, secret: {env: DISCORD}}}
  hmac: {verify: {scheme: hmac, header: X-Sig, secret: {env: HMAC}}}
  basic: {verify: {scheme: basic, username: ann, secret: {env: BASIC}}}
  bearer: {verify: {scheme: bearer, secret: {env: BEARER}}}
  token: {verify: {scheme: token, header: X-Token, secret: {env: TOKEN}}}
  query: {verify: {scheme: token, query: key, secret: {env: QUERY}}}
  meta: {verify: none, handshake: {scheme: meta, verify_token: {env: META}}}
  small: {verify: none, max_body: 1KiB}
  closed: {verify: none, allow_ips: [192.0.2.1]}
  open: {verify: none, dedupe: $.copy}
rules:
  - name: credentials
    source: [standard, github, gitlab, stripe, slack, shopify, hmac, basic, bearer, token, query, meta]
    allow_unverified: true
    actions:
      - append: all.jsonl
      - {forward: {url: "@receiver@/fine"}}
      - command: [sh, -c, "env; cat"]
  - name: echo
    source: open
    match: {$.do: echo}
    actions:
      - name: status
        forward:
          url: "{{ secrets.echo }}"
          headers: {Authorization: "Bearer {{ secrets.token }}", X-Mine: "{{ payload.text }}"}
          body: {json: {token: "{{ secrets.token }}", text: "{{ payload.text }}"}}
          sign: {secret: {env: OUT_SIGN}}
        retry: {attempts: 1}
      - {name: user, forward: "{{ secrets.user }}", retry: {attempts: 1}}
      - {name: refused, forward: "{{ secrets.refused }}", retry: {attempts: 1}}
      - {name: unknown, forward: "{{ secrets.unknown }}", retry: {attempts: 1}}
      - {name: tls, forward: "{{ secrets.tls }}", retry: {attempts: 1}}
      - {name: metadata, forward: "{{ secrets.metadata }}", retry: {attempts: 1}}
      - {name: redirect, forward: "@receiver@/redirect", retry: {attempts: 1}}
      - {name: garbage, forward: "@receiver@/garbage", retry: {attempts: 1}}
      - {name: cut, forward: "@receiver@/cut", retry: {attempts: 1}}
      - {name: late, forward: {url: "@receiver@/hang?{{ payload.text }}", timeout: 500ms}, retry: {attempts: 1}}
      - {name: path, forward: "@receiver@/{{ payload.text }}", retry: {attempts: 1}}
      - {name: host, forward: {url: "http://{{ payload.text }}/", allow_hosts: ["*.example"]}, retry: {attempts: 1}}
      - {name: missing, forward: {url: "@receiver@/fine", body: {json: {a: "{{ payload.missing }}"}}}}
      - {name: dynamic, forward: {url: "@receiver@/fine", body: {text: "{{ payload[payload.text] }}"}}}
      - {name: deeper, forward: {url: "@receiver@/fine", body: {text: "{{ payload.text.x.y }}"}}}
      - {name: number, forward: {url: "@receiver@/fine", body: {text: "{{ payload.text + 1 }}"}}}
      - {name: range, forward: {url: "@receiver@/fine", body: {text: "{{ range(payload.text) }}"}}}
      - {name: header, forward: {url: "@receiver@/fine", headers: {X-A: "{{ payload.lines }}"}}}
  - name: commands
    source: basic
    match: {$.do: echo}
    actions:
      - name: says
        command: {shell: 'cat; echo "$TOKEN" $TEXT; echo "$TOKEN" >&2; exit 3', env: {TOKEN: "{{ secrets.token }}", TEXT: "{{ payload.text }}"}}
      - {name: late, command: {shell: "cat; sleep 60", timeout: 300ms, kill_after: 100ms}}
      - {name: killed, command: {shell: "cat; kill -9 $$"}}
      - {name: absent, command: ["./not-there", "{{ payload.text }}", "{{ secrets.token }}"]}
      - {name: nul, command: [echo, "{{ payload.nul }}"]}
      - {name: dash, command: [echo, "{{ payload.dash }}"]}
      - {name: huge, command: [echo, "{{ payload.text * 100000 }}"]}
  - name: files
    source: open
    match: {$.do: echo}
    actions:
      - {name: above, append: "out/{{ payload.up }}/x"}
      - {name: folder, append: "out/{{ payload.text }}/x", retry: {attempts: 1}}
      - {name: long, append: "out/{{ payload.text * 100 }}"}
      - {name: line, append: {path: out/lines, line: "{{ payload.missing[payload.text] }}"}}
  - {name: unjudged, source: open, match: {"$.list.`sorted`": 1}, actions: [append: x]}
  - {name: unjudged-too, source: open, match: {"$.`parent`.x": "@mark@-operand"}, actions: [append: x]}
  - name: answering
    source: open
    match: {$.do: respond}
    respond: {json: {a: "{{ payload[payload.text] }}"}}
    actions: [{append: answered.jsonl}]
  - {name: nearly, source: open, match: {$.do: unmatched, $.text: "@mark@-operand"}, actions: [append: x]}
"""

BAD_RULES = {
    "a secret written out": 'sources: {s: {verify: {scheme: github, secret: "@mark@"}}}',
    "a secret of another form": "sources: {s: {verify: {scheme: github, secret: {value: '@mark@'}}}}",
    "a secret that is unset": "sources: {s: {verify: {scheme: github, secret: {env: NO_SUCH}}}}",
    "a URL of a wrong scheme": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{forward: "ftp://ann:@mark@@h/?@mark@"}]}]',
    "a URL with a template in its host": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{forward: "http://ann:@mark@@{{ payload.x }}/?@mark@"}]}]',
    "a URL that is none": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{forward: "http://ann:@mark@@[::1/?@mark@"}]}]',
    "a target's URL": 'sources: {s: {verify: none}}\ntargets: {t: {url: "http://ann:@mark@@h:99999/?@mark@"}}\nrules: [{name: a, actions: [{forward: {target: t}}]}]',
    "a header's template": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{forward: {url: "http://h", headers: {Authorization: "Bearer @mark@ {{ paylod.x }}"}}}]}]',
    "a header that is no text": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{forward: {url: "http://h", headers: {Authorization: [@mark@]}}}]}]',
    "broken YAML": 'sources: {s: {verify: none}}\nrules:\n  - "@mark@\n  - @mark@: [',
    "a header's text": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{forward: {url: "http://h", headers: "Authorization: Bearer @mark@"}}]}]',
    "an environment's text": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{command: {argv: [date], env: TOKEN=@mark@}}]}]',
    "a command line": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{command: "curl -u ann:@mark@ http://h"}]}]',
    "a signing key written out": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{forward: {url: "http://h", sign: "@mark@"}}]}]',
    "a secret without a name": 'secrets: "@mark@"\nsources: {s: {verify: none}}',
    "a secret without a space": "sources: {s: {verify: {scheme: github, secret:@mark@}}}",
    "a signing key without a space": 'sources: {s: {verify: none}}\nrules: [{name: a, actions: [{forward: {url: "http://h", sign:@mark@}}]}]',
    "a tab": "sources:\n\ts: @mark@\n",
}  # fmt: skip


class _MisbehavingHandler(BaseHTTPRequestHandler):
    """Answers in every wrong way, and repeats the request in its answers."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        kind = self.path.split("?")[0].strip("/")
        if kind == "garbage":
            self.wfile.write(f"{MARK}-answer is no HTTP\r\n\r\n".encode())
            self.close_connection = True
        elif kind == "hang":
            self.server.release.wait(PATIENCE_SECONDS)  # type: ignore[attr-defined]
            self.close_connection = True
        elif kind == "cut":
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
        elif kind == "redirect":
            self._answer(302, b"", {"Location": f"http://ann:{MARK}@host/{MARK}?{MARK}", "X-Answer": f"{MARK}-header"})
        elif kind == "fine":
            self._answer(200, b"thanks")
        else:
            self._answer(500, f"{MARK}-answer to {self.path}\n{self.headers}".encode() + body)

    def _answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status, f"{MARK}-reason")
        for name, value in {
            "Content-Length": str(len(body)),
            "Retry-After": f"{MARK}-later",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Keep quiet."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: Any) -> None:
        """Log nothing, since a client tries TLS here."""


@pytest.fixture
def misbehaving_server() -> Iterator[str]:
    """The address of a misbehaving server."""
    server = _Server(("127.0.0.1", 0), _MisbehavingHandler)
    server.release = threading.Event()  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.release.set()  # type: ignore[attr-defined]
    server.shutdown()
    server.server_close()
    thread.join()


def _filled(text: str, host: str) -> str:
    return text.replace("@receiver@", f"http://{host}").replace("@mark@", MARK)


def _environment(host: str) -> dict[str, str]:
    secret = f"{MARK}-secret"
    return {
        **SECRETS,
        "OUT_ECHO": f"http://{host}/{secret}-path?key={secret}-query",
        "OUT_USER": f"http://ann:{secret}-password@{host}/user",
        "OUT_REFUSED": f"http://ann:{secret}-password@127.0.0.1:{free_port()}/{secret}?{secret}",
        "OUT_UNKNOWN": f"http://{secret}.invalid/{secret}?{secret}",
        "OUT_TLS": f"https://{host}/{secret}?{secret}",
        "OUT_METADATA": f"http://[::ffff:169.254.169.254]/{secret}?{secret}",
    }


def _signed(body: bytes) -> dict[str, tuple[str, dict[str, str]]]:
    """By source: query and headers of a request that is accepted."""
    now = str(int(time.time()))
    keys = SECRETS

    def b64(data: bytes) -> str:
        return base64.b64encode(data).decode()

    standard = sign(f"{MARK}-secret-standard", f"msg_1.{now}.".encode() + body)
    return {
        "standard": (
            "",
            {"webhook-id": "msg_1", "webhook-timestamp": now, "webhook-signature": "v1," + b64(standard)},
        ),
        "github": ("", {"X-Hub-Signature-256": "sha256=" + sign(keys["GITHUB"], body).hex()}),
        "gitlab": ("", {"X-Gitlab-Token": keys["GITLAB"]}),
        "stripe": ("", {"Stripe-Signature": f"t={now},v1=" + sign(keys["STRIPE"], f"{now}.".encode() + body).hex()}),
        "slack": (
            "",
            {
                "X-Slack-Request-Timestamp": now,
                "X-Slack-Signature": "v0=" + sign(keys["SLACK"], f"v0:{now}:".encode() + body).hex(),
            },
        ),
        "shopify": ("", {"X-Shopify-Hmac-SHA256": b64(sign(keys["SHOPIFY"], body))}),
        "hmac": ("", {"X-Sig": sign(keys["HMAC"], body).hex()}),
        "basic": ("", {"Authorization": "Basic " + b64(f"ann:{keys['BASIC']}".encode())}),
        "bearer": ("", {"Authorization": f"Bearer {keys['BEARER']}"}),
        "token": ("", {"X-Token": keys["TOKEN"]}),
        "query": (f"b=2&key={keys['QUERY']}", {}),
    }


CREDENTIALS = {
    "Cookie": f"session={MARK}-secret-cookie",
    "Proxy-Authorization": f"Basic {MARK}-secret-proxy",
}
SENT = {"X-Planted": f"{MARK}-header", "User-Agent": f"{MARK}-agent", "X-Forwarded-For": f"{MARK}-forwarded"}
TEXT = f"{MARK}-payload"


def _wrong_requests(daemon: Daemon) -> list[bytes]:
    """Send requests with every mistake of senders and with markers. Return the answers."""
    said: list[bytes] = []

    def send(path: str, body: bytes = b"{}", headers: dict[str, str] | None = None, method: str = "POST") -> None:
        answer = daemon.post(path, body, {**SENT, **CREDENTIALS, **(headers or {})}, method)
        said.append(str(sorted(answer.headers.items())).encode() + answer.body)

    for source, (query, headers) in _signed(b"another body").items():
        send(f"/hooks/{source}?{query}x", f'{{"a": "{TEXT}"}}'.encode(), {k: v + "x" for k, v in headers.items()})
        send(f"/hooks/{source}?{MARK}-query={MARK}", TEXT.encode())
    for source in ("twilio", "discord"):
        send(f"/hooks/{source}", TEXT.encode(), {"X-Twilio-Signature": MARK, "X-Signature-Ed25519": MARK})
    for token in (SECRETS["META"], SECRETS["META"] + "x"):
        send(f"/hooks/meta?hub.mode=subscribe&hub.challenge=1&hub.verify_token={token}", b"", method="GET")
    send("/hooks/open", f'{{"{TEXT}'.encode())
    send("/hooks/open", b"{" + TEXT.encode() + b"}")
    send("/hooks/open", f'"{TEXT}'.encode())
    send("/hooks/open", b"a=1&" + TEXT.encode(), {"Content-Type": f"application/json; charset={MARK}"})
    send("/hooks/open", b"{}", {"Content-Encoding": f"{MARK}-coding"})
    send("/hooks/small", TEXT.encode() * 1000)
    send("/hooks/closed")
    send(f"/hooks/{MARK}-path/{SECRETS['TOKEN']}?{MARK}-query={MARK}")
    send(f"/hooks/open?{MARK}-query=" + MARK * 2000)
    send("/hooks/open", b"", method=f"{MARK}".upper())
    send(f"/{MARK}", b"", method=f"{MARK}".upper())
    send("/hooks/open", b"", method="DELETE")
    marked = MARK.encode()
    wrong = (
        b"POST /hooks/open HTTP/1.1\r\nHost: x\r\n" + marked + b"\r\n\r\n",
        b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nAuthorization " + marked + b"\r\n\r\n",
        b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nX: \x00" + marked + b"\r\n\r\n",
        b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: " + marked + b"\r\n\r\n",
        b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + marked + b"\r\n\r\n",
        b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + marked + b"\r\n",
        b"POST /hooks/open HTTP/" + marked + b"\r\n\r\n",
        b"POST /" + marked + b" " + marked + b" HTTP/1.1\r\n\r\n",
        b"POST http://[" + marked + b"/ HTTP/1.1\r\n\r\n",
        marked + b"\r\n\r\n",
        b"POST /hooks/open HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"%s-%d: x\r\n" % (marked, i) for i in range(150))
        + b"\r\n",
        b"POST /hooks/open HTTP/1.1\r\nHost: x\r\nX: " + marked * 20_000 + b"\r\n\r\n",
        b'POST /hooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{"' + marked,
        b"\x16\x03\x01\x02\x00\x01" + marked,
    )
    return said + [talk(daemon, line) for line in wrong]


def _right_requests(daemon: Daemon) -> list[bytes]:
    """Send events with markers in every part, whose deliveries fail. Return the answers."""
    payload = {
        "do": "echo", "text": TEXT, "nul": f"{MARK}\0", "dash": f"-{MARK}", "lines": f"{MARK}\n{MARK}", "up": "..",
        "list": [MARK, {"a": MARK}, 1],
    }  # fmt: skip
    body = json.dumps(payload).encode()
    said: list[bytes] = []

    def send(path: str, body: bytes, headers: dict[str, str]) -> None:
        answer = daemon.post(path, body, {**SENT, **CREDENTIALS, **headers})
        assert answer.status in (200, 202), (path, answer.status)
        said.append(str(sorted(answer.headers.items())).encode() + answer.body)

    for source, (query, headers) in _signed(body).items():
        more = {} if "Authorization" in headers else {"Authorization": f"Bearer {MARK}-secret-bearer"}
        send(f"/hooks/{source}?{query}&{MARK}-query={MARK}", body, {**headers, **more})
    traced = {"traceparent": f"00-{MARK}", "tracestate": f"a={MARK}"}
    send(f"/hooks/open?{MARK}-query={MARK}", body, traced)
    send("/hooks/open", json.dumps({**payload, "do": "unmatched"}).encode(), {})
    for _ in range(2):
        send("/hooks/open", json.dumps({**payload, "do": "respond", "copy": f"{MARK}-copy"}).encode(), {})
    send("/hooks/open", f"{MARK}={MARK}".encode(), {"Content-Type": "application/x-www-form-urlencoded"})
    send("/hooks/open", MARK.encode(), {"Content-Type": f"text/{MARK}"})
    return said


def _admin(daemon: Daemon, ids: dict[str, list[str]]) -> Iterator[tuple[str, str]]:
    """By documented path: answers of the admin listener to valid and invalid requests, with and without the token."""
    token = Path(f"{daemon.store}.token").read_text().strip()
    for authorization in (f"Bearer {token}", f"Bearer {MARK}-secret-token", MARK):
        headers = {"Authorization": authorization, **CREDENTIALS, "X-Planted": MARK}
        for endpoint in ENDPOINTS:
            kind = endpoint.path.split("/")[2] if endpoint.path.startswith("/api/") else ""
            fields = [*ids.get(kind, ()), f"{MARK}-id"] if "{" in endpoint.path else [""]
            bodies = [MARK, json.dumps({"filter": MARK, MARK: MARK}), *BAD_RULES.values()] if endpoint.body else [""]
            for path in (re.sub(r"\{\w+\}", quote(value, safe=""), endpoint.path) for value in fields):
                for body in bodies:
                    sent = _filled(body, "127.0.0.1:9").encode()
                    yield endpoint.path, str(request(daemon.admin_port, endpoint.method, path, sent, headers))
            yield endpoint.path, str(request(daemon.admin_port, MARK.upper(), path, b"", headers))
        yield "", str(request(daemon.admin_port, "GET", f"/{MARK}?{MARK}", b"", headers))
        yield "", str(request(daemon.admin_port, "GET", "/-/healthy", b"", {**headers, "Host": f"{MARK}.example"}))


def _leaks(text: str, what: str, mark: str = MARK) -> list[str]:
    """Each place with the mark in a text, in any encoding, with the text around it."""
    forms = {mark, mark.encode().hex(), quote(mark, safe="")}
    for before in range(3):  # the characters of base64 that depend on the secret alone
        packed = base64.b64encode(b"x" * before + mark.encode()).decode()
        forms.add(packed[4 * bool(before) : (before + len(mark)) // 3 * 4])
    return [
        f"{what}: …{text[max(0, match.start() - 100) : match.end() + 60]!r}"
        for form in forms
        for match in re.finditer(re.escape(form), text, re.IGNORECASE)
    ]


def _secrets(text: str, what: str) -> list[str]:
    """The places of secrets and credentials in a text that may show the rest of an event."""
    return _leaks(text, what, f"{MARK}-secret")


def test_secrets_payloads_and_queries_appear_only_where_they_may(
    start: Start, misbehaving_server: str, eventually: Wait, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / TEXT).write_text("a file where a folder has to be")
    daemon = start(
        _filled(RULES, misbehaving_server),
        env=_environment(misbehaving_server),
        flags=("--log-level", "debug", "--trusted-proxies", "192.0.2.0/24"),
    )
    store = f"sqlite:{daemon.store}"

    def run(*arguments: str) -> str:
        return run_in_process(*arguments, "--store", store, folder=tmp_path).stdout

    def listed() -> Any:
        return json.loads(run("deliveries", "list", "--json", "--limit", "1000"))

    said = _wrong_requests(daemon) + _right_requests(daemon)
    eventually(lambda: not {one["state"] for one in listed()} & {"pending", "running"})
    for text in BAD_RULES.values():
        seen = len(daemon.lines)
        daemon.rules.write_text(_filled(text, misbehaving_server))
        daemon.wait_for_line("rules not reloaded; the running rules stay", seen)
    ids = {
        "events": sorted({one["event"] for one in listed()}),
        "deliveries": [one["id"] for one in listed()],
        "rules": ["echo", "commands", "nearly"],
        "targets": [f"http://{misbehaving_server}", "echo/status", "echo/refused"],
    }
    admin = list(_admin(daemon, ids))
    status = run("status") + run("status", "--json")
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("webhook-router.db*"))
    shown = [run("deliveries", "show", one["id"], "--json") for one in listed()]
    assert daemon.stop() == 0

    # Everything failed in the intended ways.
    assert len(said) > 60
    settled = [line for line in daemon.lines if line["message"] == "attempt settled"]
    assert {line["cause"] for line in settled} >= {"status", "network", "timeout", "exit", "signal", "not-started"}
    assert sum(line["outcome"] == "failed" for line in settled) >= 12
    assert {line["status"] for line in daemon.lines if line["message"] == "request refused"} >= {
        400, 401, 403, 404, 405, 413, 414, 415, 431
    }  # fmt: skip
    for message in ("rule could not be judged, so it is unmatched", "respond of a rule failed; answered as usual",
                    "duplicate received", "rule tried", "attempt begins", "handshake answered"):  # fmt: skip
        assert any(line["message"] == message for line in daemon.lines), message
    assert not [line for line in daemon.lines if "at" in line or "raw" in line]
    assert any(f"{MARK}-answer" in text for text in shown)
    assert MARK.encode() in kept

    log = "\n".join(json.dumps(line, ensure_ascii=False) for line in daemon.lines)
    errors = [attempt["error"] for text in shown for attempt in json.loads(text)["attempts_made"]]
    leaks = _leaks(log, "log") + _leaks(status, "status") + _leaks("\n".join(errors), "errors")
    asked = {path for path, text in admin if text.startswith("Answer(status=2")}
    assert asked >= {endpoint.path for endpoint in ENDPOINTS if endpoint.method == "GET"}
    assert {path for path, _ in admin} == {"", *(endpoint.path for endpoint in ENDPOINTS)}
    for path, text in admin:
        leaks += _secrets(text, path) if path.startswith(SHOWING) else _leaks(text, path)
    leaks += [leak for number, text in enumerate(said) for leak in _leaks(text.decode("latin-1"), f"answer {number}")]
    leaks += [leak for text in shown for leak in _secrets(text, "deliveries show")]
    leaks += _secrets(kept.decode("latin-1"), "store")
    assert leaks == []

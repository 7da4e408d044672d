"""The action forward, with real servers on loopback."""

import asyncio
import base64
import hashlib
import hmac
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from router.domain.outcomes import Outcome, OutcomeKind
from router.plugins.action import Action, AttemptInput
from tests.actions.conftest import open_tools
from tests.free_port import free_port

Make = Callable[..., Any]
Attempt = Callable[..., Outcome]


@pytest.fixture
def seen(httpserver: HTTPServer) -> list[Request]:
    """The requests that reached the server, which answers each with 200."""
    requests: list[Request] = []

    def answer(request: Request) -> Response:
        request.get_data(cache=True)
        requests.append(request)
        return Response("thanks")

    httpserver.expect_request("/in").respond_with_handler(answer)
    return requests


@pytest.fixture
def raw() -> Iterator[Callable[..., str]]:
    """Return a function that runs a TCP server and hands each connection to a function."""
    stops: list[socket.socket] = []
    threads: list[threading.Thread] = []

    def serve(handle: Callable[[socket.socket, int], None]) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        stops.append(listener)

        def loop() -> None:
            number = 0
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.settimeout(60)
                    try:
                        handle(connection, number)
                    except OSError:
                        pass
                number += 1

        threads.append(threading.Thread(target=loop))
        threads[-1].start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/in"

    yield serve
    for stop in stops:
        stop.shutdown(socket.SHUT_RDWR)
        stop.close()
    for thread in threads:
        thread.join(60)


def test_the_original_body_and_its_headers_are_forwarded(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, seen: list[Request]
) -> None:
    headers = (
        ("Host", "outside"),
        ("X-GitHub-Event", "push"),
        ("X-Many", "1"),
        ("X-Many", "2"),
        ("X-Name", "J\xc3\xb6rg"),  # WSGI decodes headers to one character a byte
        ("Content-Type", "application/json"),
        ("X-Hub-Signature-256", "sha256=ab"),
        ("Content-Length", "999"),
        ("Transfer-Encoding", "chunked"),
        ("Connection", "X-Hop, close"),
        ("X-Hop", "1"),
        ("Keep-Alive", "1"),
        ("Expect", "100-continue"),
        ("Accept-Encoding", "gzip"),
        ("Authorization", "Bearer x"),
        ("Cookie", "a=b"),
        ("Forwarded", "for=1"),
        ("X-Forwarded-For", "1.2.3.4"),
        ("X-Real-IP", "1.2.3.4"),
        ("X-Remote-User", "root"),
        ("X-Auth-Request-User", "root"),
        ("X_Forwarded_For", "1.2.3.4"),  # a WSGI or CGI server takes this for X-Forwarded-For
        ("X_Auth_User", "root"),
        ("Proxy-Authorization", "Basic x"),
        ("TE", "trailers"),
        ("Trailer", "X-T"),
        ("Upgrade", "h2c"),
        ("Proxy-Connection", "keep-alive"),
        ("Webhook-Id", "forged"),
        ("Idempotency-Key", "forged"),
    )
    body = b'{ "raw" : "bytes" }'

    action = act("forward", {"url": httpserver.url_for("/in"), "pass_headers": ["*"]})
    outcome = attempt(action, job({}, headers=headers, body=body))

    assert replace(outcome, sent=None) == Outcome.succeeded(200, "thanks")
    assert outcome.sent is not None
    assert (outcome.sent.method, outcome.sent.url, outcome.sent.start) == (
        "POST",
        httpserver.url_for("/in"),
        body.decode(),
    )
    [request] = seen
    assert request.get_data() == body
    assert request.method == "POST"
    assert request.headers["Host"] == f"{httpserver.host}:{httpserver.port}"
    assert request.headers.getlist("X-Many") == ["1", "2"] or request.headers["X-Many"] == "1,2"
    assert request.headers["X-Name"].encode("latin-1") == b"J\xc3\xb6rg"
    assert request.headers["X-Hub-Signature-256"] == "sha256=ab"
    assert request.headers["webhook-id"] == "018bcfe5-6800-7000-8000-000000000001"
    assert request.headers["Idempotency-Key"] == "018bcfe5-6800-7000-8000-000000000002"
    assert request.headers["webhook-attempt"] == "1"
    assert request.headers["webhook-timestamp"].isdigit()
    assert request.headers["User-Agent"].startswith("webhook-router/")
    passed = {name.lower() for name in request.headers.keys()}
    assert passed.isdisjoint(
        {
            *("x-hop", "keep-alive", "expect", "accept-encoding", "authorization", "cookie", "forwarded", "x-real-ip"),
            *("x-forwarded-for", "x-remote-user", "x-auth-request-user", "transfer-encoding", "accept"),
            *("x_forwarded_for", "x_auth_user", "proxy-authorization", "te", "trailer", "upgrade", "proxy-connection"),
        }
    )


@pytest.mark.parametrize(
    ("body", "payload", "sent", "content_type"),
    [
        ("payload", {"a": "é"}, '{"a":"é"}'.encode(), "application/json"),
        (
            {"json": {"n": "{{ payload.n }}", "t": "v{{ payload.n }}"}},
            {"n": 5},
            b'{"n":5,"t":"v5"}',
            "application/json",
        ),
        (
            {"form": {"n": "{{ payload.n }}", "l": ["a b", 1]}},
            {"n": 5},
            b"n=5&l=a+b&l=1",
            "application/x-www-form-urlencoded",
        ),
        ({"text": "n is {{ payload.n }}"}, {"n": 5}, b"n is 5", "text/plain; charset=utf-8"),
    ],
)
def test_a_new_body_drops_the_signature_and_sets_its_content_type(
    act: Make,
    job: Make,
    attempt: Attempt,
    httpserver: HTTPServer,
    seen: list[Request],
    body: Any,
    payload: Any,
    sent: bytes,
    content_type: str,
) -> None:
    signatures = (
        *("X-Hub-Signature", "X-Hub-Signature-256", "Stripe-Signature", "X-Slack-Signature", "X-Shopify-Hmac-Sha256"),
        *(
            "X-Slack-Request-Timestamp",
            "X-Twilio-Signature",
            "X-Signature-Ed25519",
            "X-Signature-Timestamp",
            "Signature",
        ),
        *("Signature-Input", "X-Gitea-Signature", "Webhook-Signature", "Svix-Signature", "Content-Digest", "Digest"),
    )
    headers = (("Content-Type", "text/odd"), ("X-Keep", "1"), *((name, "x") for name in signatures))

    action = act("forward", {"url": httpserver.url_for("/in"), "body": body, "pass_headers": ["*"]})
    attempt(action, job(payload, headers=headers))

    [request] = seen
    assert request.get_data() == sent
    assert request.headers["Content-Type"] == content_type
    assert request.headers["X-Keep"] == "1"
    assert [name for name in signatures if name in request.headers] == []


def test_an_item_is_sent_as_the_body_with_its_own_id(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, seen: list[Request]
) -> None:
    action = act("forward", {"url": httpserver.url_for("/in"), "body": "item"}, has_item=True)

    assert attempt(action, job({"a": [1, {"b": 2}]}, item=("$.a[1]", 1))).status == 200

    assert seen[0].get_json() == {"b": 2}
    assert seen[0].headers["webhook-id"] == "018bcfe5-6800-7000-8000-000000000001_1"


def test_the_delivery_of_an_item_that_the_payload_lacks_is_dead(act: Make, job: Make, attempt: Attempt) -> None:
    outcome = attempt(
        act("forward", {"url": "http://127.0.0.1:9/", "body": "item"}, has_item=True), job({}, item=("$.a[1]", 1))
    )

    assert (outcome.kind.value, outcome.error) == ("failed", "the payload has no item at $.a[1]")


def test_headers_can_be_set_and_filtered(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, seen: list[Request]
) -> None:
    action = act(
        "forward",
        {
            "url": httpserver.url_for("/in"),
            "method": "PUT",
            "headers": {
                "X-Ref": "{{ payload.ref }}",
                "Authorization": "Bearer {{ secrets.key }}",
                "User-Agent": "mine",
            },
            "pass_headers": ["X-GitHub-*", "Cookie"],
        },
        secrets={"key": "hush"},
    )

    headers = (("X-Github-Event", "push"), ("X-Other", "1"), ("Cookie", "c"), ("Content-Type", "application/json"))
    attempt(action, job({"ref": "main"}, secrets={"key": "hush"}, headers=headers))

    [request] = seen
    assert request.method == "PUT"
    assert request.headers["X-Ref"] == "main"
    assert request.headers["Authorization"] == "Bearer hush"
    assert request.headers["User-Agent"] == "mine"
    assert request.headers["X-Github-Event"] == "push"
    assert request.headers["Content-Type"] == "application/json"  # this header describes the body
    assert "X-Other" not in request.headers
    assert "Cookie" not in request.headers


@pytest.mark.parametrize("value", ["a\r\nX-Evil: 1", "a\nb", "a\0b", "\x7f"])
def test_a_header_with_a_line_break_fails_for_good(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, seen: list[Request], value: str
) -> None:
    action = act("forward", {"url": httpserver.url_for("/in"), "headers": {"X-Ref": "{{ payload.ref }}"}})

    outcome = attempt(action, job({"ref": value}))

    assert outcome == Outcome.failed("header X-Ref would contain a control character")
    assert not seen


def test_requests_are_signed_by_standard_webhooks(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, seen: list[Request], tmp_path: Any
) -> None:
    from router.domain.secrets import Secret

    key = base64.b64encode(b"k" * 24).decode()
    options = {"url": httpserver.url_for("/in"), "sign": {"secret": {"env": "KEY"}}}

    attempt(act("forward", options, find_secret=lambda ref, place: Secret("KEY", f"whsec_{key}")), job({"a": 1}))

    [request] = seen
    signed = f"{request.headers['webhook-id']}.{request.headers['webhook-timestamp']}.".encode() + request.get_data()
    expected = base64.b64encode(hmac.new(b"k" * 24, signed, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


@pytest.mark.parametrize(
    ("status", "headers", "kind", "error", "retry_after"),
    [
        (204, {}, OutcomeKind.SUCCEEDED, "", None),
        (301, {"Location": "/in2"}, OutcomeKind.RETRY, "redirects are not followed", None),
        (400, {}, OutcomeKind.RETRY, "HTTP 400", None),
        (410, {}, OutcomeKind.RETRY, "gone for good", None),
        (429, {"Retry-After": "17"}, OutcomeKind.RETRY, "HTTP 429", 17.0),
        (503, {"Retry-After": "soon"}, OutcomeKind.RETRY, "HTTP 503", None),
        (503, {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"}, OutcomeKind.RETRY, "HTTP 503", 0.0),
    ],
)
def test_the_response_status_decides_the_outcome(
    act: Make,
    job: Make,
    attempt: Attempt,
    httpserver: HTTPServer,
    status: int,
    headers: dict[str, str],
    kind: OutcomeKind,
    error: str,
    retry_after: float | None,
) -> None:
    httpserver.expect_request("/in").respond_with_data("why", status=status, headers=headers)
    httpserver.expect_request("/in2").respond_with_data("never")

    outcome = attempt(act("forward", {"url": httpserver.url_for("/in")}), job({}))

    assert (outcome.kind, outcome.status, outcome.retry_after) == (kind, status, retry_after)
    assert error in outcome.error
    assert len(httpserver.log) == 1


def test_a_long_response_is_read_up_to_a_limit_and_escaped(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer
) -> None:
    httpserver.expect_request("/in").respond_with_data(b"\x1b[2J" + b"x" * 10_000_000)

    outcome = attempt(act("forward", {"url": httpserver.url_for("/in"), "response_limit": "4KiB"}), job({}))

    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert len(outcome.excerpt) == 1024
    assert "\x1b" not in outcome.excerpt


def test_the_error_for_a_refused_connection_hides_path_and_query(act: Make, job: Make, attempt: Attempt) -> None:
    port = free_port()

    outcome = attempt(act("forward", {"url": f"http://127.0.0.1:{port}/secret?token=hush"}), job({}))

    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.error == f"no connection to http://127.0.0.1:{port}: Connection refused"


def test_a_url_from_a_secret_is_never_shown(act: Make, job: Make, attempt: Attempt) -> None:
    secrets = {"chat": f"http://127.0.0.1:{free_port()}/hush"}
    action = act("forward", {"url": "{{ secrets.chat }}"}, secrets=secrets)

    outcome = attempt(action, job({}, secrets=secrets))

    assert outcome.error == "no connection to <secret:chat>: Connection refused"
    assert action.preview(job({}, secrets=secrets))["url"] == "<secret:chat>"


def test_a_silent_target_times_out(act: Make, job: Make, attempt: Attempt, raw: Callable[..., str]) -> None:
    url = raw(lambda connection, _: connection.recv(65536) and connection.recv(1))

    outcome = attempt(act("forward", {"url": url, "timeout": "200ms"}), job({}))

    assert outcome.kind is OutcomeKind.RETRY
    assert "no answer from" in outcome.error
    assert "within 0.2 s" in outcome.error


def test_a_target_that_closes_without_a_response_is_retried(
    act: Make, job: Make, attempt: Attempt, raw: Callable[..., str]
) -> None:
    counts: list[int] = []

    def close(connection: socket.socket, number: int) -> None:
        counts.append(number)
        connection.recv(65536)

    outcome = attempt(act("forward", {"url": raw(close)}), job({}))

    assert outcome.kind is OutcomeKind.RETRY
    assert "closed the connection" in outcome.error
    assert counts == [0]


def test_a_closed_idle_connection_is_replaced_at_once(
    act: Make, job: Make, attempt: Attempt, raw: Callable[..., str]
) -> None:
    requests: list[bytes] = []

    def answer_once(connection: socket.socket, _: int) -> None:
        requests.append(connection.recv(65536))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        requests.append(connection.recv(65536))  # the server reads the next request and closes without an answer

    outcome = attempt(act("forward", {"url": raw(answer_once)}), job({}), job({}))

    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert len([request for request in requests if request]) == 3


def test_a_response_that_is_not_http_fails_the_attempt(
    act: Make, job: Make, attempt: Attempt, raw: Callable[..., str]
) -> None:
    def babble(connection: socket.socket, _: int) -> None:
        connection.recv(65536)
        connection.sendall(b"\x00\xff not http at all\r\n\r\n")

    assert attempt(act("forward", {"url": raw(babble)}), job({})).kind is OutcomeKind.RETRY


def test_a_missing_field_fails_for_good(act: Make, job: Make, attempt: Attempt) -> None:
    action = act("forward", {"url": "http://127.0.0.1:9/{{ payload.no }}"})

    assert attempt(action, job({})) == Outcome.failed("payload.no is missing")


@pytest.mark.parametrize("key", ["whsec_", "c2hvcnQ=", "not base64!"])
def test_an_invalid_signing_key_is_reported(faults: Make, key: str) -> None:
    from router.domain.secrets import Secret

    options = {"url": "http://h/", "sign": {"secret": {"env": "K"}}}

    found = faults("forward", options, find_secret=lambda ref, place: Secret("K", key))

    assert found == [
        "sign.secret: the signing key is not 16 bytes or more in base64 (with or without whsec_ before it)"
    ]


def _answers(*parts: bytes) -> Callable[[socket.socket, int], None]:
    def handle(connection: socket.socket, _: int) -> None:
        connection.recv(65536)
        for part in parts:
            connection.sendall(part)

    return handle


_OK = b"HTTP/1.1 200 OK\r\n"
_PLAIN = _OK + b"Content-Length: 2\r\n\r\nhi"


@pytest.mark.parametrize(
    ("parts", "kind", "status"),
    [
        ((b"HTTP/1.1 100 Continue\r\n\r\n", _PLAIN), OutcomeKind.SUCCEEDED, 200),
        ((b"HTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n", _PLAIN), OutcomeKind.SUCCEEDED, 200),
        ((b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",), OutcomeKind.RETRY, 101),
        ((b"HTTP/1.0 200 OK\r\n\r\nhello",), OutcomeKind.SUCCEEDED, 200),
        ((_OK + b"Content-Length: 500\r\n\r\nhel",), OutcomeKind.SUCCEEDED, 200),  # the status was complete
        ((_OK + b"Content-Length: -5\r\n\r\n",), OutcomeKind.RETRY, None),
        ((_OK + b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",), OutcomeKind.RETRY, None),
        ((_OK + b"X-\0: a\r\n\r\n",), OutcomeKind.RETRY, None),
        ((b"hello",), OutcomeKind.RETRY, None),
        ((b"HTTP/1.1 99999 Odd\r\n\r\n",), OutcomeKind.RETRY, None),
        ((_OK, *[b"X-A: " + b"x" * 4000 + b"\r\n"] * 5000), OutcomeKind.RETRY, None),
        ((_OK + b"X-A: ", *[b"x" * 65536] * 500), OutcomeKind.RETRY, None),
    ],
)
def test_malformed_responses_fail_the_attempt(
    act: Make,
    job: Make,
    attempt: Attempt,
    raw: Callable[..., str],
    parts: tuple[bytes, ...],
    kind: OutcomeKind,
    status: int | None,
) -> None:
    outcome = attempt(act("forward", {"url": raw(_answers(*parts)), "timeout": "10s"}), job({}))

    assert (outcome.kind, outcome.status) == (kind, status)
    if kind is OutcomeKind.RETRY and status is None:
        assert "not valid HTTP" in outcome.error


@pytest.mark.parametrize("head", [b"", _OK])
def test_a_slow_response_times_out(
    act: Make, job: Make, attempt: Attempt, raw: Callable[..., str], head: bytes
) -> None:
    done = threading.Event()

    def drip(connection: socket.socket, _: int) -> None:
        connection.recv(65536)
        connection.sendall(head + (b"Content-Length: 100000\r\n\r\n" if head else b"HTTP/1.1 200"))
        while not done.wait(0.02):
            connection.sendall(b" ")

    began = time.monotonic()
    outcome = attempt(act("forward", {"url": raw(drip), "timeout": "300ms"}), job({}))
    done.set()

    assert time.monotonic() - began < 30  # the whole response would take half an hour
    assert outcome.kind is (OutcomeKind.SUCCEEDED if head else OutcomeKind.RETRY)


def test_a_compressed_response_is_not_decompressed(
    act: Make, job: Make, attempt: Attempt, raw: Callable[..., str]
) -> None:
    import gzip

    bomb = gzip.compress(b"the same again" * 100_000)
    head = _OK + f"Content-Encoding: gzip\r\nContent-Length: {len(bomb)}\r\n\r\n".encode()

    outcome = attempt(act("forward", {"url": raw(_answers(head + bomb))}), job({}))

    assert outcome.kind is OutcomeKind.SUCCEEDED
    assert "the same again" not in outcome.excerpt


def test_cookies_are_not_sent_back(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, monkeypatch: Any
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")  # the environment's proxies are not used either
    httpserver.expect_request("/in").respond_with_data("", headers={"Set-Cookie": "session=1; Path=/"})

    attempt(act("forward", {"url": httpserver.url_for("/in")}), job({}), job({}))

    assert [request.headers.get("Cookie") for request, _ in httpserver.log] == [None, None]


@pytest.mark.parametrize("host", ["2852039166", "0251.0376.0251.0376", "0xa9fea9fe", "169.254.43518"])
def test_a_metadata_address_in_another_notation_is_refused(
    act: Make, faults: Make, job: Make, attempt: Attempt, host: str
) -> None:
    literal = faults("forward", {"url": f"http://{host}/latest"})
    templated = act("forward", {"url": "http://{{ payload.host }}/latest", "allow_hosts": ["*"]})

    outcome = attempt(templated, job({"host": host}))

    # Some notations are recognized when the rules load. Others look like names until the system's resolver reads them.
    assert literal or "link-local or metadata" in attempt(act("forward", {"url": f"http://{host}/"}), job({})).error
    assert "the URL is not valid" in outcome.error or "link-local or metadata address" in outcome.error


def test_an_allowed_host_name_cannot_resolve_to_a_metadata_address(
    act: Make, job: Make, attempt: Attempt, monkeypatch: Any
) -> None:
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)
    options = {"url": "http://{{ payload.host }}/", "allow_hosts": ["*.example", "169.254.169.25?"]}

    for host in ("evil.example", "169.254.169.254"):
        outcome = attempt(act("forward", options), job({"host": host}))
        assert "link-local or metadata address" in outcome.error


def test_a_literal_metadata_address_is_allowed(act: Make, job: Make) -> None:
    assert act("forward", {"url": "http://169.254.169.254/latest"}).is_literal_address
    listed = act("forward", {"url": "http://{{ payload.host }}/", "allow_hosts": ["169.254.169.254", "*"]})

    assert not listed.is_literal_address
    assert listed._is_listed_address("http://169.254.169.254/")
    assert not listed._is_listed_address("http://metadata.example/")


def test_a_metadata_address_is_refused_on_connection(act: Make, job: Make, attempt: Attempt, monkeypatch: Any) -> None:
    # The resolver answers with the metadata address for a name.
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", 80))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: answer)

    outcome = attempt(act("forward", {"url": "http://metadata.example/latest"}), job({}))

    assert outcome.kind is OutcomeKind.RETRY
    assert "link-local or metadata address" in outcome.error


def test_the_preview_shows_the_request_with_secrets_masked(act: Make, job: Make) -> None:
    action: Action = act(
        "forward",
        {
            "target": "ci",
            "path": "/b/{{ payload.n }}",
            "headers": {"X-Key": "{{ secrets.key }}"},
            "body": {"json": {"k": "{{ secrets.key }}"}},
        },
        targets={"ci": "http://ci:9/base/"},
        secrets={"key": "hush"},
    )
    made: AttemptInput = job({"n": "x y"}, secrets={"key": "hush"})

    shown = action.preview(made)

    assert shown["url"] == "http://ci:9/base/b/x%20y"
    assert shown["headers"]["X-Key"] == "<secret:key>"
    assert json.loads(shown["body"]) == {"k": "<secret:key>"}
    assert "hush" not in json.dumps(shown)
    assert action.target.key == "ci"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, ": expected exactly one of url and target"),
        ({"url": "http://h/", "target": "ci"}, "exactly one"),
        ({"target": "cy"}, 'target: undefined target "cy"; known: ci'),
        ({"target": "ci", "path": "x"}, "begins with /"),
        ({"url": "http://h/", "path": "/x"}, "path needs target"),
        ({"target": "ci", "concurrency": 3}, "belongs to the target"),
        ({"url": "http://{{ payload.h }}/"}, "url: "),
        ({"url": "http://h/", "headers": {"X": "{{ nope }}"}}, "headers.X: unknown name"),
        ({"url": "http://h/", "headers": {"Host": "x"}}, "set by the connection"),
        ({"url": "http://h/", "headers": {"a b": "x"}}, "letters, digits"),
        (
            {"url": "http://h/", "headers": {"Webhook-Id": "x"}, "sign": {"secret": {"env": "K"}}},
            "part of the signature",
        ),
        ({"url": "http://h/", "body": "raw"}, "body: expected original"),
        ({"url": "http://h/", "body": {"json": 1, "text": "x"}}, "body: expected original"),
        ({"url": "http://h/", "body": {"json": {"a": ["{{ nope }}"]}}}, "body.json.a.0: unknown name"),
        ({"url": "http://h/", "body": {"form": {"a": {"b": 1}}}}, "body.form: expected a mapping"),
        ({"url": "http://h/", "body": {"text": 5}}, "body.text: expected text"),
    ],
)
def test_wrong_options_are_reported_with_their_place(faults: Make, options: dict[str, Any], message: str) -> None:
    found = faults("forward", options, targets={"ci": "http://ci/"})

    assert any(message in fault for fault in found), found


def test_actions_of_one_origin_share_their_target(act: Make) -> None:
    assert act("forward", {"url": "http://Host:80/a"}).target.key == "http://host:80"
    assert act("forward", {"url": "http://host/b?c"}).target.key == "http://host:80"
    assert act("forward", {"url": "https://host/{{ payload.x }}"}).target.key == "https://host:443"
    assert act("forward", {"url": "{{ secrets.a }}"}, secrets={"a": "b"}).target.key == "deploy/act"


def test_a_cancelled_attempt_leaves_no_connection(act: Make, job: Make, raw: Callable[..., str]) -> None:
    began, ended = threading.Event(), threading.Event()

    def hang(connection: socket.socket, _: int) -> None:
        connection.recv(65536)
        began.set()
        connection.recv(1)
        ended.set()

    action = act("forward", {"url": raw(hang)})

    async def cancel() -> None:
        async with open_tools(action) as tools:
            task = asyncio.create_task(action.attempt(job({}), tools))
            await asyncio.to_thread(began.wait, 60)
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(cancel())
    assert ended.wait(60)


TRACE_ID, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TRACED = (("TraceParent", f"00-{TRACE_ID}-{SPAN}-01"), ("TraceState", "a=1"), ("Tracestate", "b=2"), ("X-A", "1"))


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"pass_headers": ["X-*"]},
        {"body": "payload"},
        {"method": "GET"},
        {"method": "DELETE", "body": {"json": {"a": 1}}},
        {"headers": {"X-Mine": "1"}},
    ],
)
def test_each_attempt_continues_the_trace_with_its_own_span(
    act: Make, job: Make, attempt: Attempt, httpserver: HTTPServer, seen: list[Request], options: dict[str, Any]
) -> None:
    action = act("forward", {"url": httpserver.url_for("/in"), **options})

    attempt(action, job({"a": 1}, headers=TRACED), job({"a": 1}, headers=TRACED))

    parents = [request.headers.getlist("traceparent") for request in seen]
    spans = set()
    for [parent] in parents:
        version, trace_id, span, flags = parent.split("-")
        assert (version, trace_id, flags) == ("00", TRACE_ID, "01")
        spans.add(span)
    assert len(spans | {SPAN, "0" * 16}) == 4
    assert [request.headers.getlist("tracestate") for request in seen] == [["a=1,b=2"]] * 2


@pytest.mark.parametrize(
    ("headers", "own", "parent", "state"),
    [
        ((), {}, [], []),
        ((("traceparent", f"00-{'0' * 32}-{SPAN}-01"), ("tracestate", "a=1")), {}, [], []),
        ((TRACED[0], TRACED[0], TRACED[1]), {}, [], []),
        ((TRACED[1],), {}, [], []),
        (TRACED, {"Traceparent": "mine"}, ["mine"], []),
        (TRACED, {"traceparent": "mine", "TRACESTATE": "c=3"}, ["mine"], ["c=3"]),
        (TRACED, {"tracestate": "c=3"}, None, ["c=3"]),
    ],
)
def test_a_trace_header_of_the_action_replaces_the_senders_and_none_is_added(
    act: Make,
    job: Make,
    attempt: Attempt,
    httpserver: HTTPServer,
    seen: list[Request],
    headers: Any,
    own: dict[str, str],
    parent: list[str] | None,
    state: list[str],
) -> None:
    attempt(act("forward", {"url": httpserver.url_for("/in"), "headers": own}), job({"a": 1}, headers=headers))

    [request] = seen
    found = request.headers.getlist("traceparent")
    assert found == parent or (parent is None and found[0].startswith(f"00-{TRACE_ID}-"))
    assert request.headers.getlist("tracestate") == state

"""Connections of forwards: auth, client certificates, authorities and proxies."""

import base64
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.outcomes import Outcome
from router.plugins.action import Action
from router.rules.compile.loader import Loaded, Loader
from tests.actions.forward.servers import proxy_server, tls_server
from tests.free_port import free_port
from tests.http.authority import Authority

Make = Callable[..., Any]
Attempt = Callable[..., Outcome]
ENVIRON = {"TOKEN": "t0ken-of-ours", "PASSWORD": "p4ss-word-ours", "USER": "us3r", "PROXY": "pr0xy-pass"}


def _load(folder: Path, forward: str, targets: str = "", environ: dict[str, str] | None = None, **more: Any) -> Loaded:
    text = f"sources: {{in: {{verify: none}}}}\n{targets}\nrules:\n  - {{name: r, actions: [forward: {forward}]}}\n"
    return Loader(REGISTRIES, ENVIRON if environ is None else environ, **more).load(text, "rules.yaml", folder)


def _action(*given: Any, **more: Any) -> Action:
    loaded = _load(*given, **more)
    assert not loaded.errors, loaded.errors
    return loaded.require().actions["r", "forward"].action


def _problems(*given: Any, **more: Any) -> list[str]:
    return [str(problem).partition(".forward")[2] for problem in _load(*given, **more).problems]


@pytest.mark.parametrize(
    ("auth", "header", "value"),
    [
        ("{bearer: {env: TOKEN}}", "Authorization", "Bearer t0ken-of-ours"),
        (
            "{basic: {username: ann, password: {env: PASSWORD}}}",
            "Authorization",
            "Basic " + base64.b64encode(b"ann:p4ss-word-ours").decode(),
        ),
        ("{basic: {username: {env: USER}}}", "Authorization", "Basic " + base64.b64encode(b"us3r:").decode()),
        ("{header: X-Api-Key, value: {env: TOKEN}}", "X-Api-Key", "t0ken-of-ours"),
    ],
)
@pytest.mark.parametrize("at", ["action", "target"])
def test_auth_is_sent_in_its_header(
    tmp_path: Path, job: Make, attempt: Attempt, auth: str, header: str, value: str, at: str
) -> None:
    with tls_server() as server:
        url = f"http://127.0.0.1:{server.port}"
        if at == "action":
            action = _action(tmp_path, f'{{url: "{url}/in", auth: {auth}, pass_headers: ["*"]}}')
        else:
            targets = f'targets: {{t: {{url: "{url}", auth: {auth}}}}}'
            action = _action(tmp_path, '{target: t, path: /in, pass_headers: ["*"]}', targets)
        event = job({"a": 1}, headers=((header, "of-the-sender"), (header.replace("-", "_"), "of-the-sender")))

        outcome = attempt(action, event)

    assert outcome.kind == "succeeded"
    [request] = server.requests
    assert request[header] == value
    assert "of-the-sender" not in request.values()


def test_the_auth_of_an_action_replaces_that_of_its_target(tmp_path: Path, job: Make, attempt: Attempt) -> None:
    with tls_server() as server:
        targets = f'targets: {{t: {{url: "http://127.0.0.1:{server.port}", auth: {{bearer: {{env: TOKEN}}}}}}}}'
        action = _action(tmp_path, "{target: t, auth: {header: X-Key, value: {env: PASSWORD}}}", targets)

        attempt(action, job({}))

    [request] = server.requests
    assert request["X-Key"] == "p4ss-word-ours"
    assert "Authorization" not in request


def test_auth_is_not_sent_to_the_address_of_a_redirect(tmp_path: Path, job: Make, attempt: Attempt) -> None:
    with tls_server() as server, tls_server() as elsewhere:
        server.status, server.location = 307, f"http://127.0.0.1:{elsewhere.port}/"
        action = _action(tmp_path, f'{{url: "http://127.0.0.1:{server.port}/", auth: {{bearer: {{env: TOKEN}}}}}}')

        outcome = attempt(action, job({}))

    assert outcome.error == "HTTP 307: redirects are not followed; give the final URL"
    assert len(server.requests) == 1
    assert elsewhere.requests == []


@pytest.mark.parametrize("body", ["original", "payload"])
def test_a_forward_can_use_a_client_certificate_and_a_private_authority(
    tmp_path: Path, job: Make, attempt: Attempt, body: str
) -> None:
    authority = Authority(tmp_path)
    authority.issue("client")
    tls = "{ca: test-authority.pem, cert: client.pem, key: client.key}"
    with tls_server(authority.issue(), authority.path) as server:
        forward = f'{{url: "https://localhost:{server.port}/in", tls: {tls}, body: {body}}}'

        outcome = attempt(_action(tmp_path, forward), job({"a": 1}), job({"a": 2}))

    assert outcome.kind == "succeeded", outcome
    assert server.names == ["client", "client"]


def test_a_server_with_a_certificate_of_another_authority_is_not_trusted(
    tmp_path: Path, job: Make, attempt: Attempt
) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other authority")
    with tls_server(authority.issue()) as server:
        url = f"https://localhost:{server.port}/in"
        by_system = attempt(_action(tmp_path, f'{{url: "{url}", auth: {{bearer: {{env: TOKEN}}}}}}'), job({"a": 1}))
        by_other = attempt(_action(tmp_path, f'{{url: "{url}", tls: {{ca: {other.path.name}}}}}'), job({"a": 1}))

    for outcome in (by_system, by_other):
        assert outcome.kind == "retry"
        assert outcome.error.endswith("failed: its certificate or protocol was not accepted")
    assert server.requests == []


@pytest.mark.parametrize("given", ["none", "foreign"])
def test_the_error_for_a_refused_client_certificate_names_the_server(
    tmp_path: Path, job: Make, attempt: Attempt, given: str
) -> None:
    authority, other = Authority(tmp_path), Authority(tmp_path, "other authority")
    other.issue("foreign")
    more = "" if given == "none" else ", cert: foreign.pem, key: foreign.key"
    with tls_server(authority.issue(), authority.path) as server:
        forward = f'{{url: "https://localhost:{server.port}/in", tls: {{ca: test-authority.pem{more}}}}}'

        outcome = attempt(_action(tmp_path, forward), job({"a": 1}))

    assert outcome.kind == "retry"
    assert "does it ask for a client certificate (tls: cert and key)?" in outcome.error
    assert server.requests == []


def test_a_renewed_certificate_is_used_after_the_next_load(tmp_path: Path, job: Make, attempt: Attempt) -> None:
    authority = Authority(tmp_path)
    authority.issue("client")
    tls = "{ca: test-authority.pem, cert: client.pem, key: client.key}"
    with tls_server(authority.issue(), authority.path) as server:
        forward = f'{{url: "https://localhost:{server.port}/in", tls: {tls}}}'
        before = _load(tmp_path, forward)
        again = _load(tmp_path, forward)
        authority.issue("client", ends=timedelta(hours=2))
        after = _load(tmp_path, forward)
        outcome = attempt(after.require().actions["r", "forward"].action, job({}))

    contexts = [loaded.require().actions["r", "forward"].action.connection.tls for loaded in (before, again, after)]  # type: ignore[attr-defined]
    assert contexts[0] is contexts[1] is not contexts[2]
    assert outcome.kind == "succeeded"
    assert {path.name for path in before.secret_files} == {"test-authority.pem", "client.pem", "client.key"}
    assert before.secret_files != after.secret_files  # a change of these files reloads the rules


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("user", [None, "us3r:pr0xy-pass"])
def test_a_forward_goes_through_its_proxy(
    tmp_path: Path, job: Make, attempt: Attempt, scheme: str, user: str | None
) -> None:
    authority = Authority(tmp_path)
    with tls_server(authority.issue() if scheme == "https" else None) as server, proxy_server(user) as proxy:
        through = f"http://127.0.0.1:{proxy.port}"
        if user is not None:
            through = f"{{url: '{through}', username: {{env: USER}}, password: {{env: PROXY}}}}"
        tls = ", tls: {ca: test-authority.pem}" if scheme == "https" else ""
        target = (
            f'{{url: "{scheme}://localhost:{server.port}", proxy: {through}, auth: {{bearer: {{env: TOKEN}}}}{tls}}}'
        )
        action = _action(tmp_path, "{target: t, path: /in}", f"targets: {{t: {target}}}")

        outcome = attempt(action, job({"a": 1}), job({"a": 2}))

    assert outcome.kind == "succeeded", outcome
    assert [request["Authorization"] for request in server.requests] == ["Bearer t0ken-of-ours"] * 2
    assert all("Proxy-Authorization" not in request for request in server.requests)
    if scheme == "https":  # one encrypted tunnel
        assert proxy.asked == [f"CONNECT localhost:{server.port}"]
        assert all("Authorization" not in request for request in proxy.requests)
    else:
        assert proxy.asked == [f"POST http://localhost:{server.port}/in"] * 2


def test_the_error_for_a_failing_proxy_names_the_cause(tmp_path: Path, job: Make, attempt: Attempt) -> None:
    gone = free_port()
    with proxy_server("us3r:another") as proxy:
        place = f"http://127.0.0.1:{proxy.port}"
        given = f"{{url: '{place}', username: us3r, password: {{env: PROXY}}}}"
        wrong = attempt(_action(tmp_path, f'{{url: "https://localhost/", proxy: {given}}}'), job({}))
        plain = attempt(_action(tmp_path, f'{{url: "http://localhost/", proxy: {given}}}'), job({}))
        down = attempt(_action(tmp_path, f'{{url: "https://localhost/", proxy: "http://127.0.0.1:{gone}"}}'), job({}))

    assert wrong.error == f"the proxy {place} refuses the credentials (HTTP 407); see username and password of proxy"
    assert (plain.error, plain.status) == (wrong.error, 407)
    assert down.error == f"no connection to the proxy http://127.0.0.1:{gone}: Connection refused"


def test_refused_addresses_are_also_refused_behind_a_proxy(tmp_path: Path, job: Make, attempt: Attempt) -> None:
    with proxy_server() as proxy:
        forward = (
            f"""{{url: "http://{{{{ payload.host }}}}/", allow_hosts: ["*"], proxy: "http://127.0.0.1:{proxy.port}"}}"""
        )
        outcome = attempt(_action(tmp_path, forward), job({"host": "169.254.169.254"}))
        own = attempt(_action(tmp_path, '{url: "http://localhost/", proxy: "http://metadata.invalid"}'), job({}))

    assert "leads to a link-local or metadata address" in outcome.error
    assert proxy.asked == []
    assert own.error == "the host of the proxy http://metadata.invalid can't be resolved"


def test_the_command_test_shows_secrets_by_name(tmp_path: Path, job: Make) -> None:
    auth = "{basic: {username: {env: USER}, password: {env: PASSWORD}}}"
    action = _action(tmp_path, f'{{url: "https://a.example/", auth: {auth}, proxy: "http://127.0.0.1:1"}}')

    shown = action.preview(job({}))

    assert shown["headers"]["Authorization"] == "Basic <secret:env USER>:<secret:env PASSWORD>"
    assert shown["proxy"] == "http://127.0.0.1:1"


def _of(authority: Authority, key: str, ending: str = "") -> str:
    """A forward to an https URL with these files."""
    del authority
    return f'{{url: "https://a.example/", tls: {{{key}}}{ending}}}'


@pytest.mark.parametrize(
    ("tls", "problem"),
    [
        (
            "ca: gone.pem",
            ".tls.ca: gone.pem can't be read: No such file or directory; write it there before the daemon",
        ),
        ("ca: .", ".tls.ca: . can't be read: Is a directory"),
        ("ca: client.key", ".tls.ca: client.key: there is no PEM certificate in it"),
        ("cert: client.pem", ".tls: cert needs key: a client certificate and its private key go together"),
        ("key: client.key", ".tls: key needs cert"),
        ("cert: client.pem, key: client.pem", ".tls.key: client.pem: there is no PEM private key in it"),
        (
            "cert: client.pem, key: other.key",
            ".tls.key: other.key: the key is not that of the certificate in client.pem",
        ),
        ("cert: client.pem, key: locked.key", ".tls.key: locked.key: the key has a passphrase, and nobody is there"),
        ("cert: old.pem, key: old.key", ".tls.cert: old.pem: CN=old expired at "),
        ("cert: soon.pem, key: soon.key", ".tls.cert: soon.pem: CN=soon is not valid before "),
        ("", ".tls: expected ca, or cert and key, or all three"),
        ("pem: x", '.tls: unknown key "pem"'),
        ("ca: 5", ".tls.ca: expected text, found the number 5; quote it"),
    ],
)
def test_the_error_for_an_unusable_file_names_its_place(tmp_path: Path, tls: str, problem: str) -> None:
    authority = Authority(tmp_path)
    authority.issue("client")
    authority.issue("other")
    authority.issue("locked", password=b"x")
    authority.issue("old", timedelta(hours=-2), timedelta(hours=-1))
    authority.issue("soon", timedelta(hours=1), timedelta(hours=2))

    [found] = _problems(tmp_path, f'{{url: "https://a.example/", tls: {{{tls}}}}}')

    assert found.startswith(problem)


def test_an_expired_certificate_gets_a_warning(tmp_path: Path) -> None:
    Authority(tmp_path).issue("old", timedelta(hours=-2), timedelta(hours=-1))

    loaded = _load(tmp_path, '{url: "https://a.example/", tls: {cert: old.pem, key: old.key}}')

    assert loaded.ruleset is not None
    [warning] = loaded.warnings
    assert str(warning).endswith("; renew it; until then no connection is made")


def test_a_missing_file_gets_a_note_when_the_rules_are_only_checked(
    tmp_path: Path, job: Make, attempt: Attempt
) -> None:
    loaded = _load(tmp_path, '{url: "https://a.example/", tls: {ca: gone.pem}}', require_secrets=False)

    [note] = loaded.problems
    assert note.level == "note"
    outcome = attempt(loaded.require().actions["r", "forward"].action, job({}))
    assert outcome.kind == "retry"
    assert outcome.error.startswith("no connection can be made with the files of tls: gone.pem")


@pytest.mark.parametrize(
    ("forward", "problem"),
    [
        ("auth: {bearer: t0ken-written-here}", ".auth.bearer: a secret is never written in the rules file"),
        ("auth: {basic: {username: a, password: x}}", ".auth.basic.password: a secret is never written"),
        ("auth: {basic: {username: 5}}", ".auth.basic.username: expected text, or a secret"),
        ("auth: {basic: {username: {env: USER, x: 1}}}", '.auth.basic.username: unknown key "x" of a secret'),
        ("auth: {basic: {username: 'a:b'}}", ".auth.basic.username: a user's name can't hold a colon"),
        ("auth: {basic: {password: {env: PASSWORD}}}", '.auth.basic: missing "username"'),
        ("auth: {}", ".auth: expected exactly one of basic, bearer, and header with value; found none of them"),
        (
            "auth: {bearer: {env: TOKEN}, header: X-A, value: {env: TOKEN}}",
            ".auth: expected exactly one of basic, bearer, and header with value; found bearer and header",
        ),
        ("auth: {header: X-A}", ".auth: missing value: the secret to send in this header"),
        ("auth: {value: {env: TOKEN}}", ".auth.value: value needs header"),
        ("auth: {header: 'X A', value: {env: TOKEN}}", ".auth.header: expected a header name of letters, digits and -"),
        ("auth: {header: Host, value: {env: TOKEN}}", ".auth.header: Host is set by the forward itself"),
        ("auth: {bearer: {env: NOT_SET}}", ".auth.bearer: environment variable NOT_SET is not set"),
        ("auth: {bearer: {env: BROKEN}}", ".auth.bearer: env BROKEN can't be sent in a header"),
        ("auth: {token: {env: TOKEN}}", '.auth: unknown key "token"'),
        (
            "auth: {bearer: {env: TOKEN}}, headers: {authorization: x}",
            ".headers.authorization: authorization is set by auth; remove one of them",
        ),
        ("proxy: https://p.example", ".proxy: expected http:// and the proxy's host and port"),
        ("proxy: p.example:3128", ".proxy: expected http://"),
        ("proxy: http://ann:t0ken@p.example", ".proxy: a user or password in a URL would be a secret in the file"),
        ("proxy: http://p.example/x", ".proxy: a proxy has a host and a port, and no path"),
        ("proxy: 'http://{{ payload.a }}/'", ".proxy: a proxy is constant"),
        ("proxy: {url: 'http://p.example', password: {env: PROXY}}", ".proxy.password: password needs username"),
        ("proxy: 3128", ".proxy: expected a mapping"),
    ],
)
def test_wrong_options_are_reported_with_their_place(tmp_path: Path, forward: str, problem: str) -> None:
    environ = {**ENVIRON, "BROKEN": "two\nlines-of-text"}

    [found] = _problems(tmp_path, f"{{url: 'https://a.example/', {forward}}}", environ=environ)

    assert found.startswith(problem)
    assert "t0ken" not in found


@pytest.mark.parametrize("key", ["tls: {ca: x}", "proxy: http://p.example"])
def test_an_action_cannot_set_the_connection_of_its_target(tmp_path: Path, key: str) -> None:
    (tmp_path / "x").write_bytes(Authority(tmp_path).path.read_bytes())

    [found] = _problems(tmp_path, f"{{target: t, {key}}}", "targets: {t: {url: 'https://a.example'}}")

    assert "belongs to the target: write it under targets: t" in found


def test_the_key_tls_requires_https(tmp_path: Path) -> None:
    Authority(tmp_path)

    [found] = _problems(tmp_path, "{url: 'http://a.example/', tls: {ca: test-authority.pem}}")

    assert found == ".tls: the URL begins with http://, where nothing is encrypted; write https://"


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("url: 'http://a.example/', tls: {ca: test-authority.pem}", ".tls: the URL begins with http://, where nothing"),
        ("url: 'HTTP://a.example/', tls: {ca: test-authority.pem}", ".tls: the URL begins with http://, where nothing"),
        ("url: 'https://a.example/', tls: {ca: ''}", ".tls.ca: expected the name of a file"),
        ("url: 'https://a.example/', tls: {ca: .}", ".tls.ca: . can't be read: Is a directory"),
    ],
)
def test_tls_of_a_target_with_an_http_url_is_an_error(tmp_path: Path, target: str, problem: str) -> None:
    Authority(tmp_path)

    loaded = _load(tmp_path, "{target: t}", f"targets: {{t: {{{target}}}}}").problems
    [found] = [str(one) for one in loaded if "tls" in str(one)]

    assert problem in found
    assert "write it there" not in found

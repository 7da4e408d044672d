"""The sender's headers that reach a target: the ones known to be harmless, and the ones that the rules name."""

from typing import Any

import pytest
from structlog.testing import capture_logs

from router.actions.forward.headers import StoppedHeaders, passed
from router.domain.identity_headers import tells_who_calls
from tests.cases import each

GITHUB = frozenset({"x-github-*", "x-hub-signature-256"})
# Proxies use these headers to tell a service the caller, its address or the requested path.
IDENTITY = [
    *("X-WEBAUTH-USER", "Remote-User", "Remote_User", "True-Client-IP", "X-Original-URL", "X-Rewrite-URL"),
    *("X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "CF-Connecting-IP", "X-Client-IP", "Client-IP"),
    *("X-Cluster-Client-IP", "Fastly-Client-IP", "X-Authenticated-User", "X-SSL-Client-CN", "SSL_CLIENT_S_DN"),
    *("X-Amzn-Oidc-Identity", "X-Goog-Authenticated-User-Email", "X-MS-CLIENT-PRINCIPAL", "Tailscale-User-Login"),
    *("X-Consumer-Username", "X-User", "X-Email", "Impersonate-User", "X-Envoy-Original-Path", "X-Scope-OrgID"),
    *("X-Host", "X-Api-Key", "OIDC_CLAIM_email", "X-Pomerium-Claim-Email"),
]


def names(
    *given: str, original: bool = True, only: tuple[str, ...] | None = None, named: Any = frozenset()
) -> list[str]:
    found = passed([(name, "v") for name in given], only=only, original=original, named=frozenset(named))
    return [name for name, _ in found.items]


HARMLESS = [
    *("Content-Type", "Content-Encoding", "Content-Language", "Content-Disposition", "Content-MD5", "Accept"),
    *("User-Agent", "X-Request-Id", "X-Correlation-ID", "b3", "X-B3-TraceId", "X-Amzn-Trace-Id", "baggage"),
]


def test_known_harmless_headers_pass() -> None:
    assert names(*HARMLESS) == HARMLESS


@each(
    "name",
    [
        *(one for one in IDENTITY if one != "X-Authenticated-User"),
        "X-Whatever",
        "X-GitHub-Event",
        "Content-Location",
        "Content-Range",
        "Origin",
    ],
)
def test_all_other_headers_are_dropped(name: str) -> None:
    assert passed([(name, "root")], only=None, original=True).items == []
    assert passed([(name, "root")], only=None, original=True).stopped == [name]


def test_a_header_named_by_the_source_passes_only_in_that_spelling() -> None:
    given = ("X-GitHub-Event", "x-hub-signature-256", "X_GitHub_Event", "X-Hub-Signature")

    assert names(*given, named=GITHUB) == ["X-GitHub-Event", "x-hub-signature-256"]


DANGEROUS = ["Authorization", "Cookie", "X-Forwarded-For", "X-Real-IP", "X-Auth-User", "webhook-id", "Idempotency-Key"]


@pytest.mark.parametrize("name", [*DANGEROUS, "Content-Length", "X_Forwarded_For", "Connection", "traceparent"])
def test_a_dropped_header_passes_in_no_spelling(name: str) -> None:
    assert names(name, named={"*", name.lower()}) == []
    assert names(name, only=("*",)) == []
    assert passed([(name, "v")], only=None, original=True).stopped == []  # it never passed, so no log line is needed


def test_pass_headers_replaces_the_default_list() -> None:
    given = ["X-WEBAUTH-USER", "X-GitHub-Event", "Accept", "Content-Type"]

    assert names(*given, only=("*",)) == given
    assert names(*given, only=("x-webauth-*",), named=GITHUB) == ["X-WEBAUTH-USER", "Content-Type"]
    assert names(*given, only=(), named=GITHUB) == ["Content-Type"]


def test_headers_named_by_connection_are_dropped() -> None:
    found = passed(
        [("Connection", "X-A"), ("X-A", "1"), ("Accept", "2")], only=None, original=True, named=frozenset({"x-a"})
    )

    assert (found.items, found.stopped) == ([("Accept", "2")], [])


def test_signatures_of_the_original_body_pass_only_with_that_body() -> None:
    given = ("X-Hub-Signature-256", "X-GitHub-Event", "Content-Encoding")

    assert names(*given, named=GITHUB, original=False) == ["X-GitHub-Event"]


@each("name", IDENTITY)
def test_headers_that_identify_the_caller_are_recognized(name: str) -> None:
    assert tells_who_calls(name)


@pytest.mark.parametrize(
    "name", ["X-GitHub-Event", "X-Event-Key", "X-Hook-UUID", "Content-Type", "X-Tag", "X-Gitea-Event"]
)
def test_headers_that_describe_the_event_do_not_identify_the_caller(name: str) -> None:
    assert not tells_who_calls(name)


def test_each_dropped_name_is_logged_once_for_each_source_up_to_a_limit() -> None:
    stopped = StoppedHeaders()

    with capture_logs() as logs:
        stopped.note("a", ["X-One", "X-One", "x-one"])
        stopped.note("a", ["X-ONE"])
        stopped.note("b", ["X-One"])
        for number in range(1000):
            stopped.note("a", [f"X-{number}-" + "y" * 5000])

    assert [(line["source"], line["headers"]) for line in logs[:2]] == [("a", ["X-One"]), ("b", ["X-One"])]
    assert len(logs) <= 2 + 20
    assert max(len(name) for line in logs for name in line["headers"]) <= 64

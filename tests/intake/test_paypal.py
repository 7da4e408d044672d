"""Scheme paypal-certificate: PayPal's signature over a checksum of the body, with a certificate from PayPal's hosts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.domain.request import Inbound
from router.intake.verify import paypal as scheme
from router.intake.verify.certificates import Certificates
from router.intake.verify.paypal import Options, PayPal
from router.plugins.build import Build
from router.plugins.scheme import KeysAwaited, KeysUnavailable, Unverified, Verdict, Verified
from tests.intake.preset_senders import BODY, PAYPAL_CERTIFICATE, WEBHOOK_ID, Pairs, certificate, paypal
from tests.intake.signed_requests import NOW, mutations

KEY = b"new key"
SANDBOX = PAYPAL_CERTIFICATE.replace("api.", "api.sandbox.")


class Hosts:
    """Stands for PayPal's hosts: serves certificates and counts the fetches."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.asked: list[str] = []
        self.is_down = is_down

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.is_down or url not in (PAYPAL_CERTIFICATE, SANDBOX):
            raise OSError(111, "Connection refused")
        return certificate(KEY)

    def verifier(self, **given: Any) -> PayPal:
        build = Build("s", Path("/"))
        made = scheme.compile(Options.model_validate({"webhook_id": WEBHOOK_ID, **given}), build)
        assert not build.faults, build.faults
        assert isinstance(made, PayPal)
        return replace(made, certificates=Certificates(self.fetch))


def _inbound(headers: Pairs, body: bytes = BODY) -> Inbound:
    sent = (*headers, ("Content-Type", "application/json"))
    return Inbound("s", "POST", "/hooks/s", "", sent, body, "192.0.2.1", NOW)


def _verify(verifier: PayPal, headers: Pairs, body: bytes = BODY, now: int = NOW) -> Verdict:
    found = verifier.verify(_inbound(headers, body), now)
    if isinstance(found, KeysAwaited):
        found.fetched.result(10)
        found = verifier.verify(_inbound(headers, body), now)
    return found


def test_an_event_is_accepted_and_its_certificate_fetched_once() -> None:
    hosts = Hosts()
    verifier = hosts.verifier()

    for _ in range(3):
        assert isinstance(_verify(verifier, paypal(KEY, BODY)), Verified)
    assert hosts.asked == [PAYPAL_CERTIFICATE]


def test_every_change_of_a_header_is_refused() -> None:
    verifier = Hosts().verifier()
    good = paypal(KEY, BODY)
    assert isinstance(_verify(verifier, good), Verified)

    for kind, headers in mutations(good):
        if dict(headers) != dict(good):
            assert not isinstance(_verify(verifier, headers), Verified), kind


def test_an_event_for_another_body_key_or_webhook_is_refused() -> None:
    verifier = Hosts().verifier()

    for body in (b"", BODY + b" ", BODY * 2, BODY.upper()):
        assert isinstance(_verify(verifier, paypal(KEY, BODY), body), Unverified)
    assert isinstance(_verify(verifier, paypal(b"old key", BODY)), Unverified)
    assert isinstance(_verify(verifier, paypal(KEY, BODY, webhook="1" + WEBHOOK_ID[1:])), Unverified)


@pytest.mark.parametrize("seconds", [-259_201, 259_201])
def test_an_event_of_more_than_three_days_is_refused(seconds: int) -> None:
    verifier = Hosts().verifier()

    assert isinstance(_verify(verifier, paypal(KEY, BODY), now=NOW + (abs(seconds) - 2) * 1000), Verified)
    assert isinstance(_verify(verifier, paypal(KEY, BODY), now=NOW + seconds * 1000), Unverified)


@pytest.mark.parametrize(
    "url",
    [
        SANDBOX,
        PAYPAL_CERTIFICATE.replace("https", "http"),
        PAYPAL_CERTIFICATE.replace("api.paypal.com", "api.paypal.com.example.com"),
        PAYPAL_CERTIFICATE.replace("api.paypal.com", "api.paypal.com@example.com"),
        PAYPAL_CERTIFICATE.replace("api.paypal.com", "api.paypal.com:8443"),
        PAYPAL_CERTIFICATE.replace("api.paypal.com", "www.paypal.com"),
        PAYPAL_CERTIFICATE.replace("https://", "https://example.com\\@"),
        PAYPAL_CERTIFICATE.replace("CERT-", "../CERT-"),
        PAYPAL_CERTIFICATE.replace("CERT-", "x/../CERT-"),
        PAYPAL_CERTIFICATE + "?a",
        PAYPAL_CERTIFICATE + "#a",
        PAYPAL_CERTIFICATE + "/",
        "https://[api.paypal.com/v1/notifications/certs/CERT-a",
        "file:///etc/passwd",
    ],
)
def test_a_certificate_of_another_host_is_not_fetched(url: str) -> None:
    hosts = Hosts()
    headers = tuple((name, url if name == "Paypal-Cert-Url" else value) for name, value in paypal(KEY, BODY))

    assert isinstance(_verify(hosts.verifier(), headers), Unverified)
    assert hosts.asked == []


def test_sandbox_events_are_accepted_only_when_the_rules_file_allows_them() -> None:
    hosts = Hosts()
    headers = tuple((name, SANDBOX if name == "Paypal-Cert-Url" else value) for name, value in paypal(KEY, BODY))

    assert isinstance(_verify(hosts.verifier(sandbox=True), headers), Verified)
    assert isinstance(_verify(hosts.verifier(sandbox=True), paypal(KEY, BODY)), Unverified)
    assert hosts.asked == [SANDBOX]


def test_a_certificate_that_cannot_be_fetched_gives_503() -> None:
    assert isinstance(_verify(Hosts(is_down=True).verifier(), paypal(KEY, BODY)), KeysUnavailable)


@pytest.mark.parametrize("webhook_id", ["", "8PT5 97", "a|b", "x" * 51])
def test_a_webhook_id_that_paypal_never_gives_is_an_error(webhook_id: str) -> None:
    build = Build("s", Path("/"))
    scheme.compile(Options(webhook_id=webhook_id), build)

    assert "expected the webhook's id as PayPal shows it" in build.faults[0].message

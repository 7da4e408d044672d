"""Scheme sns: Amazon's signature with a certificate from Amazon's hosts, and confirmations if the rules allow them."""

import json
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.domain.request import Inbound
from router.http.contract import Request
from router.intake.handshake.sns import Sns as SnsHandshake
from router.intake.verify.certificates import MOST_CERTIFICATES, NEW_IN_A_MINUTE, Certificates
from router.intake.verify.sns import Sns, is_certificate_address
from router.plugins.scheme import KeysAwaited, KeysUnavailable, Unverified, Verdict, Verified
from router.store.sqlite.store import SqliteStore
from tests.conftest import until
from tests.intake.conftest import WaitingReceiver
from tests.intake.preset_senders import CERTIFICATE, TOPIC, certificate, sns
from tests.intake.signed_requests import NOW

KEY = b"new key"
CONFIRMATION = {"Type": "SubscriptionConfirmation", "Token": "t" * 64, "Message": "You have chosen to subscribe"}
VISIT = "https://sns.eu-central-1.amazonaws.com/?Action=ConfirmSubscription&Token=tt"


class Amazon:
    """Stands for Amazon's hosts: serves certificates and keeps the fetched URLs."""

    def __init__(self, *, is_down: bool = False) -> None:
        self.asked: list[str] = []
        self.is_down = is_down

    def fetch(self, url: str) -> bytes:
        self.asked.append(url)
        if self.is_down:
            raise OSError(111, "Connection refused")
        return certificate(KEY)

    def verifier(self, **given: Any) -> Sns:
        return Sns(
            frozenset({TOPIC}),
            given.pop("confirm", False),
            certificates=Certificates(self.fetch),
            fetch=self.fetch,
            **given,
        )


def _inbound(body: bytes) -> Inbound:
    return Inbound("s", "POST", "/hooks/s", "", (("Content-Type", "text/plain"),), body, "192.0.2.1", NOW)


def _verify(verifier: Sns, body: bytes) -> Verdict:
    found = verifier.verify(_inbound(body), NOW)
    if isinstance(found, KeysAwaited):
        found.fetched.result(60)
        found = verifier.verify(_inbound(body), NOW)
    return found


@pytest.mark.parametrize("version", ["1", "2"])
def test_a_message_is_accepted_and_its_certificate_fetched_once(version: str) -> None:
    amazon = Amazon()
    verifier = amazon.verifier()

    for _ in range(3):
        assert isinstance(_verify(verifier, sns(KEY, version)), Verified)
    assert isinstance(_verify(verifier, sns(KEY, version, Subject="two\nlines")), Verified)
    assert amazon.asked == [CERTIFICATE]


def test_every_change_of_a_signed_value_is_refused() -> None:
    verifier = Amazon().verifier()
    good = json.loads(sns(KEY, Subject="a"))
    assert isinstance(_verify(verifier, json.dumps(good).encode()), Verified)

    for name in ("Message", "MessageId", "Subject", "Timestamp", "TopicArn", "Type", "Signature", "SignatureVersion"):
        for value in (None, "", "x", good[name][:-1], good[name] + " ", 7, [good[name]], "\ud83d", good[name] + "\n"):
            found = _verify(verifier, json.dumps({**good, name: value}).encode())
            assert isinstance(found, Unverified), (name, value)
        without = {key: value for key, value in good.items() if key != name}
        assert isinstance(_verify(verifier, json.dumps(without).encode()), Unverified), name
    for body in (b"", b"[]", b"null", b"{", b'"x"', sns(b"old key"), b"a" * 2_000_000):
        assert isinstance(_verify(verifier, body), Unverified), body[:20]


def test_a_value_with_a_line_break_is_refused() -> None:
    """Otherwise the signed text of a confirmation could equal that of a notification."""
    moved = sns(KEY, MessageId="1\nTimestamp\n2023-11-14T22:13:20.000Z")

    assert isinstance(_verify(Amazon().verifier(), moved), Unverified)


@pytest.mark.parametrize("seconds", [-7201, 7201])
def test_an_old_message_is_refused(seconds: int) -> None:
    verifier = Amazon().verifier()

    assert isinstance(_verify(verifier, sns(KEY)), Verified)
    assert isinstance(verifier.verify(_inbound(sns(KEY)), NOW + seconds * 1000), Unverified)


@pytest.mark.parametrize(
    "url",
    [
        "http://sns.eu-central-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://sns.eu-central-1.amazonaws.com.example.com/SimpleNotificationService-a.pem",
        "https://example.com/SimpleNotificationService-a.pem",
        "https://sns.eu-central-1.amazonaws.com@example.com/SimpleNotificationService-a.pem",
        "https://sns.eu-central-1.amazonaws.com:8443/SimpleNotificationService-a.pem",
        "https://a.sns.eu-central-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://s3.eu-central-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://sns.eu-central-1.amazonaws.com/../x/SimpleNotificationService-a.pem",
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-a.pem?x",
        "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-a.pem#x",
        "https://example.com\\@sns.eu-central-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://[sns.eu-central-1.amazonaws.com/SimpleNotificationService-a.pem",
        "https://sns.\u0435u.amazonaws.com/SimpleNotificationService-a.pem",
        "file:///etc/passwd",
        "",
        7,
        None,
    ],
)
def test_a_certificate_comes_only_from_amazon(url: Any) -> None:
    amazon = Amazon()
    body = json.dumps({**json.loads(sns(KEY)), "SigningCertURL": url}).encode()

    assert isinstance(_verify(amazon.verifier(), body), Unverified)
    assert not amazon.asked
    assert is_certificate_address(CERTIFICATE)
    assert is_certificate_address("https://sns.cn-north-1.amazonaws.com.cn/SimpleNotificationService-a.pem")


def test_another_topic_is_refused_before_anything_is_fetched() -> None:
    amazon = Amazon()

    assert isinstance(_verify(amazon.verifier(), sns(KEY, TopicArn=TOPIC + "2")), Unverified)
    assert not amazon.asked


def test_a_certificate_that_cannot_be_fetched_gives_503() -> None:
    with capture_logs() as logs:
        found = _verify(Amazon(is_down=True).verifier(), sns(KEY))

    assert isinstance(found, KeysUnavailable)
    assert [line["event"] for line in logs] == ["public keys could not be fetched"]


def test_a_subscription_is_confirmed_only_when_the_rules_file_says_so() -> None:
    body = sns(KEY, **CONFIRMATION, SubscribeURL=VISIT)
    silent, willing = Amazon(), Amazon()

    assert isinstance(_verify(silent.verifier(), body), Verified)
    with capture_logs() as logs:
        assert isinstance(_verify(willing.verifier(confirm=True), body), Verified)
        until(lambda: any(line["event"] == "subscription confirmed" for line in logs))
    assert silent.asked == [CERTIFICATE]
    assert willing.asked == [CERTIFICATE, VISIT]


def test_a_confirmation_visits_only_addresses_of_sns() -> None:
    amazon = Amazon()
    body = sns(KEY, **CONFIRMATION, SubscribeURL="https://internal.example/")

    with capture_logs() as logs:
        assert isinstance(_verify(amazon.verifier(confirm=True), body), Verified)

    assert [line["event"] for line in logs] == ["subscription not confirmed"]
    assert not any(thread.name == "confirm-sns" for thread in threading.enumerate())
    assert amazon.asked == [CERTIFICATE]


RULES = f"""
sources:
  s: {{verify: {{scheme: sns, topics: ["{TOPIC}"]}}}}
rules: [{{name: all, actions: [append: a.jsonl]}}]
"""


def test_a_request_waits_for_the_certificate_and_a_confirmation_is_no_event(
    receiver: Callable[..., WaitingReceiver], make_request: Callable[..., Request], store: SqliteStore
) -> None:
    made = receiver(RULES)
    sources = {"s": replace(made.current.ruleset.sources["s"], verifier=Amazon().verifier())}
    made.current.ruleset.by_path["/hooks/s"] = sources["s"]  # type: ignore[index]

    assert made.receive(make_request(sns(KEY), path="/hooks/s")).status == 202
    assert made.receive(make_request(sns(KEY), path="/hooks/s")).status == 200  # it has the same MessageId
    confirmation = made.receive(make_request(sns(KEY, **CONFIRMATION, SubscribeURL=VISIT), path="/hooks/s"))
    assert (confirmation.status, confirmation.body) == (200, b"")
    assert made.receive(make_request(sns(b"old key"), path="/hooks/s")).status == 401
    assert len(store.events()) == 1


def test_only_confirmations_are_answered() -> None:
    handshake = SnsHandshake()
    inbound = _inbound(b"")

    assert handshake.after_verification(inbound, {"Type": "UnsubscribeConfirmation"}) is not None
    others: list[Any] = [None, [], {"Type": "Notification"}, {"type": "SubscriptionConfirmation"}]
    for payload in others:
        assert handshake.after_verification(inbound, payload) is None


def test_many_certificate_addresses_are_not_fetched_and_replace_no_valid_certificate() -> None:
    amazon, now = Amazon(), [0.0]
    certificates = Certificates(amazon.fetch, lambda: now[0])
    verifier = Sns(frozenset({TOPIC}), confirm=False, certificates=certificates)
    good = json.loads(sns(KEY))
    assert isinstance(_verify(verifier, json.dumps(good).encode()), Verified)
    amazon.is_down = True

    for minute in range(3):
        for number in range(100):
            name = f"SimpleNotificationService-{minute}x{number}"
            changed = {**good, "SigningCertURL": CERTIFICATE.replace("SimpleNotificationService-0123abcd", name)}
            assert isinstance(_verify(verifier, json.dumps(changed).encode()), KeysUnavailable)
        now[0] += 61
    assert len(amazon.asked) <= 1 + 3 * NEW_IN_A_MINUTE
    assert len(certificates._by_url) <= MOST_CERTIFICATES
    assert isinstance(_verify(verifier, json.dumps(good).encode()), Verified)

"""The rate of wrong admin tokens is limited."""

import threading

import pytest
import structlog

from router.admin.auth.failed_logins import (
    ALL_AT_ONCE,
    ALL_SECONDS_EACH,
    AT_ONCE,
    MAX_ADDRESSES,
    MAX_KNOWN,
    FailedLogins,
)
from tests.admin.conftest import TOKEN, Admin


def _status(admin: Admin, token: str | None = TOKEN, ip: str = "127.0.0.1", **headers: str) -> int:
    return admin.ask("GET", "/api/status", token=token, ip=ip, headers=headers).status


def test_wrong_tokens_are_limited_to_ten_and_then_one_a_second(admin: Admin) -> None:
    assert [_status(admin, "wrong") for _ in range(11)] == [401] * 10 + [429]

    answer = admin.ask("GET", "/api/status")  # the right token must wait too
    assert (answer.status, answer.headers["retry-after"]) == (429, "1")

    admin.now += 1
    assert _status(admin, "wrong") == 401
    assert _status(admin) == 429
    admin.now += 1
    assert _status(admin) == 200
    assert _status(admin) == 200


def test_the_token_bucket_refills_up_to_its_size(admin: Admin) -> None:
    for _ in range(10):
        _status(admin, "wrong")
    admin.now += 3600

    assert [_status(admin, "wrong") for _ in range(11)] == [401] * 10 + [429]


def test_wrong_tokens_from_one_address_do_not_limit_another(admin: Admin) -> None:
    for _ in range(11):
        _status(admin, "wrong", ip="192.0.2.1")

    assert _status(admin, ip="192.0.2.1") == 429
    assert _status(admin, ip="192.0.2.2") == 200


def test_one_ipv6_network_shares_one_limit() -> None:
    failures = FailedLogins()
    for number in range(AT_ONCE):
        failures.add(f"2001:db8:1:2::{number:x}", 0.0)

    assert failures.wait("2001:db8:1:2:ffff::1%eth0", 0.0)
    assert not failures.wait("2001:db8:1:3::1", 0.0)


def test_an_ipv4_mapped_address_shares_the_limit_of_the_ipv4_address() -> None:
    failures = FailedLogins()
    for _ in range(AT_ONCE):
        failures.add("::ffff:192.0.2.1", 0.0)

    assert failures.wait("192.0.2.1", 0.0)
    assert not failures.wait("::ffff:192.0.2.2", 0.0)


def test_all_loopback_addresses_count_as_one() -> None:
    failures = FailedLogins()
    for number in range(AT_ONCE):
        failures.add(("127.0.0.1", "127.9.8.7", "::1", "::ffff:127.3.2.1")[number % 4], 0.0)

    for address in ("127.0.0.1", "127.255.0.9", "::1", "::ffff:127.0.0.1"):
        assert failures.wait(address, 0.0)


def test_wrong_tokens_of_all_addresses_together_are_limited() -> None:
    failures = FailedLogins()
    failures.succeeded("192.0.2.1")
    for number in range(ALL_AT_ONCE):
        assert not failures.wait(f"10.0.{number >> 8}.{number & 255}", 0.0)
        failures.add(f"10.0.{number >> 8}.{number & 255}", 0.0)

    assert failures.wait("192.0.2.2", 0.0) == 1
    assert not failures.wait("192.0.2.1", 0.0)  # this address has had the right token
    assert not failures.wait("192.0.2.2", ALL_SECONDS_EACH)


def test_the_number_of_remembered_addresses_with_the_right_token_is_limited() -> None:
    failures = FailedLogins()
    for number in range(3 * MAX_KNOWN):
        failures.succeeded(f"10.0.{number >> 8}.{number & 255}")

    assert len(failures._known) == MAX_KNOWN


def test_the_number_of_remembered_addresses_is_limited() -> None:
    failures = FailedLogins()
    for number in range(3 * MAX_ADDRESSES):
        failures.add(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 0.0)

    assert len(failures._empty_until) == MAX_ADDRESSES


def test_a_request_without_a_token_does_not_count_as_a_wrong_token(admin: Admin) -> None:
    assert [_status(admin, None) for _ in range(30)] == [401] * 30
    assert _status(admin) == 200


@pytest.mark.parametrize(
    "header",
    [
        "",
        "Bearer",
        "Bearer ",
        f"Basic {TOKEN}",
        TOKEN,
        f"Bearer {TOKEN},",
        f"Bearer {TOKEN}, Bearer {TOKEN}",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Bearer {TOKEN.upper()}",
        f"Bearer\t{TOKEN}",
        "Bearer tök",
        "Bearer \xff\xfe",
        "Bearer " + "x" * 10_000,
    ],
)
def test_a_malformed_authorization_header_gets_a_401(admin: Admin, header: str) -> None:
    answer = admin.ask("GET", "/api/status", token=None, headers={"Authorization": header})

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert "tök" not in answer.json["detail"]


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_the_authorization_scheme_ignores_case(admin: Admin, scheme: str) -> None:
    assert _status(admin, None, Authorization=f"{scheme} {TOKEN}") == 200


def test_failures_are_logged_at_a_limited_rate_without_the_sent_token(admin: Admin) -> None:
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            _status(admin, "a-wrong-token-of-somebody")
        admin.now += 11
        _status(admin, "a-wrong-token-of-somebody")

    assert [(line["reason"], line["ip"], line["others_since"]) for line in lines] == [
        ("wrong token", "127.0.0.1", 0),
        ("wrong token", "127.0.0.1", 4),
    ]
    assert "somebody" not in str(lines)


def test_concurrent_wrong_tokens_exceed_the_limit_by_at_most_the_number_of_threads(admin: Admin) -> None:
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.extend(_status(admin, "wrong") for _ in range(20))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert statuses.count(401) <= AT_ONCE + len(threads)
    assert set(statuses) == {401, 429}

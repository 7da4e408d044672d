"""Scheme hmac: the options for the signed text, the key, the time and the place of the signature."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from router.domain.request import Inbound
from router.domain.secrets import Secret
from router.intake.verify.hmac import Options
from router.intake.verify.hmac import compile as compile_hmac
from router.intake.verify.times import milliseconds
from router.plugins.build import Build
from router.plugins.scheme import SenderProof, Unverified, Verified, Verifier
from tests.intake.signed_requests import BODY, NOW, sign

KEYS = {"NEW": "new key", "HEX": b"new key".hex(), "BAD": "no hex"}


def _compile(options: Mapping[str, Any], secret: str = "NEW") -> tuple[Verifier, list[str]]:
    build = Build("s", Path("/"), find_secret=lambda ref, _: Secret(ref.name, KEYS[str(ref.env)]))
    given = {"secret": {"env": secret}, "header": "X-Sig", **options}
    return compile_hmac(Options.model_validate(given), build), [fault.message for fault in build.faults]


def _inbound(*headers: tuple[str, str], query: str = "", method: str = "POST") -> Inbound:
    return Inbound("s", method, "/hooks/s", query, headers, BODY, "192.0.2.1", NOW)


def test_one_of_several_signatures_must_match_and_their_number_is_limited() -> None:
    verifier, _ = _compile({"parts": {"signature": "v1"}})
    good = sign("new key", BODY).hex()

    assert isinstance(verifier.verify(_inbound(("X-Sig", f"v1=00,v1={good},v2=11")), NOW), Verified)
    assert isinstance(verifier.verify(_inbound(("X-Sig", f"v2={good}")), NOW), Unverified)
    assert isinstance(verifier.verify(_inbound(("X-Sig", ",".join([f"v1={good}"] * 21))), NOW), Unverified)


@pytest.mark.parametrize("change", [{"query": "a=2"}, {"query": ""}, {"method": "PUT"}])
def test_a_signed_url_and_method_are_covered(change: dict[str, str]) -> None:
    url = "https://hooks.example.com/hooks/s"
    verifier, faults = _compile({"signed": "{method}{url}{body}", "url": url})
    header = ("X-Sig", sign("new key", b"POST" + url.encode() + b"?a=1" + BODY).hex())

    assert not faults
    assert isinstance(verifier.verify(_inbound(header, query="a=1"), NOW), Verified)
    assert isinstance(verifier.verify(_inbound(header, **{"query": "a=1", **change}), NOW), Unverified)
    covers = verifier.signed_parts
    assert covers is not None
    assert (covers.query, covers.method) == (True, True)


def test_a_signed_header_is_covered_and_must_occur_exactly_once() -> None:
    verifier, _ = _compile({"signed": "{header:X-Id}.{body}"})
    header = ("X-Sig", sign("new key", b"7." + BODY).hex())

    assert isinstance(verifier.verify(_inbound(header, ("x-id", "7")), NOW), Verified)
    for others in ((), (("X-Id", "8"),), (("X-Id", "7"), ("X-Id", "7"))):
        assert isinstance(verifier.verify(_inbound(header, *others), NOW), Unverified)
    assert verifier.signed_parts is not None
    assert verifier.signed_parts.headers == {"x-id"}
    assert verifier.sign(_inbound(("X-Id", "7")), NOW) == SenderProof((header,))
    proof = verifier.sign(_inbound(), NOW)
    assert isinstance(proof, SenderProof)
    assert isinstance(verifier.verify(_inbound(*proof.headers), NOW), Verified)


@pytest.mark.parametrize(
    ("options", "faults"),
    [
        ({"url": "https://a.example/x"}, ["url needs {url} in signed"]),
        ({"url": "https://a.example/x?y", "signed": "{url}{body}"}, ["expected the webhook's public URL"]),
        ({"url": "https://u:p@a.example/x", "signed": "{url}{body}"}, ["leave user name and password out of url"]),
        ({"signed": "{url}{body}"}, ["{url} in signed needs url"]),
        ({"signed": "{header:a b}{body}"}, ["expected a header name of letters, digits and -"]),
        ({"signed": "{header:X_Id}{body}"}, ["no request has a header X_Id"]),
        ({"parts": {"signature": "v1", "separator": "=="}}, ["expected one of , ; | &"]),
        ({"parts": {"signature": "v=1"}}, ["expected a part name of letters"]),
        ({"parts": {"signature": "t", "time": "t"}}, ["the time and the signature are two parts"]),
        ({"parts": {"signature": "v", "time": "t"}, "timestamp_header": "X-T"}, ["not from both"]),
        ({"parts": {"signature": "v", "time": "t"}, "signed": "{body}"}, ["go together"]),
    ],
)
def test_wrong_options_are_reported(options: dict[str, Any], faults: list[str]) -> None:
    found = _compile(options)[1]

    assert len(found) == len(faults), found
    assert all(wanted in fault for wanted, fault in zip(faults, found, strict=True)), found


def test_the_error_for_a_key_in_another_format_does_not_show_it() -> None:
    verifier, faults = _compile({"key": "hex"}, "HEX")
    assert not faults
    assert isinstance(verifier.verify(_inbound(("X-Sig", sign("new key", BODY).hex())), NOW), Verified)

    for key in ("hex", "base64"):
        assert _compile({"key": key}, "BAD")[1] == [f"env BAD is not {key}; copy it as the sender shows it"]


@pytest.mark.parametrize(
    ("text", "form", "found"),
    [
        ("1700000000", "unix", NOW),
        ("1700000000000", "unix", NOW),
        ("1700000000", "unix_ms", 1_700_000_000),
        ("2023-11-14T22:13:20Z", "iso8601", NOW),
        ("2023-11-14T22:13:20.5Z", "iso8601", NOW + 500),
        ("2023-11-15T00:13:20.000000001+02:00", "iso8601", NOW),
        ("2023-11-14T22:13:20", "iso8601", None),
        ("2023-11-14 22:13:20Z", "iso8601", None),
        ("2023-13-14T22:13:20Z", "iso8601", None),
        ("2023-11-14T22:13:20+99:00", "iso8601", None),
        ("0000-01-01T00:00:00Z", "iso8601", None),
        ("-1", "unix", None),
        ("\u0661", "unix", None),
        ("9" * 5000, "unix", None),
        ("1e9", "unix", None),
    ],
)
def test_times_are_accepted_only_in_their_format(text: str, form: Any, found: int | None) -> None:
    assert milliseconds(text, form) == found

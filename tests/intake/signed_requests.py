"""Signed requests of every scheme, and all mutations of them."""

import base64
import hashlib
import hmac
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from router.intake.verify.preset import presets
from tests.intake.preset_senders import SENDERS, Sender, ec_key, ec_public, es256

NOW = 1_700_000_000_000
BODY = b'{"hello": "w\xc3\xb6rld"}'
FORM = b"CallSid=CA1234&From=%2B14158675309&Body=two+words&Media="
KEYS = ["new key", "old key"]
KEYS_FOLDER = Path(__file__).parent / "keys"  #: the public keys of these senders


def whsec(key: str) -> str:
    return "whsec_" + base64.b64encode(key.encode()).decode()


def private_key(key: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(hashlib.sha256(key.encode()).digest())


def public_key(key: str) -> bytes:
    return private_key(key).public_key().public_bytes_raw()


VALUES = {
    "NEW": "new key",
    "OLD": "old key",
    "NEW_WHSEC": whsec("new key"),
    "OLD_WHSEC": whsec("old key"),
    **{f"{key[:3].upper()}_EC": ec_public(key.encode()) for key in KEYS},
    **{f"{key[:3].upper()}_B64": base64.b64encode(key.encode()).decode() for key in KEYS},
    **{f"{key[:3].upper()}_KEYHEX": key.encode().hex() for key in KEYS},
    **{f"{key[:3].upper()}_WHPK": "whpk_" + base64.b64encode(public_key(key)).decode() for key in KEYS},
    **{f"{key[:3].upper()}_HEX": public_key(key).hex() for key in KEYS},
}


def sign(key: str, message: bytes, algorithm: Any = hashlib.sha256) -> bytes:
    return hmac.new(key.encode(), message, algorithm).digest()


def secrets(kind: str = "") -> list[dict[str, Any]]:
    return [{"env": f"NEW{kind}"}, {"env": f"OLD{kind}"}, {"env": "NONE", "optional": True}]


SECRET = secrets()
Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Case:
    """A scheme with options, and the function that signs for it."""

    scheme: str
    options: dict[str, Any]
    headers: Callable[[str], Pairs]
    body: bytes = BODY
    content_type: str = "application/json"
    query: str = ""


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def standard(prefix: str, signature: Callable[[bytes], str]) -> Pairs:
    return (
        (f"{prefix}-id", "msg_1"),
        (f"{prefix}-timestamp", "1700000000"),
        (f"{prefix}-signature", signature(b"msg_1.1700000000." + BODY)),
    )


def twilio(key: str, url: str, fields: str = "") -> Pairs:
    return (("X-Twilio-Signature", b64(sign(key, (url + fields).encode(), hashlib.sha1))),)


def _jwt_options() -> dict[str, Any]:
    issued = {"issuer": "https://issuer.example", "audience": "hooks"}
    return {**issued, "jwks": {"file": str(KEYS_FOLDER / "jwks.json")}, "claims": {"sub": "sender"}, "tolerance": "1s"}


def _token(key: str, **changed: Any) -> str:
    claims = {"iss": "https://issuer.example", "aud": ["hooks"], "sub": "sender", "exp": NOW // 1000 + 299}
    return es256(key.encode(), {**claims, "iat": NOW // 1000, **changed})


def _raw(der: bytes) -> bytes:
    r, s = utils.decode_dss_signature(der)
    return r.to_bytes(32) + s.to_bytes(32)


def preset_case(name: str, sender: Sender) -> Case:
    """The case of a preset, signed by its sender."""
    preset = presets()[name]
    given: dict[str, Any] = {**preset.example}
    kinds = {"svix": "_WHSEC", "clerk": "_WHSEC", "resend": "_WHSEC", "openai": "_WHSEC", "supabase": "_WHSEC"}
    kinds |= {"adyen-platforms": "_KEYHEX", "airtable": "_B64", "sendgrid": "_EC"}
    if name == "google-pubsub":
        given |= {"jwks": {"file": str(KEYS_FOLDER / "rsa.jwks.json")}}
    elif name == "plaid":
        given |= {"jwks": {"file": str(KEYS_FOLDER / "jwks.json")}}
    else:
        given["secret"] = secrets(kinds.get(name, ""))
    return Case(name, given, lambda key: sender(key.encode(), BODY))


URL = "https://hooks.example.com/hooks/twilio"
FIELDS = "Bodytwo wordsCallSidCA1234From+14158675309Media"
BODY_HASH = f"a=1&bodySHA256={hashlib.sha256(BODY).hexdigest()}"
CASES: dict[str, Case] = {
    "gitlab, secret token": Case("gitlab", {"secret": SECRET}, lambda key: (("X-Gitlab-Token", key),)),
    "gitlab, signing token": Case(
        "gitlab",
        {"secret": secrets("_WHSEC")},
        lambda key: standard("webhook", lambda message: "v1," + b64(sign(key, message))),
    ),
    "twilio, form": Case(
        "twilio",
        {"secret": SECRET, "url": URL},
        lambda key: twilio(key, f"{URL}?a=1&b", FIELDS),
        FORM,
        "application/x-www-form-urlencoded; charset=UTF-8",
        "a=1&b",
    ),
    "twilio, JSON": Case(
        "twilio", {"secret": SECRET, "url": URL}, lambda key: twilio(key, f"{URL}?{BODY_HASH}"), query=BODY_HASH
    ),
    "discord": Case(
        "discord",
        {"secret": secrets("_HEX")},
        lambda key: (
            ("X-Signature-Timestamp", "1700000000"),
            ("X-Signature-Ed25519", private_key(key).sign(b"1700000000" + BODY).hex()),
        ),
    ),
    "standard-webhooks v1": Case(
        "standard-webhooks",
        {"secret": secrets("_WHSEC")},
        lambda key: standard("webhook", lambda message: "v1," + b64(sign(key, message))),
    ),
    "standard-webhooks v1 of svix": Case(
        "standard-webhooks",
        {"secret": secrets("_WHSEC"), "headers": "svix"},
        lambda key: standard("svix", lambda message: "v2,AAAA v1," + b64(sign(key, message))),
    ),
    "standard-webhooks v1a": Case(
        "standard-webhooks",
        {"secret": secrets("_WHPK")},
        lambda key: standard("webhook", lambda message: "v1a," + b64(private_key(key).sign(message))),
    ),
    "hmac hex": Case("hmac", {"secret": SECRET, "header": "X-Sig"}, lambda key: (("X-Sig", sign(key, BODY).hex()),)),
    "hmac sha1 base64 with a prefix": Case(
        "hmac",
        {"secret": SECRET, "header": "X-Sig", "algorithm": "sha1", "encoding": "base64", "prefix": "s="},
        lambda key: (("X-Sig", "s=" + b64(sign(key, BODY, hashlib.sha1))),),
    ),
    "hmac sha512 with a timestamp": Case(
        "hmac",
        {"secret": SECRET, "header": "X-Sig", "algorithm": "sha512", "timestamp_header": "X-Time"},
        lambda key: (
            ("X-Time", "1700000000"),
            ("X-Sig", sign(key, b"1700000000." + BODY, hashlib.sha512).hex()),
        ),
    ),
    "hmac with parts": Case(
        "hmac",
        {
            "secret": secrets("_B64"),
            "key": "base64",
            "header": "X-Sig",
            "parts": {"separator": "; ", "time": "ts", "signature": "h1"},
            "signed": "{method}|{url}|{timestamp}:{body}",
            "url": URL,
            "encoding": "base64",
        },
        lambda key: (
            (
                "X-Sig",
                "ts=1700000000; h0=YQ==; h1=AAAA; h1="
                + b64(sign(key, b"POST|" + URL.encode() + b"?a=1|1700000000:" + BODY)),
            ),
        ),
        query="a=1",
    ),
    "hmac with an ISO 8601 time and a signed header": Case(
        "hmac",
        {
            "secret": secrets("_KEYHEX"),
            "key": "hex",
            "header": "X-Sig",
            "timestamp_header": "X-Time",
            "timestamp_format": "iso8601",
            "signed": "{header:X-Id}{timestamp}{body}",
        },
        lambda key: (
            ("X-Id", "7f1"),
            ("X-Time", "2023-11-14T22:13:20.123456789Z"),
            ("X-Sig", sign(key, b"7f12023-11-14T22:13:20.123456789Z" + BODY).hex()),
        ),
    ),
    "hmac with a time in ms": Case(
        "hmac",
        {"secret": SECRET, "header": "X-Sig", "timestamp_header": "X-Time", "timestamp_format": "unix_ms"},
        lambda key: (("X-Time", "1700000000000"), ("X-Sig", sign(key, b"1700000000000." + BODY).hex())),
    ),
    "basic": Case(
        "basic",
        {"secret": SECRET, "username": "ann"},
        lambda key: (("Authorization", "Basic " + b64(f"ann:{key}".encode())),),
    ),
    "bearer": Case("bearer", {"secret": SECRET}, lambda key: (("Authorization", f"Bearer {key}"),)),
    "token in a header": Case("token", {"secret": SECRET, "header": "X-Token"}, lambda key: (("X-Token", key),)),
    "token with a prefix": Case(
        "token",
        {"secret": SECRET, "header": "Authorization", "prefix": "Bearer "},
        lambda key: (("Authorization", f"Bearer {key}"),),
    ),
}
for _name, _sender in SENDERS.items():
    CASES[_name] = preset_case(_name, _sender)
CASES["jwt"] = Case("jwt", _jwt_options(), lambda key: (("Authorization", f"Bearer {_token(key)}"),))
CASES["ecdsa raw"] = Case(
    "ecdsa",
    {"secret": secrets("_EC"), "header": "X-Sig", "form": "raw"},
    lambda key: (("X-Sig", b64(_raw(ec_key(key.encode()).sign(BODY, ec.ECDSA(hashes.SHA256()))))),),
)
_CREDENTIALS = {"basic", "bearer", "token", "jwt"}
_PRESETS = {name for name, preset in presets().items() if preset.scheme in _CREDENTIALS} - {"netlify", "plaid"}
WITHOUT_SIGNATURE = {name for name, case in CASES.items() if case.scheme in _CREDENTIALS | _PRESETS} | {
    "gitlab, secret token"
}
ONLY_THE_PROVIDER_SIGNS = {"discord", "ecdsa", "jwt", "sns", "aws-sns", "sendgrid", "plaid", "google-pubsub"}
ONLY_THE_PROVIDER_SIGNS |= {"paypal", "paypal-certificate"}
"""Schemes whose senders have a private key."""
TOLERANCE_SECONDS = {name: 600 if name in ("twitch", "box") else 300 for name in CASES}
WITH_TIMESTAMP = [
    name
    for name, case in CASES.items()
    if any("1700000000" in value or "2023-11-14T22:13:20" in value for _, value in case.headers("new key"))
]


def mutations(headers: Pairs) -> Iterator[tuple[str, Pairs]]:
    for i, (name, value) in enumerate(headers):

        def changed(*new: tuple[str, str], i: int = i) -> Pairs:
            return headers[:i] + new + headers[i + 1 :]

        yield "missing", changed()
        yield "empty", changed((name, ""))
        yield "doubled", changed((name, value), (name, value))
        yield "doubled with an empty one", changed((name, ""), (name, value))
        yield "joined", changed((name, f"{value}, {value}"))
        yield "truncated", changed((name, value[:-1]))
        yield "halved", changed((name, value[: len(value) // 2]))
        yield "beheaded", changed((name, value[1:]))
        yield "longer", changed((name, value + "0"))
        yield "padded", changed((name, value + "="))
        yield "blank before", changed((name, " " + value))
        yield "blank after", changed((name, value + " "))
        yield "line after", changed((name, value + "\n"))
        yield "blank within", changed((name, value[:-4] + " " + value[-4:]))
        yield "not ASCII", changed((name, value + "é"))
        yield "not ASCII digits", changed((name, value.replace("1", "\u0661")))
        yield "not Latin", changed((name, "\udcff" + value))
        yield "control", changed((name, value + "\x00"))
        yield "another prefix", changed((name, "sha1=" + value.partition("=")[2]))
        yield "no prefix", changed((name, value.rpartition("=")[2] or "="))
        yield "renamed", changed((name + "x", value))
        yield "garbage", changed((name, "zz" * 40))
        yield "not base64", changed((name, "v1,!" + value[4:]))
        yield "commas", changed((name, "," * 200))
        yield "equals", changed((name, "t=" * 200))
        yield "huge", changed((name, "a" * 100_000))
        yield "huge number", changed((name, "9" * 5000))
        yield "flipped", changed((name, value[:-1] + chr(ord(value[-1]) ^ 1)))
        yield "upper case", changed((name, value.upper()))
        yield "swapped case", changed((name, value.swapcase()))

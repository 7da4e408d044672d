"""Senders of presets, written from the documentation of the providers, without code of the router.

They make the vectors of presets.yaml with `origin: made`, and the requests of the mutation tests.
"""

import base64
import hashlib
import json
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa

BODY = b'{"hello": "w\xc3\xb6rld"}'
SECONDS = 1_700_000_000  #: 2023-11-14T22:13:20Z
ISO = "2023-11-14T22:13:20Z"
UUID = "0b6c2e6e-7d6f-4c1b-9a55-3a8f1d1f0c11"
HOOKS = "https://hooks.example.com/hooks/"
Pairs = tuple[tuple[str, str], ...]
Sender = Callable[[bytes, bytes], Pairs]  #: makes the headers from the key and the body


def mac(key: bytes, message: bytes, name: str = "sha256") -> bytes:
    """HMAC by its definition (RFC 2104), since the router uses the standard library."""
    size = hashlib.new(name).block_size
    key = (hashlib.new(name, key).digest() if len(key) > size else key).ljust(size, b"\0")
    inner = hashlib.new(name, bytes(byte ^ 0x36 for byte in key) + message).digest()
    return hashlib.new(name, bytes(byte ^ 0x5C for byte in key) + inner).digest()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def hex_in(header: str, prefix: str = "", name: str = "sha256") -> Sender:
    return lambda key, body: ((header, prefix + mac(key, body, name).hex()),)


def base64_in(header: str, prefix: str = "") -> Sender:
    return lambda key, body: ((header, prefix + b64(mac(key, body))),)


def token_in(header: str, prefix: str = "") -> Sender:
    return lambda key, _: ((header, prefix + key.decode()),)


def timed(header: str, form: str, between: bytes = b".") -> Sender:
    """A sender whose header has the form `form`, with {t} for the time and {s} for the signature."""

    def send(key: bytes, body: bytes) -> Pairs:
        signature = mac(key, str(SECONDS).encode() + between + body).hex()
        return ((header, form.format(t=SECONDS, s=signature)),)

    return send


def standard(prefix: str) -> Sender:
    def send(key: bytes, body: bytes) -> Pairs:
        signature = b64(mac(key, f"msg_1.{SECONDS}.".encode() + body))
        values = {"id": "msg_1", "timestamp": str(SECONDS), "signature": f"v1,{signature}"}
        return tuple((f"{prefix}-{name}", value) for name, value in values.items())

    return send


def slack(key: bytes, body: bytes) -> Pairs:
    signature = "v0=" + mac(key, f"v0:{SECONDS}:".encode() + body).hex()
    return (("X-Slack-Request-Timestamp", str(SECONDS)), ("X-Slack-Signature", signature))


def zoom(key: bytes, body: bytes) -> Pairs:
    signature = "v0=" + mac(key, f"v0:{SECONDS}:".encode() + body).hex()
    return (("x-zm-request-timestamp", str(SECONDS)), ("x-zm-signature", signature))


def zendesk(key: bytes, body: bytes) -> Pairs:
    name = "X-Zendesk-Webhook-Signature"
    return ((f"{name}-Timestamp", ISO), (name, b64(mac(key, ISO.encode() + body))))


def hubspot(key: bytes, body: bytes) -> Pairs:
    now = f"{SECONDS}000"
    message = b"POST" + HOOKS.encode() + b"hubspot" + body + now.encode()
    return (("X-HubSpot-Request-Timestamp", now), ("X-HubSpot-Signature-v3", b64(mac(key, message))))


def twitch(key: bytes, body: bytes) -> Pairs:
    now = "2023-11-14T22:13:20.123456789Z"
    signature = "sha256=" + mac(key, UUID.encode() + now.encode() + body).hex()
    name = "Twitch-Eventsub-Message"
    return ((f"{name}-Id", UUID), (f"{name}-Timestamp", now), (f"{name}-Signature", signature))


def box(key: bytes, body: bytes) -> Pairs:
    now = "2023-11-14T14:13:20-08:00"
    return (("BOX-DELIVERY-TIMESTAMP", now), ("BOX-SIGNATURE-PRIMARY", b64(mac(key, body + now.encode()))))


def trello(key: bytes, body: bytes) -> Pairs:
    return (("X-Trello-Webhook", b64(mac(key, body + HOOKS.encode() + b"trello", "sha1"))),)


def square(key: bytes, body: bytes) -> Pairs:
    return (("x-square-hmacsha256-signature", b64(mac(key, HOOKS.encode() + b"square" + body))),)


def basic(key: bytes, _: bytes) -> Pairs:
    return (("Authorization", "Basic " + b64(b"hooks:" + key)),)


def netlify(key: bytes, body: bytes) -> Pairs:
    """A JWS by its definition (RFC 7515)."""

    def part(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    claims = {"iss": "netlify", "sha256": hashlib.sha256(body).hexdigest()}
    text = f"{part(json.dumps({'alg': 'HS256', 'typ': 'JWT'}).encode())}.{part(json.dumps(claims).encode())}"
    return (("X-Webhook-Signature", f"{text}.{part(mac(key, text.encode()))}"),)


@cache
def ec_key(seed: bytes) -> ec.EllipticCurvePrivateKey:
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(seed).digest()), ec.SECP256R1())


@cache
def rsa_key(seed: bytes) -> rsa.RSAPrivateKey:
    """A key of 2,048 bits that is the same in each run, made of two of the largest primes below 2**1024."""
    one, two = {b"new key": (105, 179), b"old key": (105, 1397)}.get(seed, (179, 1397))
    p, q, e = 2**1024 - one, 2**1024 - two, 65537
    d = pow(e, -1, (p - 1) * (q - 1))
    numbers = rsa.RSAPrivateNumbers(p, q, d, d % (p - 1), d % (q - 1), pow(q, -1, p), rsa.RSAPublicNumbers(e, p * q))
    return numbers.private_key(unsafe_skip_rsa_key_validation=True)  # the check takes longer than all signatures


def ec_public(seed: bytes) -> str:
    public = ec_key(seed).public_key()
    return b64(public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo))


def jwks(*seeds: bytes) -> str:
    """The public halves of the elliptic keys, by the names of their seeds."""
    keys = [
        {
            **json.loads(jwt.algorithms.ECAlgorithm.to_jwk(ec_key(seed).public_key())),
            "kid": seed.decode(),
            "alg": "ES256",
        }
        for seed in seeds
    ]
    return json.dumps({"keys": keys})


def es256(key: bytes, claims: dict[str, Any]) -> str:
    return jwt.encode(claims, ec_key(key), algorithm="ES256", headers={"kid": key.decode()})


def plaid(key: bytes, body: bytes) -> Pairs:
    claims = {"iat": SECONDS, "request_body_sha256": hashlib.sha256(body).hexdigest()}
    return (("Plaid-Verification", es256(key, claims)),)


PUBSUB = {"audience": HOOKS + "google-pubsub", "claims": {"email": "push@project.iam.gserviceaccount.com"}}


def rs256(key: bytes, **changed: Any) -> str:
    claims = {"iss": "https://accounts.google.com", "aud": PUBSUB["audience"], "iat": SECONDS, "exp": SECONDS + 3600}
    claims |= {"email": "push@project.iam.gserviceaccount.com", "email_verified": True, **changed}
    return jwt.encode(claims, rsa_key(key), algorithm="RS256", headers={"kid": key.decode()})


def rsa_jwks(*seeds: bytes) -> str:
    keys = [
        {**json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(rsa_key(seed).public_key())), "kid": seed.decode()}
        for seed in seeds
    ]
    return json.dumps({"keys": keys})


def google_pubsub(key: bytes, _: bytes) -> Pairs:
    return (("Authorization", f"Bearer {rs256(key)}"),)


def sendgrid(key: bytes, body: bytes) -> Pairs:
    name = "X-Twilio-Email-Event-Webhook"
    signature = ec_key(key).sign(str(SECONDS).encode() + body, ec.ECDSA(hashes.SHA256()))
    return ((f"{name}-Timestamp", str(SECONDS)), (f"{name}-Signature", b64(signature)))


#: Presets whose vectors are made here. ECDSA signatures differ each time, so those vectors are kept.
SENDERS: dict[str, Sender] = {
    "github": hex_in("X-Hub-Signature-256", "sha256="),
    "stripe": timed("Stripe-Signature", "t={t},v0=00,v1={s}"),
    "slack": slack,
    "shopify": base64_in("X-Shopify-Hmac-SHA256"),
    **{name: standard("svix") for name in ("svix", "clerk", "resend")},
    **{name: standard("webhook") for name in ("openai", "supabase")},
    "bitbucket": hex_in("X-Hub-Signature", "sha256="),
    "bitbucket-server": hex_in("X-Hub-Signature", "sha256="),
    "gitea": hex_in("X-Gitea-Signature"),
    "forgejo": hex_in("X-Forgejo-Signature"),
    "azure-devops": basic,
    "circleci": hex_in("circleci-signature", "v1="),
    "buildkite": timed("X-Buildkite-Signature", "timestamp={t},signature={s}"),
    "harbor": token_in("Authorization"),
    "vercel": hex_in("x-vercel-signature", name="sha1"),
    "netlify": netlify,
    "sentry": hex_in("Sentry-Hook-Signature"),
    "pagerduty": hex_in("X-PagerDuty-Signature", "v1="),
    "grafana": hex_in("X-Grafana-Alerting-Signature"),
    "alertmanager": token_in("Authorization", "Bearer "),
    "jira": hex_in("X-Hub-Signature", "sha256="),
    "linear": hex_in("Linear-Signature"),
    "asana": hex_in("X-Hook-Signature"),
    "trello": trello,
    "notion": hex_in("X-Notion-Signature", "sha256="),
    "clickup": hex_in("X-Signature"),
    "zendesk": zendesk,
    "intercom": hex_in("X-Hub-Signature", "sha1=", "sha1"),
    "hubspot": hubspot,
    "typeform": base64_in("Typeform-Signature", "sha256="),
    "calendly": timed("Calendly-Webhook-Signature", "t={t},v1={s}"),
    "zoom": zoom,
    "webex": hex_in("X-Spark-Signature", name="sha1"),
    "telegram": token_in("X-Telegram-Bot-Api-Secret-Token"),
    "meta": hex_in("X-Hub-Signature-256", "sha256="),
    "whatsapp": hex_in("X-Hub-Signature-256", "sha256="),
    "twitch": twitch,
    "square": square,
    "paddle": timed("Paddle-Signature", "ts={t};h1={s}", b":"),
    "lemon-squeezy": hex_in("X-Signature"),
    "razorpay": hex_in("X-Razorpay-Signature"),
    "adyen-platforms": base64_in("HmacSignature"),
    "plaid": plaid,
    "google-pubsub": google_pubsub,
    "sendgrid": sendgrid,
    "mux": timed("Mux-Signature", "t={t},v1={s}"),
    "woocommerce": base64_in("X-WC-Webhook-Signature"),
    "dropbox": hex_in("X-Dropbox-Signature"),
    "box": box,
    "docusign": base64_in("X-DocuSign-Signature-1"),
    "xero": base64_in("x-xero-signature"),
    "cloudflare": token_in("cf-webhook-auth"),
    "heroku": base64_in("Heroku-Webhook-Hmac-SHA256"),
    "airtable": hex_in("X-Airtable-Content-MAC", "hmac-sha256="),
    "launchdarkly": hex_in("X-LD-Signature"),
    "terraform": hex_in("X-TFE-Notification-Signature", name="sha512"),
    "line": base64_in("x-line-signature"),
    "coinbase-commerce": hex_in("X-CC-Webhook-Signature"),
    "okta": token_in("Authorization"),
    "nylas": hex_in("X-Nylas-Signature"),
    "salesforce": base64_in("x-sfmc-ens-signature"),
    "opsgenie": token_in("Authorization", "Bearer "),
}


#: The written form of a preset's secret, if it is not the key itself.
def written_key(name: str, key: bytes) -> str:
    if name in ("svix", "clerk", "resend", "openai", "supabase"):
        return "whsec_" + b64(key)
    if name == "adyen-platforms":
        return key.hex()
    if name == "airtable":
        return b64(key)
    return ec_public(key) if name == "sendgrid" else key.decode()


def certificate(key: bytes) -> bytes:
    """A self-signed certificate of the RSA key."""
    from datetime import UTC, datetime

    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "sns.amazonaws.com")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(rsa_key(key).public_key())
    made = made.serial_number(1).not_valid_before(datetime(2023, 1, 1, tzinfo=UTC))
    signed = made.not_valid_after(datetime(2123, 1, 1, tzinfo=UTC)).sign(rsa_key(key), hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.PEM)


def paypal(key: bytes, body: bytes, **changed: str) -> Pairs:
    """The headers of a PayPal event, signed as documented. The documentation's CRC-32 is that of zlib."""
    sent = {"id": "69cd13f0-d67a-11e5-baa3-778b53f4ae55", "time": ISO, "webhook": WEBHOOK_ID, **changed}
    message = f"{sent['id']}|{sent['time']}|{sent['webhook']}|{zlib.crc32(body)}".encode()
    signature = rsa_key(key).sign(message, padding.PKCS1v15(), hashes.SHA256())
    return (
        ("Paypal-Transmission-Id", sent["id"]),
        ("Paypal-Transmission-Time", sent["time"]),
        ("Paypal-Transmission-Sig", b64(signature)),
        ("Paypal-Cert-Url", PAYPAL_CERTIFICATE),
        ("Paypal-Auth-Algo", "SHA256withRSA"),
    )


WEBHOOK_ID = "8PT597110X687430LKGECATA"
PAYPAL_CERTIFICATE = "https://api.paypal.com/v1/notifications/certs/CERT-360caa42-fca2a594-1d93a270"
TOPIC = "arn:aws:sns:eu-central-1:123456789012:topic"
CERTIFICATE = "https://sns.eu-central-1.amazonaws.com/SimpleNotificationService-0123abcd.pem"


def sns(key: bytes, version: str = "2", **changed: str) -> bytes:
    """The body of an SNS message, signed as documented: sorted names and values, one a line."""
    message = {
        "Type": "Notification",
        "MessageId": UUID,
        "TopicArn": TOPIC,
        "Message": '{"a": "w\u00f6rld"}',
        "Timestamp": "2023-11-14T22:13:20.000Z",
        **changed,
    }
    text = "".join(f"{name}\n{message[name]}\n" for name in sorted(message)).encode()
    hashed = hashes.SHA1() if version == "1" else hashes.SHA256()
    signature = rsa_key(key).sign(text, padding.PKCS1v15(), hashed)
    sent = {**message, "SignatureVersion": version, "Signature": b64(signature), "SigningCertURL": CERTIFICATE}
    return json.dumps(sent).encode()

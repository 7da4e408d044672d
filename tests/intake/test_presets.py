"""Each preset verifies its vector, documents its gaps, and can't be weakened by the rules file."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.request import Inbound
from router.domain.secrets import Secret
from router.intake.verify.certificates import Certificates
from router.intake.verify.fetched import Fetched
from router.intake.verify.jwks import read_jwks
from router.intake.verify.jwt import Jwt
from router.intake.verify.message import signed_words
from router.intake.verify.paypal import PayPal
from router.intake.verify.preset import Preset, PresetScheme, presets
from router.intake.verify.sns import Sns
from router.plugins.build import Build
from router.plugins.scheme import KeysAwaited, Unverified, Verified, Verifier
from router.rules.compile.loader import Loader
from tests.cases import each
from tests.intake.preset_senders import BODY, SENDERS, certificate, paypal, sns, written_key

ALL = presets()
VERIFYING = {name: preset for name, preset in ALL.items() if preset.scheme is not None}
OTHERS = {name: preset for name, preset in ALL.items() if preset.scheme is None}
WANTED = """bitbucket bitbucket-server gitea forgejo azure-devops circleci buildkite docker-hub harbor quay vercel netlify
sentry pagerduty grafana alertmanager datadog jira linear asana trello notion clickup zendesk intercom hubspot typeform
calendly zoom webex mattermost telegram whatsapp meta twitch strava square paddle lemon-squeezy razorpay adyen plaid mailgun
sendgrid sendgrid-inbound postmark mux svix clerk resend openai supabase woocommerce dropbox box microsoft-graph
azure-event-grid cloudevents aws-sns jenkins opsgenie paypal salesforce google-pubsub plex docusign xero""".split()


def _verifier(preset: Preset, **more: Any) -> Verifier:
    vector = preset.vector or {}
    given = {**preset.example, **more}
    if "public_key" in vector:
        given["public_key"] = vector["public_key"]
    elif "secret" in vector:
        given["secret"] = {"env": "S"}
    scheme = REGISTRIES.schemes[preset.name]
    if "jwks" in vector:
        given["jwks"] = {"url": "http://127.0.0.1/"}
    build = Build("s", Path("/"), find_secret=lambda ref, _: Secret(ref.name, vector["secret"]))
    made = scheme.compile(scheme.Options.model_validate(given), build)
    assert not build.faults, build.faults
    if isinstance(made, Jwt) and "jwks" in vector:
        return Jwt(made.options, made.prefix, made.algorithms, keys=read_jwks(vector["jwks"].encode()))
    if isinstance(made, Sns):
        certificates = Certificates(lambda _: vector["certificate"].encode())
        return Sns(made.topics, made.confirm, certificates=certificates)
    if isinstance(made, PayPal):
        return replace(made, certificates=Certificates(lambda _: vector["certificate"].encode()))
    return made


def _inbound(preset: Preset) -> Inbound:
    vector = preset.vector or {}
    headers = (*vector["headers"].items(), ("Content-Type", vector.get("content_type", "application/json")))
    now = vector["time"] * 1000
    return Inbound(preset.name, "POST", f"/hooks/{preset.name}", "", headers, vector["body"].encode(), "", now)


def test_every_known_provider_has_a_preset() -> None:
    assert len(ALL) >= 40
    assert set(WANTED) <= set(ALL)


@each("name", VERIFYING)
def test_a_preset_verifies_its_vector_and_no_other_body(name: str) -> None:
    preset = VERIFYING[name]
    verifier, inbound = _verifier(preset), _inbound(preset)

    found = verifier.verify(inbound, inbound.received_at)
    if isinstance(found, KeysAwaited):
        found.fetched.result(60)
        found = verifier.verify(inbound, inbound.received_at)
    assert isinstance(found, Verified)
    assert verifier.verifies
    if verifier.signed_parts is not None and name != "aws-sns":  # SNS signs values; test_sns.py changes each of them
        changed = replace(inbound, body=inbound.body + b" ")
        assert isinstance(verifier.verify(changed, inbound.received_at), Unverified)


@each("name", VERIFYING)
def test_the_vector_of_a_preset_comes_from_the_named_origin(name: str) -> None:
    """Vectors with `origin: made` are made again, by senders that share no code with the router."""
    vector = VERIFYING[name].vector
    assert vector is not None
    assert vector["origin"] in ("published", "made")
    if vector["origin"] == "published":
        return
    if name == "aws-sns":
        assert vector["body"].encode() == sns(b"new key")
        assert vector["certificate"].encode() == certificate(b"new key")
        return
    assert vector["body"].encode() == BODY
    if name == "paypal":
        assert vector["headers"] == dict(paypal(b"new key", BODY))
        assert vector["certificate"].encode() == certificate(b"new key")
        return
    if name in ("plaid", "sendgrid"):  # an ECDSA signature differs each time
        return
    assert vector["headers"] == dict(SENDERS[name](b"new key", BODY))
    assert "jwks" in vector or vector["secret"] == written_key(name, b"new key")


@each("name", ALL)
def test_a_preset_says_where_it_comes_from_and_what_it_leaves_open(name: str) -> None:
    preset = ALL[name]

    assert preset.page.startswith("https://")
    assert preset.date
    assert preset.title and preset.setup and preset.uncovered and preset.ask
    if preset.scheme is None:
        assert preset.example_verify
        assert "everything" in preset.uncovered
        assert preset.vector is None
    elif "signed" in REGISTRIES.schemes[name].Options.model_fields:
        timed = "timestamp_header" in preset.options or "time" in preset.options.get("parts", {})
        assert timed == ("{timestamp}" in preset.options.get("signed", "{body}"))


# One of two mistakes that must stay impossible. The other one is in test_probes.py.


@each("name", VERIFYING)
def test_a_preset_without_verification_says_so(name: str) -> None:
    preset = VERIFYING[name]
    verifier = _verifier(preset)
    inbound = _inbound(preset)
    empty = Inbound(name, "POST", inbound.path, "", (), inbound.body, "", inbound.received_at)

    assert preset.scheme != "none"
    assert verifier.verifies
    assert not isinstance(verifier.verify(empty, inbound.received_at), Verified) or name == "aws-sns"
    bare = Inbound(name, "POST", inbound.path, "", (), b"{}", "", inbound.received_at)
    assert isinstance(verifier.verify(bare, inbound.received_at), Unverified)


@pytest.mark.parametrize("name", OTHERS)
def test_a_preset_that_can_not_verify_needs_a_verify_beside_it(name: str, tmp_path: Path) -> None:
    def load(source: dict[str, Any]) -> list[str]:
        text = json.dumps({"sources": {"s": source}, "rules": [{"name": "r", "actions": [{"append": "a.jsonl"}]}]})
        return [str(problem) for problem in Loader(REGISTRIES, {"S": "secret!!"}).load(text, "r.yaml", tmp_path).errors]

    assert any("missing verify" in problem for problem in load({"preset": name}))
    assert any(f"write preset: {name} beside a verify" in problem for problem in load({"verify": {"scheme": name}}))
    assert not load({"preset": name, "verify": {"scheme": "token", "query": "key", "secret": {"env": "S"}}})
    assert not load({"preset": name, "verify": "none"})
    assert name not in REGISTRIES.schemes


@each("name", VERIFYING)
def test_keys_of_the_file_override_a_preset_but_cannot_weaken_its_signature(name: str) -> None:
    preset = VERIFYING[name]
    scheme = REGISTRIES.schemes[name]
    assert isinstance(scheme, PresetScheme)
    known = scheme.Options.model_fields
    vector = preset.vector or {}

    def faults(**own: Any) -> list[str]:
        given = {**preset.example, **own}
        if "jwks" in preset.example:
            given["jwks"] = {"url": "https://keys.example.com/"}
        if known.get("secret") and ("secret" in vector or known["secret"].is_required()):
            given["secret"] = {"env": "S"}
        elif "public_key" in vector:
            given["public_key"] = vector["public_key"]
        build = Build("s", Path("/"), find_secret=lambda ref, _: Secret(ref.name, vector["secret"]))
        scheme.compile(scheme.Options.model_validate(given), build)
        return [fault.message for fault in build.faults]

    if "header" in preset.options:
        assert not [fault for fault in faults(header="X-Other") if "prefix" not in fault]
    if "signed" in known:
        words = signed_words(preset.options.get("signed", "{body}"))
        for word in words:
            less = "".join(sorted(words - {word})) or "x"
            assert any("can't be weakened" in fault for fault in faults(signed=less)), less
    if preset.options.get("algorithm") in ("sha256", "sha512") or (
        "algorithm" in known and "algorithm" not in preset.options
    ):
        assert any("a weaker hash can't be chosen" in fault for fault in faults(algorithm="sha1"))
    for key in ("body_hash", "timestamp_header", "parts"):
        if preset.options.get(key) is not None:
            assert any(f"{name} needs {key}" in fault for fault in faults(**{key: None}))


def test_messages_name_the_preset(tmp_path: Path) -> None:
    def load(text: str) -> Any:
        return Loader(REGISTRIES, {}, require_secrets=False).load(text, "r.yaml", tmp_path)

    rules = "rules: [{name: r, actions: [append: a.jsonl]}]\n"

    assert 'did you mean "linear"' in str(
        load("sources: {a: {verify: {scheme: liner, secret: {env: S}}}}\n" + rules).errors[0]
    )
    assert "linear needs settings: {scheme: linear, secret: {env: NAME}}" in str(
        load("sources: {a: {verify: linear}}\n" + rules).errors[0]
    )
    found = load("sources: {a: {verify: none, preset: linear}}\n" + rules).errors
    assert '"linear" is a scheme, not a preset' in str(found[0])
    assert 'did you mean "docker-hub"' in str(
        load("sources: {a: {verify: none, preset: dockerhub}}\n" + rules).errors[0]
    )


def test_public_keys_are_fetched_when_a_request_needs_them() -> None:
    verifier = REGISTRIES.schemes["google-pubsub"]
    options = verifier.Options.model_validate(ALL["google-pubsub"].example)

    made = verifier.compile(options, Build("s", Path("/")))

    assert isinstance(made, Jwt)
    assert isinstance(made.keys, Fetched)
    assert made.options.claims["email"]

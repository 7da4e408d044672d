"""Compiles the probes of a source and answers them."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.domain.headers import HEADER_NAME
from router.domain.reply import Reply
from router.domain.request import Inbound
from router.intake.probe.answers import (
    SIGNED_VALUE,
    Answer,
    ConstantAnswer,
    ValueAnswer,
    constant_reply,
)
from router.intake.probe.options import AnswerOptions, ProbeOptions, WhenOptions
from router.intake.probe.probed_request import ProbedRequest, Read, field_of
from router.intake.verify.signed_header import HmacHeader
from router.plugins.build import Build
from router.plugins.handshake import Handshake
from router.plugins.scheme import Unverified, Verifier

_FIELDS = "expected a field: headers.NAME, query.NAME, form.NAME or a path such as $.challenge"
_OWNED_HEADERS = frozenset({"content-length", "transfer-encoding", "connection", "content-type", "date", "set-cookie"})


@dataclass(frozen=True, slots=True)
class Probe:
    """A request with which the provider tests the address."""

    method: str | None
    constants: tuple[tuple[Read, Any], ...]
    answer: Answer
    unsigned: bool

    def reply_to(self, request: ProbedRequest) -> Reply | Unverified | None:
        """The reply; None if the request is not this probe."""
        if self.method is not None and request.inbound.method != self.method:
            return None
        if not all(_is(read(request), wanted) for read, wanted in self.constants):
            return None
        return self.answer.to(request)


@dataclass(frozen=True, slots=True)
class Probes:
    """The probes of a source."""

    unsigned: tuple[Probe, ...]
    signed: tuple[Probe, ...]

    @property
    def methods(self) -> tuple[str, ...]:
        """See Handshake.methods."""
        return tuple(probe.method for probe in self.unsigned if probe.method is not None)

    def before_verification(self, inbound: Inbound) -> Reply | Unverified | None:
        """See Handshake.before_verification."""
        return _first(self.unsigned, ProbedRequest(inbound)) if self.unsigned else None

    def after_verification(self, inbound: Inbound, payload: Any) -> Reply | Unverified | None:
        """See Handshake.after_verification."""
        return _first(self.signed, ProbedRequest(inbound, payload)) if self.signed else None


def compile_probes(
    options: Sequence[ProbeOptions], methods: Sequence[str], verifier: Verifier | None, build: Build
) -> Handshake:
    """The probes of a source with these methods and this verifier; faults go to the build."""
    probes = [_probe(one, methods, verifier, build, i) for i, one in enumerate(options)]
    return Probes(
        tuple(probe for probe in probes if probe and probe.unsigned),
        tuple(probe for probe in probes if probe and not probe.unsigned),
    )


def _probe(
    options: ProbeOptions, methods: Sequence[str], verifier: Verifier | None, build: Build, place: int
) -> Probe | None:
    constants = _constants(options.when, build, place)
    answer = _answer(options, verifier, build, place)
    if options.when.method is not None and not options.unsigned and options.when.method not in methods:
        build.fault("a signed probe comes by one of the source's methods; list it there", place, "when", "method")
    if isinstance(answer, ConstantAnswer) and not constants and options.when.method in (None, *methods):
        build.fault("this is every request; name what distinguishes the probe from an event", place, "when")
    return None if answer is None else Probe(options.when.method, tuple(constants), answer, options.unsigned)


def _constants(options: WhenOptions, build: Build, place: int) -> list[tuple[Read, Any]]:
    found: list[tuple[Read, Any]] = []
    kinds: Mapping[str, tuple[str, Mapping[str, Any]]] = {
        "header": ("headers.", options.header),
        "query": ("query.", options.query),
        "form": ("form.", options.form),
        "json": ("", options.json_),
    }
    for kind, (prefix, wanted) in kinds.items():
        for name, value in wanted.items():
            read = field_of(prefix + name)
            if read is None or (kind == "json" and not name.startswith("$")):
                build.fault("expected a path such as $.type", place, "when", kind)
            else:
                found.append((read, value))
    return found


def _answer(options: ProbeOptions, verifier: Verifier | None, build: Build, place: int) -> Answer | None:
    answer = options.answer
    given = [name for name in ("constant", "echo", "hmac") if getattr(answer, name) is not None]
    if len(given) != 1:
        build.fault("expected one of constant, echo and hmac", place, "answer")
        return None
    _check_form(answer, build, place)
    if answer.constant is not None:
        return ConstantAnswer(constant_reply(answer.constant))
    text = str(answer.echo or answer.hmac)
    read = field_of(text)
    if read is None:
        build.fault(_FIELDS, place, "answer", given[0])
        return None
    key = _key(options, verifier, build, place) if answer.hmac is not None else None
    return ValueAnswer(text, read, key, answer.hmac is not None, answer.json_, answer.header)


def _check_form(answer: AnswerOptions, build: Build, place: int) -> None:
    words = ("value", "hmac") if answer.hmac is not None else ("value",)
    for key, word in (answer.json_ or {}).items():
        if word not in words:
            build.fault(f"expected {' or '.join(words)} below {key[:40]}", place, "answer", "json")
    if answer.json_ is not None and answer.header is not None:
        build.fault("the answer is JSON or a header, not both", place, "answer", "header")
    if answer.constant is not None and (answer.json_ is not None or answer.header is not None):
        build.fault("json and header need echo or hmac; a constant has its own", place, "answer")
    headers = {**(answer.constant.headers if answer.constant else {}), **({answer.header: ""} if answer.header else {})}
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or name.lower() in _OWNED_HEADERS or not re.fullmatch(r"[ -~]*", value):
            build.fault(f"{name[:40]} is not a header that an answer may set", place, "answer")


def _key(options: ProbeOptions, verifier: Verifier | None, build: Build, place: int) -> bytes | None:
    """The key of an `hmac` answer. An unsigned probe must never get a signature that the source would accept."""
    if not isinstance(verifier, HmacHeader):
        if verifier is not None:
            build.fault("an hmac answer needs a source whose sender signs by hmac", place, "answer", "hmac")
        return None
    constants = verifier.signed.message.constants.decode("utf-8", "replace")
    if options.unsigned and all(SIGNED_VALUE.fullmatch(char) for char in constants):
        build.fault(
            "with this answer anybody could get a request signed: the probe may be unsigned only if `signed` has "
            "constant text with a character other than letters, digits and + / = _ -",
            place, "unsigned",
        )  # fmt: skip
    return verifier.keys[0] if verifier.keys else None


def _is(value: Any, wanted: Any) -> bool:
    return type(value) is type(wanted) and bool(value == wanted)


def _first(probes: Sequence[Probe], request: ProbedRequest) -> Reply | Unverified | None:
    for probe in probes:
        answer = probe.reply_to(request)
        if answer is not None:
            return answer
    return None

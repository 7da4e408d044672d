"""Turns the comparisons of a trigger rule that verify the sender into `verify` and `allow_ips` of a source.

Only a comparison that every request must pass is taken: one that stands alone, or in the outermost `and`.
"""

import base64
import binascii
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from router.cli.importers.adnanh.go_template import source_of
from router.cli.importers.adnanh.hooks import And, Hook, Match, Or, Place, TriggerRule
from router.cli.importers.adnanh.notes import CantCarry, Notes
from router.cli.importers.adnanh.trigger import SIGNATURES, networks

_TOKEN_NAME = re.compile(r"token|secret|key|passw|pwd|auth|signature", re.IGNORECASE)
_CANONICAL = re.compile(r"(?:[A-Z0-9][a-z0-9!#$%&'*+.^`|~]*-)*[A-Z0-9][a-z0-9!#$%&'*+.^`|~]*")
_PREFIXED = ("x-hub-signature", "x-hub-signature-256")  #: GitHub's and its followers': sha256=…


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """A secret of the hooks file, and the environment variable for it."""

    variable: str
    value: str
    place: Place


@dataclass(slots=True)
class Admission:
    """How a source verifies, and the rest of the trigger rule, which becomes conditions."""

    verify: Any = "none"
    allow_ips: list[str] = field(default_factory=list)
    rest: tuple[TriggerRule, ...] = ()
    secrets: list[NamedSecret] = field(default_factory=list)
    comments: list[str] = field(default_factory=list)
    hidden: tuple[str, str] | None = None  #: source and name of the parameter that verification removes


@dataclass(slots=True)
class Admitting:
    """Takes the verification out of the trigger rule of one hook."""

    hook: Hook
    notes: Notes

    def admission(self) -> Admission:
        """The admission of the hook. Raises CantCarry."""
        parts = _conjuncts(self.hook.rule)
        found = Admission()
        for find in (self._signature, self._scalr, self._token):
            chosen = next((part for part in parts if find(part, found)), None)
            if chosen is not None:
                parts.remove(chosen)
                break
        addresses = [part for part in parts if isinstance(part, Match) and part.kind == "ip-whitelist"]
        if len(addresses) == 1:
            found.allow_ips = networks(addresses[0], self.notes)
            parts.remove(addresses[0])
        found.rest = tuple(parts)
        return found

    def strictest(self) -> Admission:
        """The first signature of the hook, for a disabled source, so that enabling it does not open it to everybody."""
        for match in self.hook.matches:
            found = Admission()
            if _is_signature(match) and _header(match) is not None and match.secret:
                found.verify = self._hmac(match, [match], found)
                return found
        return Admission()

    def _signature(self, rule: TriggerRule, found: Admission) -> bool:
        if isinstance(rule, Or):
            return self._signatures(rule, found)
        if not _is_signature(rule):
            return False
        found.verify = self._hmac(rule, [rule], found)
        return True

    def _signatures(self, rule: Or, found: Admission) -> bool:
        """Any of several signatures: all secrets of one header, or else the strongest hash."""
        signatures = [part for part in rule.rules if _is_signature(part)]
        if not signatures or len(signatures) != len(rule.rules):
            return False
        best = max(signatures, key=lambda part: int(part.kind.rpartition("sha")[2]))
        same = [part for part in signatures if (part.kind, part.parameter) == (best.kind, best.parameter)]
        alike = [part for part in signatures if part.kind == best.kind and _header(part) == _header(best)]
        if not self.hook.soft_signatures and len(alike) > 1:
            found.comments.append(
                self.notes.add(
                    alike[1].place,
                    "webhook fails at the first wrong signature and never tries the next secret; "
                    "so here too, only the first secret counts",
                )
            )
            alike = alike[:1]
        if len(alike) < len(signatures) and len(same) < len(signatures):
            found.comments.append(
                self.notes.add(
                    rule.place,
                    f"webhook takes any of these signatures; here every request needs the one of {_header(best)}",
                )
            )
        found.verify = self._hmac(best, alike or [best], found)
        return True

    def _hmac(self, match: Match, secrets: Sequence[Match], found: Admission) -> dict[str, Any]:
        header, algorithm = _header(match), f"sha{match.kind.rpartition('sha')[2]}"
        parameter = match.parameter
        if header is None or parameter is None:
            raise CantCarry(match.place, "the signature does not come in a header")
        verify: dict[str, Any] = {"scheme": "hmac", "header": header, "algorithm": algorithm}
        if algorithm == "sha256":
            del verify["algorithm"]
        if header.lower() in _PREFIXED:
            verify["parts"] = {"separator": ",", "signature": algorithm}
        else:
            found.comments.append(
                self.notes.add(
                    match.place,
                    f"webhook takes the signature with or without {algorithm}= before it; here it is without. If the "
                    f'sender writes it, add prefix: "{algorithm}=" to verify',
                )
            )
        signed = [name for name in parameter.signed_headers if _CANONICAL.fullmatch(name)]
        if signed:
            verify["signed"] = "{body}" + "".join(f"{{header:{name}}}" for name in signed)
        if signed or parameter.signed_headers:
            self.notes.add(match.place, "a request without one of the signed headers is refused here")
        verify["secret"] = self._secrets([(part.secret, part.place) for part in secrets], found)
        return verify

    def _scalr(self, rule: TriggerRule, found: Admission) -> bool:
        if not isinstance(rule, Match) or rule.kind != "scalr-signature":
            return False
        verify = {"scheme": "hmac", "header": "X-Signature", "algorithm": "sha1", "signed": "{body}{header:Date}"}
        found.verify = {**verify, "secret": self._secrets([(rule.secret, rule.place)], found)}
        found.comments.append(
            self.notes.add(
                rule.place,
                "the date is signed, but not compared with the clock, so a recorded request stays valid; "
                "`dedupe: {key: headers.X-Signature, window: 7d}` would take each one once",
            )
        )
        return True

    def _token(self, rule: TriggerRule, found: Admission) -> bool:
        """A token: a `value` match of a header or query parameter with a name such as `X-Token`."""
        options = rule.rules if isinstance(rule, Or) else (rule,)
        matches = [part for part in options if isinstance(part, Match) and _is_token(part)]
        if not matches or len(matches) != len(options):
            return False
        first = matches[0].parameter
        assert first is not None
        if any(
            m.parameter is None or (m.parameter.source, m.parameter.name) != (first.source, first.name) for m in matches
        ):
            return False
        values = [(part.value, part.place) for part in matches]
        if first.source == "header":
            found.hidden = ("header", first.name)
            found.verify = self._header_token(first.name, values, found)
        else:
            found.hidden = ("query", first.name)
            found.verify = {"scheme": "token", "query": first.name, "secret": self._secrets(values, found)}
        return True

    def _header_token(self, name: str, values: list[tuple[str, Place]], found: Admission) -> dict[str, Any]:
        if name.lower() == "authorization" and all(value.startswith("Bearer ") for value, _ in values):
            values = [(value.removeprefix("Bearer "), place) for value, place in values]
            return {"scheme": "bearer", "secret": self._secrets(values, found)}
        basic = _basic(values[0][0]) if name.lower() == "authorization" and len(values) == 1 else None
        if basic is not None:
            user, password = basic
            return {"scheme": "basic", "username": user, "secret": self._secrets([(password, values[0][1])], found)}
        return {"scheme": "token", "header": name, "secret": self._secrets(values, found)}

    def _secrets(self, values: Iterable[tuple[str, Place]], found: Admission) -> Any:
        listed = list(dict(values).items())
        base = re.sub(r"[^A-Z0-9]+", "_", self.hook.id.upper()).strip("_")
        written: list[dict[str, str]] = []
        for number, (value, place) in enumerate(listed, 1):
            if not value:
                raise CantCarry(place, "the secret is empty, so that every request fails")
            outside = source_of(value)
            if outside is None:
                variable = f"HOOK_{base}_SECRET" + (f"_{number}" if len(listed) > 1 else "")
                found.secrets.append(NamedSecret(variable, value, place))
                outside = {"env": variable}
            written.append(outside)
        return written[0] if len(written) == 1 else written


def _conjuncts(rule: TriggerRule | None) -> list[TriggerRule]:
    if isinstance(rule, And):
        return [part for inner in rule.rules for part in _conjuncts(inner)]
    return [] if rule is None else [rule]


def _is_signature(rule: TriggerRule) -> TypeGuard[Match]:
    return isinstance(rule, Match) and bool(SIGNATURES.fullmatch(rule.kind)) and rule.kind != "scalr-signature"


def _header(match: Match) -> str | None:
    parameter = match.parameter
    return parameter.name if parameter is not None and parameter.source == "header" else None


def _is_token(match: Match) -> bool:
    parameter = match.parameter
    if match.kind != "value" or parameter is None or not match.value:
        return False
    return parameter.source in ("header", "url", "query") and bool(_TOKEN_NAME.search(parameter.name))


def _basic(value: str) -> tuple[str, str] | None:
    """User name and password of a Basic credential."""
    scheme, _, encoded = value.partition(" ")
    if scheme != "Basic":
        return None
    try:
        user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon and user and password else None

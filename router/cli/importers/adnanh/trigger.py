"""Trigger rules as conditions with the same meaning.

In adnanh/webhook a comparison with a missing parameter is an error. `and` fails at the first error, and `or` ignores
errors. `not` of an error is true, but remains an error. So `and: [not: x]` needs the parameter, and `not: x` alone does
not.
"""

import ipaddress
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import re2

from router.cli.importers.adnanh.expression import (
    ALWAYS,
    EXISTS,
    NEVER,
    Expression,
    Negation,
    Test,
    all_of,
    any_of,
    negated,
)
from router.cli.importers.adnanh.hooks import And, Match, Not, Or, Parameter, Place, TriggerRule
from router.cli.importers.adnanh.notes import CantCarry, Notes
from router.cli.importers.adnanh.values import HookValues

_NUMBER = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?")
_NUMBER_SAMPLES = ("0", "1", "7", "10", "42", "123456", "-1", "1.5", "0.25", "1e9")
_CONSTANTS: tuple[tuple[str, Any], ...] = (("true", True), ("false", False), ("<nil>", None))
_GO_SAFE = str.maketrans({"<": "\\u003c", ">": "\\u003e", "&": "\\u0026"})
_MOST = 2**63
SIGNATURES = re.compile(r"payload-(?:hmac|hash)-sha(?:1|256|512)|scalr-signature")


@dataclass(frozen=True, slots=True)
class Judgement:
    """When a rule is true, and when it is an error because a parameter is missing."""

    true: Expression
    missing: Expression


@dataclass(frozen=True, slots=True)
class Trigger:
    """Translates the trigger rules of one hook."""

    values: HookValues
    notes: Notes

    def condition(self, rule: TriggerRule) -> Expression:
        """When the hook is triggered. Raises CantCarry."""
        return self._judge(rule).true

    def conjunction(self, rules: tuple[TriggerRule, ...], place: Place) -> Expression:
        """When an `and` of these rules is true. Raises CantCarry."""
        return self._judge(And(rules, place)).true

    def _judge(self, rule: TriggerRule) -> Judgement:
        if isinstance(rule, And):
            return _all_judged([self._judge(part) for part in rule.rules])
        if isinstance(rule, Or):
            return Judgement(any_of(*(self._judge(part).true for part in rule.rules)), NEVER)
        if isinstance(rule, Not):
            found = self._judge(rule.rule)
            return Judgement(negated(found.true), found.missing)
        return self._match(rule)

    def _match(self, match: Match) -> Judgement:
        if SIGNATURES.fullmatch(match.kind):
            raise CantCarry(
                match.place,
                f"{match.kind} stands below or/not; a source has one verify, which every request has to pass. "
                "Give each kind of sender a source with a path of its own",
            )
        if match.kind == "ip-whitelist":
            return Judgement(Test("ip", {"cidr": networks(match, self.notes)}), NEVER)
        if match.kind not in ("value", "regex") or match.parameter is None:
            raise CantCarry(match.place, f'a match of the type "{match.kind}" is never true')
        if match.parameter.source == "string":
            return Judgement(ALWAYS if _of_text(match)(match.parameter.name) else NEVER, NEVER)
        field = self.values.field(match.parameter)
        test = self._test(match, match.parameter)
        return Judgement(Test(field, test), negated(Test(field, EXISTS)))

    def _test(self, match: Match, parameter: Parameter) -> Any:
        is_typed = parameter.source == "payload"
        if match.kind == "value":
            return self._equal(match) if is_typed else match.value
        fits = _of_text(match)
        if match.regex in ("", ".*"):
            return EXISTS
        if not is_typed:
            return {"regex": match.regex}
        if any(map(fits, _NUMBER_SAMPLES)):
            self.notes.add(
                match.place,
                "this regex fits numbers too; here a regex is compared only with texts, so a number never fits",
            )
        others = [value for text, value in _CONSTANTS if fits(text)]
        return [{"regex": match.regex}, *others] if others else {"regex": match.regex}

    def _equal(self, match: Match) -> Any:
        """The value as text, or the JSON value that is written like it."""
        text = match.value
        alternatives: list[Any] = [text, *(value for word, value in _CONSTANTS if word == text)]
        if _NUMBER.fullmatch(text):
            number = json.loads(text)
            if math.isfinite(number) and (isinstance(number, float) or -_MOST <= number < _MOST):
                alternatives.append(number)
        if text[:1] in ("{", "["):
            alternatives += _container(text)
        return alternatives if len(alternatives) > 1 else text


def _all_judged(parts: list[Judgement]) -> Judgement:
    before: list[Expression] = []
    missing: list[Expression] = []
    for part in parts:
        missing.append(all_of(*before, part.missing))
        before += [part.true, *_present(part)]
    return Judgement(all_of(*before), any_of(*missing))


def _present(part: Judgement) -> list[Expression]:
    """Tests that the parameters exist, if the rule can be true without them."""
    if part.missing == NEVER or isinstance(part.true, Test):
        return []
    if isinstance(part.true, Negation) and isinstance(part.true.part, Test):
        return [Test(part.true.part.field, EXISTS)]
    return [negated(part.missing)]


def _container(text: str) -> list[Any]:
    """The mapping or list that Go writes as this text."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return []
    written = json.dumps(value, separators=(",", ":"), sort_keys=True, ensure_ascii=False).translate(_GO_SAFE)
    return [{"equals": value}] if written == text else []


def _of_text(match: Match) -> Callable[[str], bool]:
    """The comparison, for a text that is known now. Raises CantCarry."""
    if match.kind == "value":
        return lambda text: text == match.value
    options = re2.Options()
    options.log_errors = False
    try:
        compiled = re2.compile(match.regex, options)
    except re2.error:
        raise CantCarry(match.place, f'the regex "{match.regex}" is not valid, so the hook always fails') from None
    return lambda text: compiled.search(text) is not None


def networks(match: Match, notes: Notes) -> list[str]:
    """The addresses and networks of an `ip-whitelist`. Raises CantCarry."""
    found = []
    for text in match.ip_range.split():
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            raise CantCarry(
                match.place, f'"{text}" is neither an address nor a network, so the hook always fails'
            ) from None
        if network.version == 6 and "/" not in text:
            notes.add(match.place, f"webhook takes {text} for {text}/32, a whole network; here it is the one address")
        found.append(str(network.network_address) if "/" not in text else str(network))
    if not found:
        raise CantCarry(match.place, "the ip-range is empty, so nobody may send")
    return found

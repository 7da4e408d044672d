"""Warns of a rule with a dangerous action whose condition depends on nothing that its sender signed.

A signature covers the body and little else. An attacker who recorded one request can send it again with other headers,
another query or another method. A condition on those alone lets the attacker choose which signed request starts the
action.
"""

from collections.abc import Mapping, Sequence
from enum import IntEnum

from router.plugins.scheme import SignedParts
from router.rules.match.conditions import All, AnyOf, Condition, FieldCondition, Not
from router.rules.match.field_tests import AnyTest, EachTest, Every, Exists, OneValue, Test
from router.rules.match.fields import AnyField, EventField, HeaderField, ParamField, QueryField
from router.rules.match.time_fields import TimeField
from router.rules.source import Source
from router.rules.yaml.node_path import NodePath


class _Basis(IntEnum):
    """The strongest thing that a condition depends on."""

    NOTHING = 0  #: true of every event of this source
    UNSIGNED = 1  #: values that an attacker with a recorded request can change
    SIGNED = 2  #: values that only the sender can have written, or the sender's address


def warn_of_unsigned(
    node_path: NodePath, sources: Mapping[str, Source], condition: Condition, dangers: Sequence[str]
) -> None:
    """Warn, at the rule's `match`, when any signed request with chosen headers would start a dangerous action.

    `dangers` say what the rule's actions could be made to do, such as `run this command`.
    """
    if not dangers:
        return
    for name, source in sorted(sources.items()):
        signed, constant = source.verifier.signed_parts, source.pattern is None
        if signed is None or _basis(condition, signed, constant=constant) is not _Basis.UNSIGNED:
            continue
        fields = ", ".join(dict.fromkeys(_unsigned(condition, signed, constant=constant)))
        node_path.at("match").warn(
            f'somebody who recorded any request of source "{name}" could {dangers[0]}: the rule tests only {fields}, '
            f"which scheme {source.scheme} does not sign; "
            "test a field of the payload too ($.…)"
        )
        return


def _basis(condition: Condition, signed: SignedParts, *, constant: bool) -> _Basis:
    if isinstance(condition, FieldCondition):
        if _is_fixed(condition.field, constant=constant):
            return _Basis.NOTHING
        if not _is_signed(condition.field, signed):
            return _Basis.UNSIGNED
        return _Basis.SIGNED if _needs_value(condition.test) else _Basis.NOTHING
    if isinstance(condition, All):
        return max((_basis(part, signed, constant=constant) for part in condition.conditions), default=_Basis.NOTHING)
    if isinstance(condition, AnyOf):
        bases = [_basis(part, signed, constant=constant) for part in condition.conditions]
        return _Basis.UNSIGNED if _Basis.UNSIGNED in bases else min(bases, default=_Basis.NOTHING)
    # A negation proves nothing, and may depend on values that an attacker can change.
    return _Basis.UNSIGNED if any(True for _ in _unsigned(condition, signed, constant=constant)) else _Basis.NOTHING


def _is_fixed(field: AnyField, *, constant: bool) -> bool:
    """Whether the field has the same value in all events of a source. `constant`: the source's path has no named
    parts."""
    if isinstance(field, TimeField):
        return True
    return isinstance(field, EventField) and (field.text == "source" or (field.text == "path" and constant))


def _is_signed(field: AnyField, signed: SignedParts) -> bool:
    if isinstance(field, HeaderField):
        return field.name in signed.headers
    if isinstance(field, QueryField):
        return signed.query
    if isinstance(field, EventField) and field.text == "method":
        return signed.method
    # Of the path, a scheme such as twilio signs the constant `url` in its settings. Named parts are unsigned.
    return not isinstance(field, ParamField) and not (isinstance(field, EventField) and field.text == "path")


def _needs_value(test: Test) -> bool:
    """Whether the test can hold only if the field has a value."""
    if isinstance(test, Exists):
        return test.wanted
    if isinstance(test, EachTest):
        return any(_needs_value(part) for part in test.tests)
    if isinstance(test, AnyTest):
        return all(_needs_value(part) for part in test.tests)
    return isinstance(test, OneValue | Every)


def _unsigned(condition: Condition, signed: SignedParts, *, constant: bool) -> list[str]:
    """The unsigned fields that a condition reads."""
    if isinstance(condition, FieldCondition):
        found = not _is_fixed(condition.field, constant=constant) and not _is_signed(condition.field, signed)
        return [condition.field.text] if found else []
    if isinstance(condition, All | AnyOf):
        return [text for part in condition.conditions for text in _unsigned(part, signed, constant=constant)]
    return _unsigned(condition.condition, signed, constant=constant) if isinstance(condition, Not) else []

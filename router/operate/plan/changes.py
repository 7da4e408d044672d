"""How two rulesets differ in the deliveries of one event."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from router.domain.events import Event
from router.operate.plan.answers import AnswerChange, compare_answers
from router.operate.plan.definitions import Definitions
from router.operate.plan.routed import DeliveryKey, Routed, changed_fields, facts_of, rendered, route


class ChangeKind(StrEnum):
    """What happens to a delivery under the new rules."""

    COME = "come"  #: only the new rules plan it
    GO = "go"  #: only the old rules plan it
    CHANGE = "change"  #: it goes elsewhere, or does something else there
    MOVE = "move"  #: another rule or action plans it, and does the same
    FAIL = "fail"  #: it would be dead at once under the new rules only
    MEND = "mend"  #: it would be dead at once under the old rules only


@dataclass(frozen=True, slots=True)
class Change:
    """The change of one delivery."""

    kind: ChangeKind
    before: DeliveryKey | None  #: None: the old rules don't plan it
    after: DeliveryKey | None  #: None: the new rules don't plan it
    type: str  #: of the action
    target: str
    fields: tuple[str, ...] = ()  #: the differing fields of a changed delivery
    reason: str = ""  #: of a failing delivery, or of one that failed before
    old: Mapping[str, Any] = field(default_factory=dict)  #: the values of the changed fields before
    new: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Compared:
    """The results of both rulesets for one event."""

    before: Routed
    after: Routed
    changes: tuple[Change, ...] = ()
    answer: AnswerChange | None = None  #: None: the answer to the sender is the same


def compare(event: Event, definitions: Definitions) -> Compared:
    """Route an event by both rulesets, and compare its deliveries."""
    old, new = definitions.before, definitions.after
    before = route(old, event)
    after = route(new, event, before, old.sources.get(event.source))
    changes = tuple(_Comparison(event, definitions, before, after).changes())
    return Compared(before, after, changes, compare_answers(definitions, before, after))


@dataclass(frozen=True, slots=True)
class _Comparison:
    event: Event
    definitions: Definitions
    before: Routed
    after: Routed

    def changes(self) -> Iterator[Change]:
        before, after = self.before.deliveries, self.after.deliveries
        gone = [key for key in before if key not in after]
        come = [key for key in after if key not in before]
        for key in before:
            if key in after and not self._is_same(key, key):
                yield from self._changed(key)
        for key in gone:
            found = next((other for other in come if other[2] == key[2] and self._is_same(key, other)), None)
            if found is None:
                yield self._made(ChangeKind.GO, key, None)
            else:
                come.remove(found)
                yield self._made(ChangeKind.MOVE, key, found)
        for key in come:
            shown = rendered(self.definitions.after, self.after, key)
            kind = ChangeKind.COME if shown.error is None else ChangeKind.FAIL
            yield self._made(kind, None, key, reason=shown.error or "")

    def _is_same(self, one: DeliveryKey, other: DeliveryKey) -> bool:
        return self.definitions.same(self.before.deliveries[one][0], self.after.deliveries[other][0], self.event.source)

    def _changed(self, key: DeliveryKey) -> Iterator[Change]:
        old, new = (
            rendered(self.definitions.before, self.before, key),
            rendered(self.definitions.after, self.after, key),
        )
        if new.error is not None:
            if old.error is None:
                yield self._made(ChangeKind.FAIL, key, key, reason=new.error)
        elif old.error is not None:
            yield self._made(ChangeKind.MEND, key, key, reason=old.error)
        else:
            was = facts_of(old, self.definitions.before.text.base_dir)
            will = facts_of(new, self.definitions.after.text.base_dir)
            fields = tuple(changed_fields(was, will))
            if fields:
                yield self._made(ChangeKind.CHANGE, key, key, fields=fields, old=was, new=will)

    def _made(self, kind: ChangeKind, before: DeliveryKey | None, after: DeliveryKey | None, **facts: Any) -> Change:
        if after is not None:
            action = self.after.deliveries[after][0].action
        else:
            assert before is not None  # a change has one side at least
            action = self.before.deliveries[before][0].action
        return Change(kind, before, after, action.type, action.target.key, **facts)

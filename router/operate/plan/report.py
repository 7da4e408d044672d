"""The result of a plan: counts with samples, by kind of change. Its size does not grow with the number of events."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from router.domain.events import Event
from router.operate.json_times import times
from router.operate.plan.answers import AnswerChange
from router.operate.plan.changes import Change, ChangeKind, Compared
from router.operate.plan.routed import DeliveryKey
from router.operate.scan import ScanPosition

VERSION = 1  #: of the JSON; it grows when a key changes its meaning or is removed, not when one is added
SAMPLES = 3  #: events in each entry by default
MOST_ENTRIES = 2_000  #: that are listed separately, more than 1,000 rules usually have; the rest are counted together
LONGEST_VALUE = 300  #: characters of a value in a sample
LONGEST_REASON = 300

NOT_COVERED = (
    "verify (signatures and tokens are not checked again)",
    "path (events keep the source that received them)",
    "dedupe (no event is dropped as a copy, and no dropped copy is added)",
    "skips and holds (paused targets, and deliveries that a later one replaces)",
    "respond from an action (what the action would answer, since nothing runs)",
    "retry, rate and other limits",
)  #: what a plan does not cover


@dataclass(frozen=True, slots=True)
class EntryKey:
    """What the deliveries of one entry have in common."""

    kind: ChangeKind
    before: tuple[str, str] | None  #: rule and action by the old rules
    after: tuple[str, str] | None  #: the same by the new rules
    type: str
    target: str
    fields: tuple[str, ...]
    reason: str


@dataclass
class Entry:
    """Deliveries with the same change."""

    key: EntryKey
    count: int = 0
    first_at: int = 0  #: ms; when the first of their events was received
    last_at: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As `plan --json` prints it."""
        key = self.key
        return {
            "kind": key.kind.value,
            "before": _names(key.before),
            "after": _names(key.after),
            "type": key.type,
            "target": key.target,
            "fields": list(key.fields),
            "reason": key.reason or None,
            "count": self.count,
            **times(first_at=self.first_at, last_at=self.last_at),
            "samples": self.samples,
        }


@dataclass
class AnswerEntry:
    """Events whose senders get another answer, with the same difference."""

    rules: tuple[str | None, str | None]  #: whose `respond` it is, before and after
    fields: tuple[str, ...]
    count: int = 0
    samples: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """As `plan --json` prints it."""
        before, after = self.rules
        fields = list(self.fields)
        return {"before": before, "after": after, "fields": fields, "count": self.count, "samples": self.samples}


@dataclass
class Refused:
    """Events that could not be compared, or rules that could not be evaluated, with the same reason."""

    count: int = 0
    samples: list[str] = field(default_factory=list)  #: event ids

    def add(self, event_id: str, most: int) -> None:
        """Add one event."""
        self.count += 1
        if len(self.samples) < most:
            self.samples.append(event_id)


@dataclass
class PlanReport:
    """What happens to the deliveries of many events."""

    samples: int = SAMPLES
    events: int = 0  #: compared
    changed: int = 0  #: events with a changed delivery
    same: int = 0  #: unchanged deliveries
    entries: dict[EntryKey, Entry] = field(default_factory=dict)
    answers: dict[tuple[tuple[str | None, str | None], tuple[str, ...]], AnswerEntry] = field(default_factory=dict)
    matched_before: Counter[str] = field(default_factory=Counter)  #: events by rule
    matched_after: Counter[str] = field(default_factory=Counter)
    not_judged: dict[tuple[str, str], Refused] = field(
        default_factory=dict
    )  #: by rule and reason; only by the new rules
    #: by reason; such a request would not become an event
    not_accepted: dict[str, Refused] = field(default_factory=dict)
    not_compared: dict[str, Refused] = field(default_factory=dict)  #: by reason
    rest: ScanPosition | None = None  #: where to continue, if the limit was reached before the end

    @property
    def differs(self) -> bool:
        """Whether the new rules act differently, as far as a plan can tell. A move alone does not count."""
        if (
            self.not_judged
            or self.not_accepted
            or self.answers
            or any(key.kind is not ChangeKind.MOVE for key in self.entries)
        ):
            return True
        # Rules without deliveries, such as one that only responds.
        return any(
            rule["matched_before"] != rule["matched_after"] and not rule[ChangeKind.MOVE.value]
            for rule in self._rules_json()
        )

    def count_of(self, kind: ChangeKind) -> int:
        """The number of deliveries with such a change."""
        return sum(entry.count for entry in self.entries.values() if entry.key.kind is kind)

    def add(self, event: Event, compared: Compared) -> None:
        """Add the comparison of one event."""
        self.events += 1
        self.matched_before.update(compared.before.matched or ("unmatched",))
        self.matched_after.update(compared.after.matched or ("unmatched",))
        touched = sum(change.after is not None and change.before is not None for change in compared.changes)
        touched += sum(change.kind is ChangeKind.GO for change in compared.changes)
        self.same += len(compared.before.deliveries) - touched
        self.changed += bool(compared.changes)
        for change in compared.changes:
            self._count(event, change)
        if compared.answer is not None:
            self._count_answer(event, compared.answer)
        if len(self.not_judged) < MOST_ENTRIES and compared.after.errors:
            for rule, reason in set(compared.after.errors) - set(compared.before.errors):
                self.not_judged.setdefault((rule, reason[:LONGEST_REASON]), Refused()).add(event.id, self.samples)
        refusal = compared.after.refusal
        if refusal and refusal != compared.before.refusal:
            self._refuse(self.not_accepted, refusal, event)

    def add_not_compared(self, event: Event, reason: str) -> None:
        """Add one event that could not be compared."""
        self._refuse(self.not_compared, reason, event)

    def _refuse(self, by_reason: dict[str, Refused], reason: str, event: Event) -> None:
        reason = reason[:LONGEST_REASON] if len(by_reason) < MOST_ENTRIES else "other reasons"
        by_reason.setdefault(reason, Refused()).add(event.id, self.samples)

    def _count(self, event: Event, change: Change) -> None:
        key = EntryKey(
            change.kind,
            _rule_action(change.before),
            _rule_action(change.after),
            change.type,
            change.target[:LONGEST_VALUE],
            change.fields,
            change.reason[:LONGEST_REASON],
        )
        if key not in self.entries and len(self.entries) >= MOST_ENTRIES:
            key = EntryKey(change.kind, None, None, change.type, "", (), "more of this kind")
        entry = self.entries.setdefault(key, Entry(key, first_at=event.received_at))
        entry.count += 1
        entry.first_at = min(entry.first_at, event.received_at)
        entry.last_at = max(entry.last_at, event.received_at)
        if len(entry.samples) < self.samples:
            entry.samples.append(_sample(event, change))

    def _count_answer(self, event: Event, change: AnswerChange) -> None:
        key = (change.rules, change.fields)
        if key not in self.answers and len(self.answers) >= MOST_ENTRIES:
            key = ((None, None), ())
        entry = self.answers.setdefault(key, AnswerEntry(*key))
        entry.count += 1
        if len(entry.samples) < self.samples:
            entry.samples.append(
                {
                    "event": event.id,
                    **times(received_at=event.received_at),
                    "before": {name: _short(change.old.get(name)) for name in entry.fields},
                    "after": {name: _short(change.new.get(name)) for name in entry.fields},
                }
            )

    def sorted_answers(self) -> list[AnswerEntry]:
        """The changed answers, those with most events first."""
        return sorted(self.answers.values(), key=lambda entry: (-entry.count, str(entry.rules), entry.fields))

    def as_json(self) -> dict[str, Any]:
        """The counts and entries, as `plan --json` prints them."""
        return {
            "events": {
                "compared": self.events,
                "changed": self.changed,
                "same": self.events - self.changed,
                "not_compared": _refused_json(self.not_compared),
                "not_accepted": _refused_json(self.not_accepted),
            },
            "deliveries": {"same": self.same, **{kind.value: self.count_of(kind) for kind in ChangeKind}},
            "rules": self._rules_json(),
            "changes": [entry.as_json() for entry in self.sorted_entries()],
            "answers": [entry.as_json() for entry in self.sorted_answers()],
            "not_judged": [
                {"rule": rule, "reason": reason, "count": found.count, "events": found.samples}
                for (rule, reason), found in sorted(self.not_judged.items())
            ],
            "differs": self.differs,
            "not_covered": list(NOT_COVERED),
        }

    def sorted_entries(self) -> list[Entry]:
        """The entries: by kind, those with most deliveries first."""
        kinds = list(_ORDER)
        return sorted(self.entries.values(), key=lambda e: (kinds.index(e.key.kind), -e.count, str(e.key)))

    def renamed(self) -> dict[str, str]:
        """New rule names by old ones: rules whose deliveries all moved to one new rule."""
        moved: dict[str, set[str]] = {}
        other: set[str] = set()
        for key in self.entries:
            if key.before is not None and key.kind is ChangeKind.MOVE and key.after is not None:
                moved.setdefault(key.before[0], set()).add(key.after[0])
            elif key.before is not None:
                other.add(key.before[0])
        return {
            old: new
            for old, names in moved.items()
            if len(names) == 1 and old not in other
            for new in names
            if new != old and not self.matched_after[old] and not self.matched_before[new]
        }

    def _rules_json(self) -> list[dict[str, Any]]:
        renamed = self.renamed()
        became = {new: old for old, new in renamed.items()}
        return [
            {
                "rule": name,
                "renamed_from": became.get(name),
                "matched_before": self.matched_before[became.get(name, name)],
                "matched_after": self.matched_after[name],
                **self.counts_of(name, became.get(name)),
            }
            for name in sorted({*self.matched_before, *self.matched_after} - set(renamed))
        ]

    def counts_of(self, name: str, was: str | None = None) -> dict[str, int]:
        """By kind, the deliveries of a rule that change; `was` is its old name."""
        counts = dict.fromkeys((kind.value for kind in ChangeKind), 0)
        for entry in self.entries.values():
            names = {side[0] for side in (entry.key.before, entry.key.after) if side is not None}
            if name in names or was in names:
                counts[entry.key.kind.value] += entry.count
        return counts


_ORDER = (ChangeKind.FAIL, ChangeKind.GO, ChangeKind.COME, ChangeKind.CHANGE, ChangeKind.MEND, ChangeKind.MOVE)


def _rule_action(key: DeliveryKey | None) -> tuple[str, str] | None:
    return None if key is None else key[:2]


def _names(key: tuple[str, str] | None) -> dict[str, str] | None:
    return None if key is None else {"rule": key[0], "action": key[1]}


def _sample(event: Event, change: Change) -> dict[str, Any]:
    key = change.after or change.before
    assert key is not None  # a change has one side at least
    return {
        "event": event.id,
        **times(received_at=event.received_at),
        "item": key[2],
        "before": {name: _short(change.old.get(name)) for name in change.fields},
        "after": {name: _short(change.new.get(name)) for name in change.fields},
    }


def _short(value: Any) -> Any:
    if isinstance(value, str):
        return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"
    if isinstance(value, Mapping):
        return {name: _short(one) for name, one in list(value.items())[:50]}
    return [_short(one) for one in value[:50]] if isinstance(value, list) else value


def _refused_json(found: Mapping[str, Refused]) -> list[dict[str, Any]]:
    return [{"reason": reason, "count": one.count, "events": one.samples} for reason, one in sorted(found.items())]

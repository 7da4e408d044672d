"""Checks the result of a crash run: no event is lost, and each repetition follows from an interruption."""

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise

import apsw

from tests.acceptance.crash_run import CONCURRENCY, CrashRun
from tests.acceptance.recording_receiver import RecordedRequest

_LAG_SECONDS = 30.0  #: from an attempt's end to its commit; some seconds on a slow and busy disk
_DUE = {"loose": 1, "ordered": 1}  #: the deliveries of every event; other actions are for some events


@dataclass(slots=True)
class StoredDelivery:
    """A delivery in the store after the run."""

    id: str
    event: str
    action: str
    state: str
    attempts: dict[int, str] = field(default_factory=dict)  #: by number of the attempt: its outcome

    @property
    def interrupted(self) -> int:
        """The number of attempts that the end of a run interrupted before or during their commit."""
        return sum(outcome == "interrupted" for outcome in self.attempts.values())


class CrashChecks:
    """Checks a crash run whose last daemon has stopped after all deliveries ended."""

    def __init__(self, run: CrashRun) -> None:
        self._run = run
        self._events: dict[str, str] = {}
        self._deliveries: dict[str, StoredDelivery] = {}
        with closing(apsw.Connection(str(run.store), flags=apsw.SQLITE_OPEN_READONLY)) as connection:
            damage = connection.execute("PRAGMA integrity_check").fetchall()
            for event, body in connection.execute("SELECT id, body FROM event"):
                said = json.loads(body)
                self._events[str(event)] = f"{said['lane']}/{said['place']}"
            for delivery_id, event, action, state in connection.execute(_DELIVERIES):
                stored = StoredDelivery(str(delivery_id), str(event), str(action), str(state))
                self._deliveries[stored.id] = stored
            for delivery_id, number, outcome in connection.execute(_ATTEMPTS):
                self._deliveries[str(delivery_id)].attempts[int(str(number))] = str(outcome)
        self._by_delivery: dict[str, list[RecordedRequest]] = {}
        for seen in run.receiver.requests:
            self._by_delivery.setdefault(seen.delivery, []).append(seen)
        self.counts: Counter[str] = Counter()
        self.problems = [
            *run.answers.problems,
            *run.receiver.problems,
            *([] if damage == [("ok",)] else [f"integrity_check: {damage}"]),
            *self._check_events(),
            *self._check_deliveries_ended(),
            *self._check_forwards(),
            *self._check_interruptions(),
            *self._check_order(),
            *self._check_appended_lines(),
            *self._check_commands(),
        ]
        self._count()

    def _check_events(self) -> Iterator[str]:
        """Each answered event is stored once."""
        for key, event in self._run.answers.ids.items():
            if self._events.get(event) != key:
                yield f"{key} was answered with {event}, which the store has as {self._events.get(event)}"
        for key, times in Counter(self._events.values()).items():
            if times != 1 or key not in self._run.answers.ids:
                yield f"{key} is stored {times} times"

    def _check_deliveries_ended(self) -> Iterator[str]:
        """Each event has its deliveries. Each delivery succeeded or is dead after three interruptions in a row."""
        planned = {event: Counter[str]() for event in self._events}
        for delivery in self._deliveries.values():
            planned[delivery.event][delivery.action] += 1
            outcomes = [delivery.attempts[number] for number in sorted(delivery.attempts)]
            if delivery.state == "dead" and outcomes[-3:] == ["interrupted"] * 3:
                self.counts["dead after three interruptions in a row"] += 1
            elif delivery.state != "succeeded" or outcomes.count("succeeded") != 1:
                yield f"{delivery} did not succeed"
            if sorted(delivery.attempts) != list(range(1, len(delivery.attempts) + 1)):
                yield f"{delivery}: attempts are missing"
        for event, key in self._events.items():
            place = int(key.rpartition("/")[2])
            wanted = Counter(_DUE) + Counter(append=place % 3 == 0, command=place % 7 == 0)
            if planned[event] != wanted:
                yield f"{key} is planned as {planned[event]}, not {wanted}"

    def _check_forwards(self) -> Iterator[str]:
        """The receiver got each forward, and repetitions only if the record of an attempt was lost with its daemon run."""
        for delivery in self._deliveries.values():
            if delivery.action not in _DUE:
                continue
            requests = self._by_delivery.get(delivery.id, [])
            kept = [seen for seen in requests if seen.succeeded]
            if delivery.state == "succeeded" and not kept:
                yield f"{delivery} succeeded, and the receiver has no request of it"
            for seen in kept:
                if delivery.attempts.get(seen.number) not in ("succeeded", "interrupted"):
                    yield f"{seen} was answered 200, and is stored as {delivery.attempts.get(seen.number)}"
                if seen.ended is None:
                    yield f"{seen} never ended"
            numbers = Counter(seen.number for seen in kept)
            if any(times > 1 for times in numbers.values()):
                yield f"{delivery}: one attempt was made twice: {kept}"
            self.counts[f"{delivery.action}: duplicates"] += max(0, len(kept) - 1)

    def _check_interruptions(self) -> Iterator[str]:
        """An interrupted attempt was running when its daemon run was killed, within the concurrency limit. Or it had ended
        just before, and its end was not committed."""
        killed = {daemon_run.number: daemon_run.ended for daemon_run in self._run.runs if daemon_run.killed}
        cut: Counter[tuple[int, str]] = Counter()
        for seen in self._run.receiver.requests:
            stored = self._deliveries.get(seen.delivery)
            if stored is None or seen.run == 0:
                yield f"{seen} is of an unknown delivery, or was sent by a second owner"
            elif stored.attempts.get(seen.number) != "interrupted":
                continue
            elif seen.run not in killed:
                yield f"{seen} is stored as interrupted, and its run was not killed"
            elif seen.ended is None or seen.ended >= killed[seen.run]:
                cut[seen.run, stored.action] += 1
            else:
                lag = killed[seen.run] - seen.ended
                self.counts["longest time from an answer to a kill that prevented its commit, ms"] = max(
                    round(lag * 1000),
                    self.counts["longest time from an answer to a kill that prevented its commit, ms"],
                )
                if lag > _LAG_SECONDS:
                    yield f"{seen} was answered {lag:.1f} s before its run was killed, and its end was not committed"
        for (run, action), count in cut.items():
            # Twice, since a request is repeated at once after a disconnect on a reused connection.
            if count > 2 * CONCURRENCY:
                yield f"run {run}: {count} attempts of {action} at once"
        for action in ("loose", "ordered", "append", "command"):
            count = sum(stored.interrupted for stored in self._deliveries.values() if stored.action == action)
            self.counts[f"{action}: interrupted"] = count

    def _check_order(self) -> Iterator[str]:
        """The events of each lane arrive in order."""
        lanes: dict[str, list[RecordedRequest]] = {}
        for seen in sorted(self._run.receiver.requests, key=lambda one: one.run):  # stable: in order of arrival
            if seen.ordered:
                lanes.setdefault(seen.lane, []).append(seen)
        for lane, arrived in lanes.items():
            for before, after in pairwise(arrived):
                if after.place < before.place:
                    yield f"{lane}: {after} came after {before}"
                if after.place == before.place and after.delivery != before.delivery:
                    yield f"{lane}: two deliveries of one event: {after} and {before}"

    def _check_appended_lines(self) -> Iterator[str]:
        """Each line is complete. Each delivery has one line, or more after interruptions."""
        content = (self._run.folder / "all.jsonl").read_bytes()
        if not content.startswith(self._run.lines):
            yield "a line that had been read was changed afterwards"
        if not content.endswith(b"\n"):
            yield f"the file ends in a torn line: {content[-80:]!r}"
        written: Counter[str] = Counter()
        for line in content.splitlines():
            try:
                record = json.loads(line)
                written[record["delivery"]] += 1
                if self._events.get(record["id"]) != f"{record['payload']['lane']}/{record['payload']['place']}":
                    yield f"a line is not what was sent: {line[:200]!r}"
            except (ValueError, KeyError):
                yield f"a torn line: {line[:80]!r}…{line[-80:]!r}"
        yield from self._repeats("append", written)

    def _check_commands(self) -> Iterator[str]:
        """Each command ran to its end, and was repeated only after an interruption."""
        record = self._run.folder / "record.txt"
        ran: Counter[str] = Counter()
        begun: Counter[str] = Counter()
        for line in record.read_text().splitlines():
            what, delivery, _ = line.split(" ")
            (ran if what == "end" else begun)[delivery] += 1
        yield from self._repeats("command", ran)
        for delivery, times in begun.items():
            if times > 1 + self._deliveries[delivery].interrupted:
                yield f"{self._deliveries[delivery]} was begun {times} times"

    def _repeats(self, action: str, times: Counter[str]) -> Iterator[str]:
        for stored in self._deliveries.values():
            if stored.action != action:
                continue
            count = times.pop(stored.id, 0)
            if stored.state == "succeeded" and count == 0:
                yield f"{stored} succeeded and has no line"
            if count > 1 + stored.interrupted:
                yield f"{stored} was done {count} times"
            self.counts[f"{action}: duplicates"] += max(0, count - 1)
        for unknown in times:
            yield f"{action}: {unknown} is not a delivery in the store"

    def _count(self) -> None:
        run = self._run
        self.counts["kills"] = sum(daemon_run.killed for daemon_run in run.runs)
        self.counts["stops"] = sum(not daemon_run.killed for daemon_run in run.runs)
        self.counts["events answered"] = len(run.answers.ids)
        self.counts["requests sent"] = run.answers.sent
        self.counts["requests whose first answer a kill cut"] = run.answers.copies
        self.counts["503 answers"] = run.answers.refused
        self.counts["deliveries"] = len(self._deliveries)
        self.counts["attempts"] = sum(len(stored.attempts) for stored in self._deliveries.values())
        self.counts["requests at the receiver"] = len(run.receiver.requests)


_DELIVERIES = "SELECT d.id, e.id, d.action, d.state FROM delivery d JOIN event e ON e.seq = d.event"
_ATTEMPTS = "SELECT d.id, a.number, a.outcome FROM attempt a JOIN delivery d ON d.seq = a.delivery"

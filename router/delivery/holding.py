"""Knows the holds: paused targets, disabled rules and disabled actions."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from concurrent.futures import Future

import structlog

from router.domain.deliveries import Claim, Delivery
from router.domain.errors import RouterError
from router.domain.holds import Hold, HoldKind, HoldName, Holds
from router.rules.ruleset import CurrentRuleset
from router.runtime.loop_inbox import Inbox
from router.store.contract import Store

log = structlog.get_logger()

Write = Callable[[Callable[[], "Future[bool]"]], Awaitable[bool]]
"""Write until it is committed."""


class Holding:
    """Belongs to the delivery loop; `changed` may be called from any thread."""

    def __init__(
        self,
        current: CurrentRuleset,
        store: Store,
        inbox: Inbox,
        write: Write,
        now_ms: Callable[[], int],
        sets_holds: Callable[[], bool] = lambda: True,
    ) -> None:
        """`sets_holds`: whether this node stores the holds of its rules file."""
        self._sets_holds = sets_holds
        self._current = current
        self._store = store
        self._inbox = inbox
        self._write = write
        self._now_ms = now_ms
        self._read_for: object = None  #: the ruleset that the holds were last read for
        self._changed = False
        self.any = False  #: whether anything is held
        self.ever = False  #: whether anything was ever held
        self._holds = Holds()
        self._active: Mapping[HoldName, list[Hold]] = {}  #: as they were last logged
        self._marked_for: frozenset[HoldName] | None = None  #: disabled rules and actions whose deliveries are marked
        self._marking: asyncio.Task[None] | None = None

    def changed(self) -> None:
        """Note that the store's holds have changed."""
        self._changed = True

    @property
    def is_stale(self) -> bool:
        """Whether `refresh` must be called before anything is claimed."""
        return self._changed or self._read_for is not self._current.ruleset

    async def refresh(self) -> None:
        """Read the holds from the store, and store those of the current rules. Raises RouterError."""
        ruleset, self._changed = self._current.ruleset, False
        try:
            found = await asyncio.to_thread(self._store.holds)
            if found.by_file != ruleset.holds and self._sets_holds():
                await self._inbox.result(self._store.put_file_holds(ruleset.holds, self._now_ms()))
                found = await asyncio.to_thread(self._store.holds)
        except BaseException:
            self._changed = True
            raise
        self._holds, self._read_for = found, ruleset
        self.ever = bool(found)
        self.log_changes()
        disabled = frozenset(name for name in ruleset.holds if name[0] is not HoldKind.TARGET)
        if disabled != self._marked_for:
            self._mark(disabled)

    def log_changes(self) -> None:
        """Log the holds that began or ended since the last call."""
        before, self._active = self._active, self._holds.active(self._now_ms()) if self._holds else {}
        self.any = bool(self._active)
        for name, holds in self._active.items():
            if holds != before.get(name):
                _log_held(name, max(holds, key=lambda hold: (hold.until is None, hold.until or 0)))
        for name in before.keys() - self._active.keys():
            log.info("no longer held; its deliveries continue", **_fields(name))

    def of(self, delivery: Delivery) -> Hold | None:
        """The hold that keeps a delivery from its next attempt. None: there is none."""
        return self._holds.of(delivery.target, delivery.rule, delivery.action, self._now_ms())

    def holds(self, target: str, rule: str, action: str) -> bool:
        """Whether a hold would keep such a delivery from its attempt. Any thread may call it."""
        return self._holds.of(target, rule, action, self._now_ms()) is not None

    def paused_for(self, target: str, now: int) -> float | None:
        """For how many seconds the target is paused from `now` (ms) on: 0 if it is not, None while the end is
        unknown."""
        holds = self._holds.on((HoldKind.TARGET, target), now)
        if any(hold.until is None for hold in holds):
            return None
        return max((((hold.until or now) - now) / 1000 for hold in holds), default=0.0)

    def held_ms(self, delivery: Delivery) -> int:
        """For how many ms since its first attempt a delivery was held."""
        if delivery.first_attempt_at is None:
            return 0
        now = self._now_ms()
        return self._holds.held_ms(delivery.target, delivery.rule, delivery.action, delivery.first_attempt_at, now)

    async def give_back(self, claim: Claim, hold: Hold) -> None:
        """Give back a delivery that was claimed while its hold began."""
        await self._write(lambda: self._store.release(claim, held=hold.kind is not HoldKind.TARGET))

    def settled_pending(self, delivery: Delivery) -> None:
        """Mark a delivery as held if its rule or action is disabled: its attempt ended, and it waits for another."""
        hold = self.of(delivery)
        if hold is not None and hold.kind is not HoldKind.TARGET:
            self._store.mark_ids([delivery.id])  # if this fails, the delivery is marked when it is claimed

    def _mark(self, disabled: frozenset[HoldName]) -> None:
        self._marked_for = disabled
        if self._marking is not None:
            self._marking.cancel()
        self._marking = asyncio.create_task(self._mark_all(disabled))

    async def _mark_all(self, disabled: frozenset[HoldName]) -> None:
        """Mark the deliveries of disabled rules and actions, and remove the marks of enabled ones."""
        try:
            for rule, action in await asyncio.to_thread(self._store.marked_actions):
                held = not disabled.isdisjoint(((HoldKind.RULE, rule), (HoldKind.ACTION, f"{rule}/{action}")))
                while not held and await self._inbox.result(self._store.let_go(rule, action)):
                    pass
            for kind, name in sorted(disabled):
                rule, _, action = name.partition("/")
                after: int | None = 0
                while after is not None:
                    step = self._store.mark_held(rule, None if kind is HoldKind.RULE else action, after)
                    after = await self._inbox.result(step)
        except RouterError as error:
            log.warning("held deliveries can't be marked at the moment; it will be tried again", error=str(error))
            self._marked_for, self._changed = None, True


def _log_held(name: HoldName, hold: Hold) -> None:
    if name[0] is not HoldKind.TARGET:
        log.info("disabled; its deliveries are held", **_fields(name))
        return
    seconds = None if hold.until is None else round((hold.until - hold.began_at) / 1000)
    log.info("target paused; its deliveries are held", **_fields(name), cause=hold.cause.value, seconds=seconds)


def _fields(name: HoldName) -> dict[str, str]:
    kind, text = name
    if kind is HoldKind.ACTION:
        rule, _, action = text.partition("/")
        return {"rule": rule, "action": action}
    return {kind.value: text}

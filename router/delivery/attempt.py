"""Makes one attempt at a delivery: finds the action's definition, runs it, and turns every error into an outcome."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from router.delivery.committed import CommittedWrites
from router.delivery.definitions import Definition, Definitions
from router.delivery.parsing import EventParser
from router.domain.deliveries import Claim
from router.domain.outcomes import Outcome
from router.domain.retry_policy import RetryPolicy
from router.domain.secrets import Secret
from router.observe.redaction import Redactor
from router.observe.trace_context import trace_id_of
from router.plugins.action import AttemptInput, Tools
from router.rules.ruleset import CurrentRuleset
from router.store.contract import Store

LEASE_OVER = "the node's lease ended"  #: the message by which an attempt is cancelled
_DEFAULT_POLICY = RetryPolicy()
_NO_TOOLS: Tools[None] = Tools(None)  #: for an action of recorded rules whose plugin is not installed

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """The result of an attempt."""

    outcome: Outcome | None  #: None: no attempt was made, and the delivery now waits at another target
    policy: RetryPolicy = _DEFAULT_POLICY
    ruleset: str | None = None  #: hash of the rules that the attempt used


class Attempts:
    """Makes attempts. Belongs to the delivery loop."""

    def __init__(
        self,
        current: CurrentRuleset,
        definitions: Definitions,
        store: Store,
        writes: CommittedWrites,
        tools: Mapping[str, Tools[Any]],
        fleet_rules: Callable[[], str | None] = lambda: None,
        wants_answer: Callable[[str], bool] = lambda _: False,
    ) -> None:
        """`fleet_rules`: the hash of the rules of the fleet that this daemon is a node of; None without a fleet.
        `wants_answer`: whether the sender of this delivery's event waits for its answer."""
        self._wants_answer = wants_answer
        self._fleet_rules = fleet_rules
        self._current = current
        self._definitions = definitions
        self._store = store
        self._writes = writes
        self._tools = tools
        self._parser = EventParser()
        self._redactor: tuple[object, Redactor] = (None, Redactor(()))
        self._verbose: bool = log.is_enabled_for(logging.DEBUG)  # asked once: it costs more than most lines

    async def make(self, claim: Claim) -> AttemptResult:
        """Attempt it once. Errors and a cancellation are outcomes as well."""
        ruleset: str | None = None
        try:
            definition = await self._definitions.of(claim.delivery, self._fleet_rules())
            if isinstance(definition, str):
                return AttemptResult(Outcome.failed(definition))
            ruleset = definition.ruleset.hash
            policy = definition.action.retry
            return AttemptResult(await self._attempt(claim, definition, policy), policy, ruleset)
        except asyncio.CancelledError as cut:
            return AttemptResult(interruption(cut), ruleset=ruleset)
        except Exception as error:  # noqa: BLE001 - the border of the loop: one delivery must not end it
            return AttemptResult(_internal_error(claim, error), ruleset=ruleset)

    async def _attempt(self, claim: Claim, definition: Definition, policy: RetryPolicy) -> Outcome | None:
        action = definition.action.action
        if claim.unread:
            return Outcome.retry(claim.unread)
        if claim.delivery.interruptions and not policy.retry_interrupted:
            return Outcome.failed("an attempt was interrupted, and the action says interrupted: dead")
        if action.target.key != claim.delivery.target and self._may_move:
            if self._verbose:
                log.debug("delivery moved to the target that its action now has", **ids(claim), to=action.target.key)
            await self._writes.write(lambda: self._store.refile(claim, action.target.key))
            return None
        try:
            job = self._input(claim, definition)
            outcome = await action.attempt(job, self._tools.get(action.type, _NO_TOOLS))
            return self._redactor_of(definition, job.secrets).over(outcome)
        except asyncio.CancelledError as cut:
            why = "" if policy.retry_interrupted else ", and the action says interrupted: dead"
            return interruption(cut, why)
        except Exception as error:  # noqa: BLE001 - the action's own policy counts: a program may have run
            return _internal_error(claim, error)

    @property
    def _may_move(self) -> bool:
        """Whether the rules that run here say which target a delivery goes to: a fleet's newest do."""
        return self._fleet_rules() in (None, self._current.ruleset.hash)

    def _input(self, claim: Claim, definition: Definition) -> AttemptInput:
        recorded, current = definition.ruleset, self._current.ruleset
        name = claim.event.source
        source = current.source(name) or recorded.source(name)
        # The current secrets are used: those of a recorded ruleset may have been rotated.
        secrets = current.secrets if recorded is current else {**recorded.secrets, **current.secrets}
        passing = recorded.passing.get(name) or current.passing.get(name) or frozenset()
        has_item = claim.delivery.item is not None
        planned = recorded.sources.get(name)
        parse = partial(self._parser.parse, claim.event, source, planned, has_item=has_item)
        return AttemptInput(claim, parse, secrets, passing, self._wants_answer(claim.delivery.id))

    def _redactor_of(self, definition: Definition, secrets: Mapping[str, Secret]) -> Redactor:
        """What hides the secrets in an outcome; kept while they are the current rules'."""
        ruleset = definition.ruleset
        if secrets is not ruleset.secrets:
            return Redactor([*secrets.values(), *ruleset.sent_secrets.values()])
        if self._redactor[0] is not ruleset:
            self._redactor = (ruleset, Redactor([*secrets.values(), *ruleset.sent_secrets.values()]))
        return self._redactor[1]


def interruption(cut: asyncio.CancelledError, why: str = "") -> Outcome:
    """The outcome of an attempt that was cut off."""
    if LEASE_OVER in cut.args:
        return Outcome.excused(f"{LEASE_OVER}{why}")
    return Outcome.interrupted(f"the daemon stopped{why}")


def _internal_error(claim: Claim, error: Exception) -> Outcome:
    log.error("attempt failed by a fault of ours", **ids(claim), exc_info=error)
    return Outcome.retry(f"internal error ({type(error).__name__})")


def ids(claim: Claim) -> dict[str, str]:
    """The fields by which log lines name an attempt."""
    delivery = claim.delivery
    return {
        "event_id": delivery.event_id,
        "delivery_id": delivery.id,
        "rule": delivery.rule,
        "action": delivery.action,
        "target": delivery.target,
        **trace_id_of(claim.event.named),
    }

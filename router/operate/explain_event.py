"""Explains the routing of a stored event, by the rules that routed it or by the current ones."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from router.domain.deliveries import RulesetText
from router.domain.events import Event, Routing
from router.operate.json_times import times
from router.rules.dry_run.preview import Preview, preview
from router.rules.ruleset import Ruleset
from router.store.contract import StoreReader

Compile = Callable[[RulesetText], Ruleset | None]
"""Compiles a recorded text. None when it no longer compiles."""


@dataclass(frozen=True, slots=True)
class ExplainedEvent:
    """An event with the verdicts of a ruleset, and what was recorded at its receipt."""

    now: bool  #: by the current rules; otherwise by those that routed the event
    hash: str | None  #: of these rules; None: unknown
    first_at: int | None  #: ms; when the rules first became the current ones
    #: the verdicts at its receipt; None: a version that did not record them received the event
    recorded: Routing | None
    shown: Preview | None  #: None: these rules can't be used
    unusable: str = ""  #: the reason why they can't be used
    hidden: bool = False  #: values of the payload are left out

    def as_json(self) -> dict[str, Any]:
        """As `events explain --json` prints it."""
        rules = {
            "of": "now" if self.now else "then",
            "hash": self.hash,
            **times(first_at=self.first_at),
            "unusable": self.unusable or None,
        }
        shown = self.shown.as_json() if self.shown is not None else {"matched": [], "deliveries": []}
        recorded = (
            None
            if self.recorded is None
            else {"matched": list(self.recorded.matched), "errors": errors_json(self.recorded)}
        )
        return {"rules": rules, "recorded": recorded, **shown, **({"hidden": True} if self.hidden else {})}


def explain_event(
    store: StoreReader,
    event: Event,
    running: Ruleset | None,
    compile_recorded: Compile,
    *,
    now: bool,
    most: int | None = None,
) -> ExplainedEvent:
    """Explain an event by the rules that routed it, or with `now` by the current ones. At most `most` rules are
    explained.

    Raises StoreError, PayloadError.
    """
    recorded = store.routing(event.id)
    ruleset_hash = (running.hash if running is not None else None) if now else recorded.ruleset if recorded else None
    text = store.ruleset(ruleset_hash) if ruleset_hash is not None else None
    found = _usable(running, compile_recorded, ruleset_hash, text, now=now)
    first_at = text.first_at if text is not None else None
    if isinstance(found, str):
        return ExplainedEvent(now, ruleset_hash, first_at, recorded, None, found)
    return ExplainedEvent(now, found.hash, first_at, recorded, preview(found, event, explained=True, most=most))


def _usable(
    running: Ruleset | None, compile_recorded: Compile, ruleset_hash: str | None, text: RulesetText | None, *, now: bool
) -> Ruleset | str:
    """The rules, or why they can't be used."""
    if running is not None and (now or ruleset_hash == running.hash):
        return running
    if now:
        return "the store has no recorded rules that still compile"
    if ruleset_hash is None:
        return "a version that did not record its rules received the event"
    if text is None:
        return "the store no longer has their text"
    return compile_recorded(text) or "their text no longer compiles; this version refuses something in it"


def routing_json(routing: Routing | None, text: RulesetText | None) -> dict[str, Any] | None:
    """How the rules judged an event, as `events show --json` prints it. `text` is the rules' text, if it is still
    stored."""
    if routing is None:
        return None
    return {
        "ruleset": routing.ruleset,
        **times(ruleset_first_at=text.first_at if text is not None else None),
        "matched": list(routing.matched),
        "errors": errors_json(routing),
    }


def errors_json(routing: Routing) -> list[dict[str, str]]:
    """The rules that could not be evaluated."""
    return [{"rule": rule, "error": reason} for rule, reason in routing.errors]

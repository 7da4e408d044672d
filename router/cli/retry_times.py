"""When an action is tried: for `check --explain-retry`, as a line of text or as JSON."""

from dataclasses import asdict
from typing import Any

from router.actions.registry import ACTIONS
from router.delivery.schedule import Schedule, schedule
from router.domain.outcomes import Cause
from router.domain.retry_policy import RetryPolicy
from router.domain.units import shown
from router.rules.rule import RuleAction

_TIMES_IN_LINE = 6  #: the line names so many of the tries with growing waits
_TIMES_IN_JSON = 1000


def schedule_line(action: RuleAction) -> str:
    """A line such as `deploy/build: tries at 0 s, 2 s, 6 s, … then every 1 h, for 24 h (…); retries on: …`."""
    policy, planned = action.retry, schedule(action.retry)
    parts = [_tries(policy, planned)]
    if planned.tries > 1:
        has_status = Cause.STATUS in ACTIONS[action.action.type].causes
        everything = "everything but 410" if has_status else "everything"
        parts.append(f"retries on: {everything if policy.on is None else ', '.join(map(str, policy.on))}")
        if has_status:
            parts.append(f"Retry-After up to {shown(policy.retry_after_max)}")
    parts.append(f"interrupted: {_interrupted(policy)}")
    return f"{action.rule}/{action.name}: {'; '.join(parts)}"


def schedule_json(file: str, action: RuleAction) -> dict[str, Any]:
    """The schedule as JSON, times in seconds. `tries_at` has the tries with growing waits, at most 1,000."""
    policy, planned = action.retry, schedule(action.retry)
    settings = asdict(policy)
    del settings["retry_interrupted"]
    on = None if policy.on is None else [str(entry) for entry in policy.on]
    return {
        "file": file,
        "rule": action.rule,
        "action": action.name,
        "type": action.action.type,
        "target": action.action.target.key,
        "tries_at": [at / 1000 for at in planned.growing[:_TIMES_IN_JSON]],
        "then_every": None if planned.every is None else planned.every / 1000,
        "tries": planned.tries,
        "ended_by": planned.ended_by,
        "policy": settings | {"interrupted": _interrupted(policy), "on": on},
    }


def _tries(policy: RetryPolicy, planned: Schedule) -> str:
    if planned.tries == 1:
        too_early = "" if policy.attempts == 1 else ": give_up_after is shorter than the first wait"
        return f"one try, no retries{too_early}"
    times = [shown(at / 1000) for at in planned.growing]
    if len(times) > _TIMES_IN_LINE:
        times = [*times[:_TIMES_IN_LINE], "..." if planned.every is not None else f"... {times[-1]}"]
    text = "tries at " + ", ".join(times)
    if planned.every is not None:
        text += f"{'' if times[-1] == '...' else ','} then every {shown(planned.every / 1000)}"
    if planned.ended_by != "attempts":
        text += f", for {shown(policy.give_up_after)}"
    return f"{text} ({_number(policy, planned)} tries{_spread(policy)})"


def _number(policy: RetryPolicy, planned: Schedule) -> str:
    """The number of tries: exact if `attempts` ends them; if time does, jitter and slow attempts change it."""
    if planned.ended_by is None:
        return f"more than {planned.tries:,}"
    latest = planned.last * (1 + policy.jitter)
    exact = planned.ended_by == "attempts" and latest <= policy.give_up_after * 1000
    return f"{planned.tries:,}" if exact else f"about {planned.tries:,}"


def _spread(policy: RetryPolicy) -> str:
    return f", each wait ±{policy.jitter * 100:g} %" if policy.jitter else ""


def _interrupted(policy: RetryPolicy) -> str:
    return "retry" if policy.retry_interrupted else "dead"

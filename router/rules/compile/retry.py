"""The retry policy of an action: layers of settings. A later layer overrides an earlier one key by key."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from router.domain.outcomes import Cause
from router.domain.retry_policy import RetryPolicy
from router.domain.units import shown
from router.plugins.action import ActionType
from router.rules.compile.retry_on import EVERY_CAUSE, Entries, load_on
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import RetryOptions

_COMMON = (Cause.TIMEOUT,)  #: causes that every type has


@dataclass(frozen=True, slots=True)
class RetryLayer:
    """One `retry` mapping, of `defaults`, of a target or of an action."""

    node_path: NodePath
    options: RetryOptions
    on: Entries | None  #: None: this layer does not set it


def load_retry(node_path: NodePath, causes: Sequence[Cause] = EVERY_CAUSE) -> RetryLayer | None:
    """Read a `retry` for actions that can fail by these causes. None after an error."""
    options = read(node_path, RetryOptions)
    on = load_on(node_path.at("on"), causes) if node_path.has("on") else None
    return RetryLayer(node_path, options, on) if options is not None else None


def policy(action_type: ActionType, layers: Sequence[RetryLayer]) -> RetryPolicy:
    """The policy of an action of this type: the type's defaults, then the layers. Reports keys that contradict each
    other."""
    made = _with(RetryPolicy(), RetryOptions.model_validate(dict(action_type.retry_defaults)))
    for layer in layers:
        made = _with(made, layer.options)
        on = None if layer.on is None else _concerning(layer.on, action_type.causes)
        made = made if on is None else replace(made, on=on)
    bounds = [layer.node_path for layer in layers if layer.node_path.has("initial") or layer.node_path.has("max")]
    if made.initial > made.max and bounds:
        bounds[-1].error(f"initial ({shown(made.initial)}) is longer than max ({shown(made.max)}); set both")
    return made


def _with(made: RetryPolicy, options: RetryOptions) -> RetryPolicy:
    given = options.model_dump(exclude_none=True, exclude={"on"})
    if "interrupted" in given:
        given["retry_interrupted"] = given.pop("interrupted") == "retry"
    return replace(made, **given)


def _concerning(on: Entries, causes: Sequence[Cause]) -> Entries | None:
    """The entries of a list that concern actions with these causes; None if all concern other types.

    A list in `defaults` that was written for forwards must not make every append dead at once when its disk is full.
    """
    mine = tuple(entry for entry in on if entry.cause in causes)
    only_common = all(entry.cause in _COMMON for entry in on)
    return mine if only_common or any(entry.cause not in _COMMON for entry in mine) else None

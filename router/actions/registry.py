"""The action types that rules may use. The program's own are listed here only; plugins add theirs."""

from router.actions.append.type import APPEND
from router.actions.command.type import COMMAND
from router.actions.forward.type import FORWARD
from router.plugins.action import ActionType
from router.plugins.entry_points import ACTIONS as ACTIONS_GROUP
from router.plugins.entry_points import find
from router.plugins.foreign import fit_action

BUILT_IN: dict[str, ActionType] = {one.name: one for one in (FORWARD, COMMAND, APPEND)}
PLUGINS = find(ACTIONS_GROUP, lambda: BUILT_IN, fit_action)
ACTIONS: dict[str, ActionType] = {**BUILT_IN, **PLUGINS.usable}


def status_word(type_name: str) -> str:
    """The word for an attempt's status number; "status" for a type that is no longer installed."""
    return ACTIONS[type_name].status_word if type_name in ACTIONS else "status"


def status_prefix(type_name: str) -> str:
    """The text before an attempt's status number in a short line."""
    return ACTIONS[type_name].status_prefix if type_name in ACTIONS else ""

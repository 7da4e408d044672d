"""The action types that rules may use. This is the one list of them."""

from router.actions.append.type import APPEND
from router.actions.command.type import COMMAND
from router.actions.forward.type import FORWARD
from router.plugins.action import ActionType

ACTIONS: dict[str, ActionType] = {one.name: one for one in (FORWARD, COMMAND, APPEND)}


def status_word(type_name: str) -> str:
    """What the status number of an attempt is; "status" for a type that is not installed any more."""
    return ACTIONS[type_name].status_word if type_name in ACTIONS else "status"


def status_prefix(type_name: str) -> str:
    """What stands before the status number of an attempt in a short line."""
    return ACTIONS[type_name].status_prefix if type_name in ACTIONS else ""

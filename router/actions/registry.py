"""The action types that rules may use: one module each, one line here."""

from router.actions import append, command, forward
from router.actions.url import check_target_url
from router.plugins import ActionKind

ACTIONS: dict[str, ActionKind] = {"forward": forward, "command": command, "append": append}

__all__ = ["ACTIONS", "check_target_url"]

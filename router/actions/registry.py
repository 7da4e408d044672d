"""The action types that rules may use: one module each, one line here."""

from router.actions.append import action as append
from router.actions.command import action as command
from router.actions.forward import action as forward
from router.actions.forward.url import check_target_url
from router.plugins.action import ActionKind

ACTIONS: dict[str, ActionKind] = {"forward": forward, "command": command, "append": append}

__all__ = ["ACTIONS", "check_target_url"]

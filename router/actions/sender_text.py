"""Finds templates with text that a sender chose."""

from router.templates import Template

_PATH = frozenset({"event", "event.path"})
_OURS = frozenset({"source", "event", "delivery", "secrets", "range"})
"""Names whose values come from the router or the operator: ids, times, names in the rules file, addresses."""


def has_sender_text(template: Template, *, open_path: bool) -> bool:
    """Whether a sender decides a part of the rendered text. With `open_path` a named part of the path counts too."""
    if template.constant is not None:
        return False
    by_path = open_path and "event" in template.names and not _PATH.isdisjoint(template.fields)
    return by_path or bool(template.names - _OURS)

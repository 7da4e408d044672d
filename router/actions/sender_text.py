"""Which templates hold text that a sender chose."""

from router.templates import Template

_OURS = frozenset({"source", "event", "delivery", "secrets", "range"})
"""Names whose values come from the router or the operator: ids, times, names in the rules file, addresses."""


def has_sender_text(template: Template) -> bool:
    """Whether a sender decides a part of the rendered text."""
    return template.constant is None and bool(template.names - _OURS)

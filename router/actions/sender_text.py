"""Which templates hold text that a sender chose."""

from router.templates import Template

_OURS = frozenset({"source", "event", "delivery", "secrets", "range"})
"""Names whose values are the router's or the operator's: ids, times, names of the rules file, addresses."""


def has_sender_text(template: Template) -> bool:
    """Whether a sender decides a part of what it renders to."""
    return template.constant is None and bool(template.names - _OURS)

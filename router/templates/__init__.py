"""Templates: texts of a rules file that are filled in from an event, within bounds."""

from router.templates.running import ANSWERS, inline, rendered
from router.templates.template import (
    Template,
    Tree,
    compile_template,
    compile_tree,
    names_of,
    read_headers,
    render_tree,
)
from router.templates.text import Mask, as_json, as_text, in_url
from router.templates.values import Context, context, event_context
from router.templates.work import NeedsThread, TooMuchWork

__all__ = [
    "ANSWERS",
    "Context",
    "Mask",
    "NeedsThread",
    "Template",
    "TooMuchWork",
    "Tree",
    "as_json",
    "as_text",
    "compile_template",
    "compile_tree",
    "context",
    "event_context",
    "in_url",
    "inline",
    "names_of",
    "read_headers",
    "render_tree",
    "rendered",
]

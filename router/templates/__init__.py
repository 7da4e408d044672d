"""Templates: texts in a rules file with values of an event, rendered in a sandbox that limits their work."""

from router.templates.budget import NeedsThread, TooMuchWork
from router.templates.running import ANSWER_THREAD, render_inline, render_without_blocking
from router.templates.template import (
    Template,
    Tree,
    compile_template,
    compile_tree,
    names_of,
    read_headers,
    read_names,
    render_tree,
)
from router.templates.text import Mask, as_json, as_text, in_url
from router.templates.values import Context, context, event_context

__all__ = [
    "ANSWER_THREAD",
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
    "names_of",
    "read_headers",
    "read_names",
    "render_inline",
    "render_tree",
    "render_without_blocking",
]

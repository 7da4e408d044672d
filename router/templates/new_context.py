"""Makes the context of one rendering.

Jinja documents `Template.new_context`, which takes some 9 µs. The undocumented constructor of the context takes 1 µs.
So the constructor is tried once, and used only if it gives the same text.
"""

from collections.abc import Callable

import jinja2

from router.templates.budget import RenderBudget
from router.templates.environment import Environment, RenderContext
from router.templates.values import Context

NewContext = Callable[[jinja2.Template, Context, RenderBudget], RenderContext]
_TRIED = "{% set a = [payload.a, range(3) | last] %}{% for x in a %}{{ loop.index }}{{ x }}{% endfor %}"


def documented(code: jinja2.Template, reads: Context, budget: RenderBudget) -> RenderContext:
    """Make the context with `Template.new_context`."""
    made = code.new_context()
    assert isinstance(made, RenderContext)
    made.budget, made.reads = budget, reads
    return made


def quick(environment: Environment) -> NewContext:
    """Make the context with the constructor, without a copy of the globals; templates can't change them."""

    def new_context(code: jinja2.Template, reads: Context, budget: RenderBudget) -> RenderContext:  # noqa: ARG001
        made = RenderContext(environment, environment.globals, None, {}, environment.globals)
        made.budget, made.reads = budget, reads
        return made

    return new_context


def chosen(compiled: Callable[[str], jinja2.Template], candidate: NewContext) -> NewContext:
    """The candidate if it renders like `documented`; otherwise `documented`."""
    code = compiled(_TRIED)
    try:
        texts = [
            "".join(code.root_render_func(make(code, Context({"payload": {"a": "x"}}), RenderBudget())))
            for make in (candidate, documented)
        ]
    except Exception:  # noqa: BLE001 - whatever another version of Jinja does
        return documented
    return candidate if texts[0] == texts[1] else documented

"""The quick constructor of a rendering's context is used only if it gives the same as Jinja's documented way."""

from typing import Any

import jinja2
import pytest

from router.templates import Context, template
from router.templates.budget import RenderBudget
from router.templates.environment import RenderContext
from router.templates.new_context import NewContext, chosen, documented, quick

TEXT = "{% set n = 2 %}{% for x in range(n) %}{{ loop.index }}{{ payload.a }}{% endfor %}"
QUICK = quick(template._TEXT)


def compiled(text: str) -> jinja2.Template:
    return template._compiled(template._TEXT, template._TEXT.parse(text))


@pytest.mark.parametrize("make", [documented, QUICK])
def test_both_ways_render_the_same_text(make: NewContext) -> None:
    code = compiled(TEXT)

    context = make(code, Context({"payload": {"a": "x"}}), RenderBudget())

    assert "".join(code.root_render_func(context)) == "1x2x"


def test_the_quick_constructor_is_used_while_it_works() -> None:
    assert chosen(compiled, QUICK) is QUICK


def test_the_documented_way_is_used_when_the_quick_one_raises_or_differs() -> None:
    def raises(*_: Any) -> RenderContext:
        raise TypeError

    def differs(code: jinja2.Template, _: Context, budget: RenderBudget) -> RenderContext:
        return QUICK(code, Context({"payload": {"a": "another"}}), budget)

    assert chosen(compiled, raises) is documented
    assert chosen(compiled, differs) is documented

"""Jinja2 in an immutable sandbox: a dot reads keys of mappings only, and every step is charged to a budget.

The compiled code calls inner filters for reads such as `payload.repository.id`, comparisons, `~`, slices and loops
(see rewriting.py). Templates can't call these filters by name.
"""

import contextlib
from collections.abc import Callable
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from router.templates import operators
from router.templates.budget import SMALL_BODY, RenderBudget
from router.templates.text import as_text, in_url
from router.templates.values import Context, Missing, item_of

READ, KEEP, EACH, CUT, CONCAT, COMPARE = "_read", "_keep", "_each", "_cut", "_concat", "_compare"
#: attributes of `loop` that templates may read
_OF_LOOP = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})
_QUOTED = 1  #: characters that are percent-encoded in one step


def loop_class() -> type | None:
    """The class of `loop` in a `{% for %}`. Jinja documents only its attributes, so the class is taken from a template.

    None if this version of Jinja has no such object. Templates then can't read `loop`.
    """
    found: list[type] = []
    asked = ImmutableSandboxedEnvironment()
    asked.globals["tell"] = lambda loop: found.append(type(loop))
    asked.from_string("{% for _ in [0] %}{{ tell(loop) }}{% endfor %}").render()
    return found[0] if found and found[0].__module__.startswith("jinja2.") else None


_LOOP = loop_class()


class RenderContext(jinja2.runtime.Context):
    """The state of one rendering, which Jinja hands to filters and operators."""

    budget: RenderBudget
    reads: Context
    kept: Any = None  #: the value, if the template is a single {{ … }}
    last: Any = None  #: the value that was last read from the event

    def is_small(self, value: Any) -> bool:
        """Whether the value is part of a small event. It is then at most as large as the event's body."""
        return value is self.last and isinstance(value, dict | list) and 0 < self.budget.body_size < SMALL_BODY

    def written(self, value: Any, what: str) -> str:
        """Charge the value, then give its text as `{{ … }}` writes it."""
        if type(value) is str:
            self.budget.charge_text(len(value), what)
            return value
        if self.is_small(value):
            # Writing the value and then charging its length is faster than walking through it twice.
            text = as_text(value)
            self.budget.charge_text(len(text), what, 8)
            return text
        return as_text(self.budget.charge_value(value, what))


class Environment(ImmutableSandboxedEnvironment):
    """Reads keys of mappings and items of lists; calls only the listed filters and tests."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    context_class = RenderContext

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            found = obj.get(attribute)
            if found is not None:
                return found
        if type(obj) is _LOOP and attribute in _OF_LOOP:
            with contextlib.suppress(AttributeError):  # another version of Jinja may lack it
                return getattr(obj, attribute)
        return obj if isinstance(obj, jinja2.Undefined) else item_of(obj, attribute, str, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        # A computed key may be a secret or payload text, so the message doesn't name it.
        return obj if isinstance(obj, jinja2.Undefined) else item_of(obj, argument, str, "what a computed key names")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return operators.binary(context.budget, operator, left, right)

    def call_filter(self, name: str, *args: Any, **kwargs: Any) -> Any:
        if isinstance(name, str) and name.startswith("_"):
            raise jinja2.TemplateRuntimeError("no such filter")
        return super().call_filter(name, *args, **kwargs)


@jinja2.pass_context
def _read(c: RenderContext, path: tuple[str | int, ...]) -> Any:
    value = c.last = c.reads.read(path)
    return value


@jinja2.pass_context
def _keep(c: RenderContext, value: Any) -> None:
    if c.is_small(value):
        c.budget.charge(1 + c.budget.body_size // 8)  # with the rest of the tree, the value may be written as JSON
        c.kept = value
    else:
        c.kept = c.budget.charge_value(value, "the value")


@jinja2.pass_context
def _each(c: RenderContext, values: Any, steps: int) -> Any:
    return operators.each(c.budget, values, steps)


@jinja2.pass_context
def _cut(c: RenderContext, value: Any, start: Any, stop: Any, step: Any) -> Any:
    return operators.cut(c.budget, value, start, stop, step)


@jinja2.pass_context
def _concat(c: RenderContext, values: list[Any]) -> str:
    return operators.concat(c.budget, values)


@jinja2.pass_context
def _compare(c: RenderContext, values: list[Any], names: tuple[str, ...]) -> Any:
    return operators.compare(c.budget, values, names)


@jinja2.pass_context
def _written(c: RenderContext, value: Any) -> str:
    if type(value) is str:
        c.budget.charge_text(len(value), "the output")
        return value
    return c.written(value, "the output")


@jinja2.pass_context
def _written_in_url(c: RenderContext, value: Any) -> str:
    return in_url(c.budget.charge_value(value, "the output", _QUOTED))


INNER: dict[str, Callable[..., Any]] = {
    READ: _read,
    KEEP: _keep,
    EACH: _each,
    CUT: _cut,
    CONCAT: _concat,
    COMPARE: _compare,
}


def environment(
    *, url: bool, filters: dict[str, Callable[..., Any]], tests: dict[str, Callable[..., Any]]
) -> Environment:
    """The sandbox with these filters and tests. With `url` its values are percent-encoded."""
    made = Environment(
        undefined=Missing,
        finalize=_written_in_url if url else _written,
        autoescape=False,
        keep_trailing_newline=True,
    )
    made.filters = {**filters, **INNER}
    made.tests = dict(tests)
    made.globals = {"range": made.globals["range"]}
    return made

"""Jinja2 in an immutable sandbox, where a dot reads a key of a mapping and nothing else, and each step is paid for.

Reads such as `payload.repository.id`, comparisons, `~`, slices and loops are filters of our own in the code that is
made of a template (see rewriting); a template can't name them.
"""

from collections.abc import Callable
from typing import Any

import jinja2
from jinja2.sandbox import ImmutableSandboxedEnvironment

from router.templates import operators
from router.templates.text import as_text, in_url
from router.templates.values import Context, Missing, item_of
from router.templates.work import SMALL_BODY, Work

READ, KEEP, EACH, CUT, CONCAT, COMPARE = "_read", "_keep", "_each", "_cut", "_concat", "_compare"
_LOOP = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})
_QUOTED = 1  #: characters that are percent-encoded in a step


class RenderContext(jinja2.runtime.Context):
    """What the code of a template has at hand."""

    work: Work
    reads: Context
    kept: Any = None  #: the value of a template that is a single {{ … }}
    last: Any = None  #: what was read of the event last

    def is_small(self, value: Any) -> bool:
        """Whether a value is a part of a small event, and so no larger than its body is."""
        return value is self.last and isinstance(value, dict | list) and 0 < self.work.body < SMALL_BODY

    def written(self, value: Any, what: str) -> str:
        """A value as `{{ … }}` writes it, paid for."""
        if type(value) is str:
            self.work.text(len(value), what)
            return value
        if self.is_small(value):
            # Written before it is paid for, which is faster than to look at all of it.
            text = as_text(value)
            self.work.text(len(text), what, 8)
            return text
        return as_text(self.work.value(value, what))


class Environment(ImmutableSandboxedEnvironment):
    """Reads keys of mappings and items of lists; calls what is listed, and nothing else."""

    intercepted_binops = frozenset({"+", "-", "*", "/", "//", "%", "**"})
    context_class = RenderContext

    def getattr(self, obj: Any, attribute: str) -> Any:
        if type(obj) is dict:
            found = obj.get(attribute)
            if found is not None:
                return found
        if isinstance(obj, jinja2.runtime.LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return obj if isinstance(obj, jinja2.Undefined) else item_of(obj, attribute, str, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        # The key was computed: it may be a secret or payload text, so the message doesn't name it.
        return obj if isinstance(obj, jinja2.Undefined) else item_of(obj, argument, str, "what a computed key names")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        return operators.binary(context.work, operator, left, right)

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
        c.work.charge(1 + c.work.body // 8)  # it may be written as JSON with what else is in the tree
        c.kept = value
    else:
        c.kept = c.work.value(value, "the value")


@jinja2.pass_context
def _each(c: RenderContext, values: Any, steps: int) -> Any:
    return operators.each(c.work, values, steps)


@jinja2.pass_context
def _cut(c: RenderContext, value: Any, start: Any, stop: Any, step: Any) -> Any:
    return operators.cut(c.work, value, start, stop, step)


@jinja2.pass_context
def _concat(c: RenderContext, values: list[Any]) -> str:
    return operators.concat(c.work, values)


@jinja2.pass_context
def _compare(c: RenderContext, values: list[Any], names: tuple[str, ...]) -> Any:
    return operators.compare(c.work, values, names)


@jinja2.pass_context
def _written(c: RenderContext, value: Any) -> str:
    if type(value) is str:
        c.work.text(len(value), "the output")
        return value
    return c.written(value, "the output")


@jinja2.pass_context
def _written_in_url(c: RenderContext, value: Any) -> str:
    return in_url(c.work.value(value, "the output", _QUOTED))


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
    """The sandbox, with what is listed; for a URL its values are percent-encoded."""
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

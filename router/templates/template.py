"""A template: checked when the rules load, compiled at its first rendering, rendered within its budget.

Parsing takes some 30 µs, compiling another 250 µs.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import jinja2
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables

from router.domain.errors import RenderError, TemplateError
from router.templates.budget import NeedsThread, RenderBudget, TooMuchWork
from router.templates.cures import syntax_error, unknown_name
from router.templates.environment import Environment, environment
from router.templates.filters import FILTERS
from router.templates.new_context import NewContext, chosen, quick
from router.templates.rewriting import as_written, charge_work, is_single, keep_value, parsed, path_of, reads
from router.templates.tests import TESTS
from router.templates.text import materialized
from router.templates.validate import check_depth, check_nodes, check_secrets, constants
from router.templates.values import NAMES, Context, dotted

_JSON_TYPES = (str, int, float, list, dict)
_TEXT = environment(url=False, filters=FILTERS, tests=TESTS)
_URL = environment(url=True, filters=FILTERS, tests=TESTS)
_SHOWN = 3  #: fields that an error names at most


@dataclass(frozen=True)
class Template:
    """A checked template; immutable, used by many attempts at once."""

    text: str
    names: frozenset[str] = frozenset()  #: the names that it reads: `payload`, `secrets` …
    secrets: frozenset[str] = frozenset()  #: the secrets it reads
    constant: str | None = None  #: the text of a template without any {{ }} or {% %}
    single: bool = False  #: the whole text is one {{ … }}
    url: bool = field(default=False, kw_only=True)  #: values are percent-encoded

    def render(self, context: Context) -> str:
        """The text. Raises RenderError."""
        if self.constant is not None:
            return self.constant
        parts, size = [], 0
        budget = context.budget or RenderBudget()
        try:
            code = self._code
            for part in code.root_render_func(_NEW_CONTEXT[self.url](code, context, budget)):
                size += len(part)
                if size > budget.longest_text:
                    raise TooMuchWork(f"the result is longer than {budget.longest_text} characters")
                parts.append(part)
            text = "".join(parts)
            if not text.isascii():
                text.encode()  # a template can hold half a surrogate pair, which has no encoding
            return text
        except Exception as error:  # noqa: BLE001 - the border of the sandbox: a payload may cause any error
            raise self._render_error(error) from None

    def native(self, context: Context) -> Any:
        """The value itself when the whole text is one {{ … }}, otherwise the text. Raises RenderError."""
        if not self.single:
            return self.render(context)
        try:
            code = self._native_code
            inner = _NEW_CONTEXT[False](code, context, context.budget or RenderBudget())
            for _ in code.root_render_func(inner):
                pass
            value = inner.kept
            return value if value is None or isinstance(value, _JSON_TYPES) else materialized(value)
        except Exception as error:  # noqa: BLE001 - the border of the sandbox: a payload may cause any error
            raise self._render_error(error) from None

    @property
    def fields(self) -> list[str]:
        """The names that it reads, such as `payload.ref` or `headers['X-Id']`, in the order of the text."""
        tree = parsed(_TEXT, self.text)
        names = [node for node in tree.find_all(nodes.Name) if node.name in NAMES]
        read = {id(inner): node for node in reads(tree) for inner in node.find_all(nodes.Name)}
        return list(dict.fromkeys(dotted(path_of(read.get(id(name), name))) for name in names))

    @cached_property
    def _code(self) -> jinja2.Template:
        environment = _URL if self.url else _TEXT
        return _compiled(environment, parsed(environment, self.text))

    @cached_property
    def _native_code(self) -> jinja2.Template:
        return _compiled(_TEXT, keep_value(parsed(_TEXT, self.text)))

    def _render_error(self, error: Exception) -> RenderError:
        """The error for the log. Texts of other libraries may hold payload values, so they are left out."""
        if isinstance(error, NeedsThread):
            return error
        if isinstance(error, TooMuchWork):
            return TooMuchWork(f"too much work{self._reading()}: {error}")
        if isinstance(error, RenderError):
            return error
        if isinstance(error, jinja2.UndefinedError | jinja2.exceptions.SecurityError):
            return RenderError(str(error.message))
        if isinstance(error, UnicodeEncodeError):
            return RenderError("the result would contain half a surrogate pair, which can't be encoded")
        return RenderError(
            f"the template can't be rendered for this event ({type(error).__name__}{self._reading()}); "
            "is a value of another type than it expects?"
        )

    def _reading(self) -> str:
        """The fields that the template reads, for an error."""
        tree = parsed(_TEXT, self.text)
        fields = sorted({dotted(path_of(node)) for node in reads(tree)}) or sorted(self.names & set(NAMES))
        shown = ", ".join(fields[:_SHOWN]) + (" …" if len(fields) > _SHOWN else "")
        return f" in a template of {shown}" if shown else ""


def _compiled(environment: Environment, tree: nodes.Template) -> jinja2.Template:
    rewritten = charge_work(tree)
    rewritten.set_environment(environment)
    return environment.from_string(rewritten)


def _new_context(environment: Environment) -> NewContext:
    return chosen(lambda text: _compiled(environment, environment.parse(text)), quick(environment))


_NEW_CONTEXT = {False: _new_context(_TEXT), True: _new_context(_URL)}


def compile_template(text: str, *, secrets: Collection[str], url: bool = False) -> Template:
    """Check a template. Raises TemplateError with cause and cure."""
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return Template(text, constant=text, url=url)
    try:
        tree = parsed(_TEXT, text)
    except jinja2.TemplateError as error:
        raise syntax_error(error, text) from None
    except RecursionError:
        raise TemplateError("the template is nested too deeply") from None
    except ValueError:
        raise TemplateError("not a template: a number in it has too many digits") from None
    check_depth(tree)
    check_nodes(tree, FILTERS, TESTS)
    names = frozenset(find_undeclared_variables(tree))
    unknown = sorted(names - {*NAMES, "range"})
    if unknown:
        raise TemplateError(unknown_name(as_written(unknown[0]), text))
    used = check_secrets(tree, secrets)
    for expression in constants(tree):
        _check_constant(expression)
    return Template(text, names, used, single=is_single(tree), url=url)


def _check_constant(expression: nodes.Expr) -> None:
    """Evaluate an expression that is the same for every event. Raises TemplateError if it fails."""
    single = nodes.Template([nodes.Output([expression], lineno=1)], lineno=1)
    single.set_lineno(1)
    try:
        code = _compiled(_TEXT, keep_value(single))
        for _ in code.root_render_func(_NEW_CONTEXT[False](code, Context({}), RenderBudget())):
            pass
    except RenderError as error:
        raise TemplateError(f"it would fail at every event: {error}") from None
    except Exception as error:  # noqa: BLE001 - the border of the sandbox
        detail = str(error) or type(error).__name__
        raise TemplateError(f"it would fail at every event: {detail}") from None


def read_headers(text: str) -> set[str]:
    """The request's headers that a template reads by a constant name. Empty if the text is not a valid template."""
    try:
        paths = [path_of(node) for node in reads(parsed(_TEXT, text))]
    except jinja2.TemplateError:
        return set()
    return {str(path[1]) for path in paths if path[0] == "headers"}


def read_names(text: str) -> frozenset[str]:
    """The names that a template reads, such as `payload`. Empty if the text is not a valid template."""
    try:
        return frozenset(find_undeclared_variables(parsed(_TEXT, text)))
    except jinja2.TemplateError:
        return frozenset()


Tree = Any
"""JSON data in which every string is a Template."""


def compile_tree(value: Any, *, secrets: Collection[str]) -> Tree:
    """Check every string of JSON data, keys excepted. Raises TemplateError."""
    if isinstance(value, dict):
        return {key: compile_tree(inner, secrets=secrets) for key, inner in value.items()}
    if isinstance(value, list):
        return [compile_tree(inner, secrets=secrets) for inner in value]
    return compile_template(value, secrets=secrets) if isinstance(value, str) else value


def names_of(tree: Tree) -> frozenset[str]:
    """What the templates of JSON data read: `payload`, `secrets` …"""
    return frozenset(name for template in _templates(tree) for name in template.names)


def _templates(tree: Tree) -> Iterator[Template]:
    if isinstance(tree, dict | list):
        for part in tree.values() if isinstance(tree, dict) else tree:
            yield from _templates(part)
    elif isinstance(tree, Template):
        yield tree


def render_tree(tree: Tree, values: Context) -> Any:
    """Render every template of JSON data; one that is a single {{ … }} keeps its type. Raises RenderError."""
    if isinstance(tree, dict):
        return {key: render_tree(inner, values) for key, inner in tree.items()}
    if isinstance(tree, list):
        return [render_tree(inner, values) for inner in tree]
    return tree.native(values) if isinstance(tree, Template) else tree

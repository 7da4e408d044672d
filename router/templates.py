"""Templates: Jinja2 in an immutable sandbox, where a dot reads a key of a mapping and nothing else.

A template is checked when the rules load (parsing costs some 30 µs) and turned into code when it is first rendered
(another 250 µs). Reads such as `payload.repository.id` are found in the syntax tree and answered by one function, which
knows the whole name when a part of it is missing. No attribute or method of any object can be reached.
"""

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any
from urllib.parse import quote

import jinja2
import orjson
from jinja2 import nodes
from jinja2.meta import find_undeclared_variables
from jinja2.sandbox import ImmutableSandboxedEnvironment

from router.errors import RenderError, TemplateError
from router.model import Event, Headers, ParsedEvent, query_values
from router.nearest_word import did_you_mean, nearest
from router.plugins import Job

NAMES = ("payload", "headers", "query", "event", "source", "delivery", "secrets")
MAX_OUTPUT = 32 * 1024 * 1024  #: characters; more than the largest body, so only a template gone wild gets there
MAX_DEPTH = 50  #: operators, filters and blocks in one another
MAX_LOOPS = 10  #: loops in one another
_FILTERS = (
    *("abs", "capitalize", "count", "d", "default", "dictsort", "first", "float", "int", "join", "last", "length"),
    *("list", "lower", "map", "max", "min", "reject", "rejectattr", "replace", "reverse", "round", "select"),
    *("selectattr", "sort", "string", "sum", "title", "tojson", "trim", "truncate", "unique", "upper", "urlencode"),
)
_STATEMENTS = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends, nodes.Block, nodes.Macro, nodes.CallBlock)
_LOOP = frozenset({"index", "index0", "first", "last", "length", "revindex", "revindex0"})
_READ, _KEEP = "_read", "_keep"
_JSON_TYPES = (str, int, float, list, dict)


class Mask(str):
    """What stands for a secret where it must not be shown."""

    __slots__ = ()


class Missing(jinja2.StrictUndefined):
    """A read that found nothing; using it is an error unless `default()` takes care of it."""


def as_text(value: Any) -> str:
    """How a value is written into text: true, false and containers as JSON. Null counts as missing."""
    if isinstance(value, str):
        return value
    if value is None:
        raise RenderError("a value is missing (null)")
    if type(value) is int:
        return str(value)  # of any size
    return as_json(value).decode()


def as_json(value: Any) -> bytes:
    """A rendered value as JSON. Raises RenderError for what a template can make but JSON can't hold."""
    try:
        return orjson.dumps(value, default=_plain)
    except TypeError as error:
        if isinstance(error.__cause__, RenderError):
            raise error.__cause__ from None
        raise RenderError("a rendered value can't be written as JSON; is a number beyond 64 bits?") from None


def _plain(value: Any) -> Any:
    """What filters and `range` make, as the list that it stands for."""
    if isinstance(value, jinja2.Undefined):
        raise RenderError(value._undefined_message)  # noqa: SLF001 - the text that its own error has
    if isinstance(value, Iterator | range | tuple | Set):
        return list(value)
    raise RenderError(f"a rendered value is no JSON value ({type(value).__name__})")


def in_url(value: Any) -> str:
    """How a value is written into a URL: percent-encoded, slashes too."""
    text = as_text(value)
    return text if isinstance(value, Mask) else quote(text, safe="")


class _Environment(ImmutableSandboxedEnvironment):
    """Reads keys of mappings and items of lists; bounds what a payload could make large."""

    intercepted_binops = frozenset({"*", "**", "%"})

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, jinja2.runtime.LoopContext) and attribute in _LOOP:
            return getattr(obj, attribute)
        return obj if isinstance(obj, jinja2.Undefined) else _item(obj, attribute, attribute)

    def getitem(self, obj: Any, argument: Any) -> Any:
        # The key was computed: it may be a secret or payload text, so the message doesn't name it.
        return obj if isinstance(obj, jinja2.Undefined) else _item(obj, argument, "what a computed key names")

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        numbers = isinstance(left, int | float) and isinstance(right, int | float)
        if not numbers or (operator == "**" and (abs(left) > 1e6 or abs(right) > 64)):
            raise jinja2.exceptions.SecurityError(f"{operator} takes numbers of moderate size")
        return super().call_binop(context, operator, left, right)


def _item(value: Any, key: Any, name: str) -> Any:
    """One step of a read; null counts as missing."""
    found = None
    if isinstance(value, Mapping):
        found = value.get(key) if isinstance(key, str) else None
    elif isinstance(value, list) and type(key) is int and -len(value) <= key < len(value):
        found = value[key]
    return Missing(hint=f"{name} is missing") if found is None else found


def _bounded_replace(value: Any, old: Any, new: Any) -> str:
    text, old, new = as_text(value), as_text(old), as_text(new)
    if len(text) + text.count(old) * len(new) > MAX_OUTPUT:
        raise jinja2.exceptions.SecurityError("the result of replace is too large")
    return text.replace(old, new)


def _bounded_join(value: Any, separator: Any = "") -> str:
    texts, separator = [as_text(item) for item in value], as_text(separator)
    if sum(map(len, texts)) + len(texts) * len(separator) > MAX_OUTPUT:
        raise jinja2.exceptions.SecurityError("the result of join is too large")
    return str(separator.join(texts))


def _environment(finalize: Callable[[Any], str]) -> _Environment:
    environment = _Environment(undefined=Missing, finalize=finalize, autoescape=False, keep_trailing_newline=True)
    environment.filters = {name: environment.filters[name] for name in _FILTERS} | {
        "replace": _bounded_replace,
        "join": _bounded_join,
        "string": as_text,
        "tojson": lambda value: as_json(value).decode(),
    }
    environment.globals = {"range": environment.globals["range"]}
    return environment


_TEXT, _URL = _environment(as_text), _environment(in_url)
_OUR_NAMES = re.compile(r"\b_(read|keep)\b")


@dataclass(frozen=True)
class Template:
    """A checked template; immutable, used by many attempts at once."""

    text: str
    names: frozenset[str] = frozenset()  #: what it reads: `payload`, `secrets` …
    secrets: frozenset[str] = frozenset()  #: the secrets it reads
    constant: str | None = None  #: the result, when it reads nothing at all
    single: bool = False  #: the whole text is one {{ … }}
    url: bool = field(default=False, kw_only=True)  #: values are percent-encoded

    def render(self, context: "Context") -> str:
        """The text. Raises RenderError."""
        if self.constant is not None:
            return self.constant
        parts, size = [], 0
        try:
            for part in self._code.generate(self._read_from(context)):
                size += len(part)
                if size > MAX_OUTPUT:
                    raise RenderError(f"the result is longer than {MAX_OUTPUT} characters")
                parts.append(part)
            text = "".join(parts)
            text.encode()  # half a surrogate pair can be written in a template, and sent nowhere
            return text
        except Exception as error:  # noqa: BLE001 - the border of the sandbox: a payload may cause any error
            raise _render_error(error) from None

    def native(self, context: "Context") -> Any:
        """The value itself when the whole text is one {{ … }}, else the text. Raises RenderError."""
        if not self.single:
            return self.render(context)
        kept: list[Any] = []
        try:
            self._native_code.render({**self._read_from(context), _KEEP: kept.append})
            value = kept[0]
            return value if value is None or isinstance(value, _JSON_TYPES) else _plain(value)
        except Exception as error:  # noqa: BLE001 - the border of the sandbox: a payload may cause any error
            raise _render_error(error) from None

    def _read_from(self, context: "Context") -> dict[str, Any]:
        return {**{name: context.values[name] for name in self.names if name in NAMES}, _READ: context.read}

    @property
    def fields(self) -> list[str]:
        """The names that it reads, such as `payload.ref` or `headers['X-Id']`, in the order of the text."""
        tree = _TEXT.parse(self.text)
        names = [node for node in tree.find_all(nodes.Name) if node.name in NAMES]
        read = {id(inner): node for node in _reads(tree) for inner in node.find_all(nodes.Name)}
        return list(dict.fromkeys(dotted(_path(read.get(id(name), name))) for name in names))

    @cached_property
    def _code(self) -> jinja2.Template:
        environment = _URL if self.url else _TEXT
        return environment.from_string(_with_reads(environment.parse(self.text)))

    @cached_property
    def _native_code(self) -> jinja2.Template:
        tree = _TEXT.parse(self.text)
        output = tree.body[0]
        assert isinstance(output, nodes.Output)
        output.nodes = [_call(_KEEP, output.nodes[0])]
        # What the keeper returns is nothing, and must not be written.
        tree.body = [nodes.ExprStmt(output.nodes[0])]
        return _TEXT.from_string(_with_reads(tree))


@dataclass(frozen=True)
class Context:
    """What one rendering reads."""

    values: Mapping[str, Any]

    def read(self, path: tuple[str | int, ...]) -> Any:
        """The value of a whole name such as `payload.repository.id`; nothing below it is ever an attribute."""
        value = self.values[str(path[0])]
        for depth, key in enumerate(path[1:], 2):
            value = _item(value, key, dotted(path[:depth]))
            if isinstance(value, Missing):
                return Missing(hint=f"{dotted(path)} is missing") if depth < len(path) else value
        return Missing(hint=f"{dotted(path)} is missing (null)") if value is None else value


class _Values(dict[str, Any]):
    """What each name stands for, made when a template first reads it: most read one name, many none."""

    def __init__(self, makers: Mapping[str, Callable[[], Any]]) -> None:
        super().__init__()
        self._makers = makers

    def __missing__(self, name: str) -> Any:
        value = self[name] = self._makers[name]()
        return value


def context(job: Job, *, mask_secrets: bool) -> Context:
    """What a job's templates read; masked secrets show as `<secret:name>`."""

    def secrets() -> dict[str, str]:
        if mask_secrets:
            return {name: Mask(f"<secret:{name}>") for name in job.secrets}
        return {name: secret.reveal() for name, secret in job.secrets.items() if secret.is_set}

    def delivery() -> dict[str, Any]:
        planned = job.claim.delivery
        return {"id": planned.id, "rule": planned.rule, "action": planned.action, "attempt": job.claim.attempt}

    makers = _makers(job.event, lambda: job.parsed)
    return Context(_Values({**makers, "delivery": delivery, "secrets": secrets}))


def event_context(parsed: ParsedEvent) -> Context:
    """What is known of an event before there is a delivery."""
    return Context(_Values(_makers(parsed.event, lambda: parsed)))


def _makers(event: Event, parsed: Callable[[], ParsedEvent]) -> dict[str, Callable[[], Any]]:
    def facts() -> dict[str, str]:
        received = datetime.fromtimestamp(event.received_at / 1000, UTC)
        return {
            "id": event.id,
            "source": event.source,
            "method": event.method,
            "path": event.path,
            "ip": event.ip,
            "received_at": received.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    return {
        "payload": lambda: parsed().payload,
        "headers": lambda: _FirstValues(Headers(event.headers)),
        "query": lambda: {name: values[0] for name, values in query_values(event.query).items()},
        "source": lambda: event.source,
        "event": facts,
    }


class _FirstValues(dict[str, str]):
    """Headers as a mapping: names without case, the first value of each."""

    def __init__(self, headers: Headers) -> None:
        super().__init__((name, headers[name]) for name in headers)
        self._headers = headers

    def get(self, name: str, default: Any = None) -> Any:
        return self._headers.get(name, default)


def compile_template(text: str, *, secrets: Collection[str], url: bool = False) -> Template:
    """Check a template. Raises TemplateError, whose text names cause and cure."""
    if "{{" not in text and "{%" not in text and "{#" not in text:
        return Template(text, constant=text, url=url)
    try:
        tree = _TEXT.parse(text)
    except jinja2.TemplateError as error:
        raise TemplateError(f"not a template: {error.message or 'it can not be read'}{_hyphen(text)}") from None
    except RecursionError:
        raise TemplateError("the template is nested too deeply") from None
    except ValueError:
        raise TemplateError("not a template: a number in it has too many digits") from None
    _check_depth(tree)
    if _OUR_NAMES.search(text):
        raise TemplateError("the names _read and _keep are the router's own; choose others")
    _check_nodes(tree)
    unknown = sorted(find_undeclared_variables(tree) - {*NAMES, "range"})
    if unknown:
        raise TemplateError(_unknown_name(unknown[0], text))
    used = _check_secrets(tree, secrets)
    single = (
        len(tree.body) == 1
        and isinstance(tree.body[0], nodes.Output)
        and len(tree.body[0].nodes) == 1
        and not isinstance(tree.body[0].nodes[0], nodes.TemplateData)
    )
    return Template(text, frozenset(find_undeclared_variables(tree)), used, single=single, url=url)


def _check_depth(tree: nodes.Template) -> None:
    """What walks the tree, and the code made of it, recurse; Python itself takes 20 loops in one another."""
    stack: list[tuple[nodes.Node, int, int]] = [(tree, 0, 0)]
    while stack:
        node, depth, loops = stack.pop()
        if depth > MAX_DEPTH or loops > MAX_LOOPS:
            raise TemplateError("the template is nested too deeply")
        loops += isinstance(node, nodes.For)
        stack += [(inner, depth + 1, loops) for inner in node.iter_child_nodes()]


def _check_nodes(tree: nodes.Template) -> None:
    for node in tree.find_all(nodes.Node):
        if isinstance(node, _STATEMENTS):
            raise TemplateError(f"{{% {type(node).__name__.lower()} %}} is not available in rules")
        if isinstance(node, nodes.Filter) and node.name not in _TEXT.filters:
            raise TemplateError(f'unknown filter "{node.name}"{_near(node.name, _TEXT.filters)}')
        if isinstance(node, nodes.Test) and node.name not in _TEXT.tests:
            raise TemplateError(f'unknown test "{node.name}"{_near(node.name, _TEXT.tests)}')
        if isinstance(node, nodes.Call) and not (isinstance(node.node, nodes.Name) and node.node.name == "range"):
            raise TemplateError("a template can't call functions or methods; use a filter: {{ payload.ref | upper }}")
        if isinstance(node, nodes.Name) and node.ctx != "load" and node.name in NAMES:
            raise TemplateError(f'"{node.name}" means the event\'s own; give the variable another name')
        if isinstance(node, nodes.Name) and node.name == "self":
            raise TemplateError(_unknown_name("self", ""))
        if isinstance(node, nodes.Sub) and _path(node.left)[:1] == ("headers",):
            raise TemplateError("headers.X-Name is a subtraction; write headers['X-Name']")


def _hyphen(text: str) -> str:
    return "; write headers['X-Name']" if re.search(r"headers\.\w+-", text) else ""


def _near(word: str, known: Collection[str]) -> str:
    return did_you_mean(word, known, most=100)


def _unknown_name(name: str, text: str) -> str:
    dashed = re.search(rf"\b([\w.]+)\.(\w+-{re.escape(name)})\b", text)
    if dashed:
        return f"{dashed.group()} is a subtraction; write {dashed[1]}['{dashed[2]}']"
    if name in ("env", "environ"):
        return "templates can't read the environment; declare it under secrets: and write secrets.name"
    near = nearest(name, NAMES)
    cure = f'did you mean "{near}"?' if near else f'a field of the payload is "payload.{name}"'
    return f'unknown name "{name}"; {cure}{_hyphen(text)}'


def _check_secrets(tree: nodes.Template, declared: Collection[str]) -> frozenset[str]:
    used: set[str] = set()
    chains = {id(inner) for node in _reads(tree) for inner in node.find_all(nodes.Name)}
    for node in _reads(tree):
        path = _path(node)
        if path[0] == "secrets":
            name = str(path[1])
            if name not in declared:
                cure = _near(name, declared) if declared else "; declare it under secrets:"
                raise TemplateError(f'undefined secret "{name}"{cure}')
            used.add(name)
    for name_node in tree.find_all(nodes.Name):
        if name_node.name == "secrets" and id(name_node) not in chains:
            raise TemplateError("name the secret: secrets.name")
    return frozenset(used)


def _path(node: nodes.Node) -> tuple[str | int, ...]:
    """The whole name that a node reads, such as ("payload", "commits", 0, "id"); empty for anything else."""
    parts: list[str | int] = []
    while True:
        if isinstance(node, nodes.Getattr):
            parts.append(node.attr)
            node = node.node
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Const):
            parts.append(node.arg.value)
            node = node.node
        elif isinstance(node, nodes.Name) and node.name in NAMES:
            return (node.name, *reversed(parts))
        else:
            return ()


def read_headers(text: str) -> set[str]:
    """The names of the request's headers that a template reads as constants; none of what is no template."""
    try:
        paths = [_path(node) for node in _reads(_TEXT.parse(text))]
    except jinja2.TemplateError:
        return set()
    return {str(path[1]) for path in paths if path[0] == "headers"}


def dotted(path: tuple[str | int, ...]) -> str:
    """A whole name as it is written: `payload.commits[0]['a b']`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.isidentifier():
            text += f".{part}" if text else part
        else:
            text += f"[{part!r}]"
    return text


def _reads(tree: nodes.Node) -> Iterator[nodes.Node]:
    """The outermost nodes below (and at) `tree` that read a whole name of at least two parts."""
    stack = [tree]
    while stack:
        node = stack.pop()
        if len(_path(node)) > 1:
            yield node
        else:
            stack += node.iter_child_nodes()


def _with_reads(tree: nodes.Template) -> nodes.Template:
    """Replace each read of a whole name by one call of the context's `read`."""

    def replace(value: Any) -> Any:
        if isinstance(value, list):
            return [replace(item) for item in value]
        if not isinstance(value, nodes.Node):
            return value
        path = _path(value)
        if len(path) > 1:
            return _call(_READ, nodes.Const(path, lineno=value.lineno))
        for name in value.fields:
            setattr(value, name, replace(getattr(value, name)))
        if isinstance(value, nodes.Getitem) and isinstance(value.arg, nodes.Const) and isinstance(value.arg.value, str):
            return nodes.Getattr(value.node, value.arg.value, value.ctx)  # a key that a message may name
        return value

    replaced = replace(tree)
    assert isinstance(replaced, nodes.Template)
    replaced.set_environment(_TEXT)
    replaced.set_lineno(1)
    return replaced


def _call(name: str, argument: nodes.Expr) -> nodes.Call:
    return nodes.Call(nodes.Name(name, "load"), [argument], [], None, None)


def _render_error(error: Exception) -> RenderError:
    """Names only: other errors' texts may hold values of the payload."""
    if isinstance(error, RenderError):
        return error
    if isinstance(error, jinja2.UndefinedError | jinja2.exceptions.SecurityError):
        return RenderError(str(error.message))
    if isinstance(error, UnicodeEncodeError):
        return RenderError("the result would contain half a surrogate pair, which can't be encoded")
    return RenderError(f"the template can't be rendered for this event ({type(error).__name__})")


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
    if isinstance(tree, dict | list):
        parts = tree.values() if isinstance(tree, dict) else tree
        return frozenset(name for part in parts for name in names_of(part))
    return tree.names if isinstance(tree, Template) else frozenset()


def render_tree(tree: Tree, values: Context) -> Any:
    """Render every template of JSON data; one that is a single {{ … }} keeps its type. Raises RenderError."""
    if isinstance(tree, dict):
        return {key: render_tree(inner, values) for key, inner in tree.items()}
    if isinstance(tree, list):
        return [render_tree(inner, values) for inner in tree]
    return tree.native(values) if isinstance(tree, Template) else tree

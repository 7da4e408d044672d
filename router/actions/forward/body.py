"""The body of a forward: the event's own body, or one made from its payload."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import orjson

from router.domain.errors import TemplateError
from router.plugins.action import AttemptInput
from router.plugins.build import Build
from router.templates import Context, Tree, as_json, as_text, compile_tree, render_tree

_WRITTEN_KINDS = ("json", "form", "text")
_CONTENT_TYPES = {
    "payload": "application/json",
    "item": "application/json",
    "json": "application/json",
    "form": "application/x-www-form-urlencoded",
    "text": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class Body:
    """A compiled `body`."""

    kind: str = "original"  #: original, payload, item, json, form or text
    tree: Tree = None  #: what is written below json, form or text

    @property
    def is_original(self) -> bool:
        """Whether the event's own bytes are sent."""
        return self.kind == "original"

    @property
    def content_type(self) -> str | None:
        """The Content-Type of a body that is made; None for the original body, which keeps its own."""
        return _CONTENT_TYPES.get(self.kind)

    def render(self, job: AttemptInput, values: Context) -> bytes:
        """The bytes to send. Raises RenderError."""
        if self.kind == "original":
            return job.event.body
        if self.kind == "payload":
            return orjson.dumps(job.parsed.payload)
        if self.kind == "item":
            return orjson.dumps(job.item)
        rendered = render_tree(self.tree, values)
        if self.kind == "json":
            return as_json(rendered)
        if self.kind == "text":
            return as_text(rendered).encode()
        pairs = [(k, as_text(v)) for k, vs in rendered.items() for v in (vs if isinstance(vs, list) else [vs])]
        return urlencode(pairs).encode()


def compile_body(written: Any, build: Build) -> Body:
    """Compile the option `body`. Faults go to the build."""
    if written == "item" and not build.has_item:
        build.fault("only a rule with for_each has an item", "body")
        return Body()
    if written in ("original", "payload", "item"):
        return Body(str(written))
    if not isinstance(written, dict) or len(written) != 1 or next(iter(written)) not in _WRITTEN_KINDS:
        build.fault("expected original, payload, item, {json: …}, {form: …} or {text: …}", "body")
        return Body()
    kind, tree = next(iter(written.items()))
    checks: dict[str, tuple[Callable[[Any], bool], str]] = {
        "json": (lambda _: True, ""),
        "text": (lambda value: isinstance(value, str), "expected text; quote it"),
        "form": (_is_form, "expected a mapping of names to text, numbers or lists of them"),
    }
    fits, message = checks[kind]
    if not fits(tree):
        build.fault(message, "body", kind)
        return Body()
    return Body(kind, _compile_parts(tree, build, ("body", kind)))


def _is_form(value: Any) -> bool:
    return isinstance(value, dict) and all(
        _is_scalar(item) or (isinstance(item, list) and all(map(_is_scalar, item))) for item in value.values()
    )


def _is_scalar(item: Any) -> bool:
    return isinstance(item, str | int | float)


def _compile_parts(value: Any, build: Build, place: tuple[str | int, ...]) -> Tree:
    """Like compile_tree, but each fault is reported at its own place."""
    if isinstance(value, dict):
        return {key: _compile_parts(inner, build, (*place, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_compile_parts(inner, build, (*place, i)) for i, inner in enumerate(value)]
    try:
        return compile_tree(value, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), *place)
        return None

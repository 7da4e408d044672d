"""`respond`: the reply to the sender in place of 202 and the event's id, set by a source or by a rule.

Of the rules that matched, the first one with `respond` replies.
"""

import re
from collections.abc import Collection, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import orjson

from router.domain.errors import RenderError, TemplateError
from router.domain.events import ParsedEvent
from router.domain.headers import HEADER_NAME
from router.domain.reply import Reply
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import RespondFromOptions, RespondOptions
from router.templates import (
    ANSWER_THREAD,
    NeedsThread,
    Tree,
    as_json,
    as_text,
    compile_tree,
    event_context,
    names_of,
    render_inline,
    render_tree,
)

_HEADER_VALUE = re.compile(r"[\t -~]*")
LONGEST_WITHIN = 8.0  #: seconds; below router.http.limits.ANSWER_SECONDS
_KEPT_FOR_ATTEMPTS = ("delivery", "secrets")


@dataclass(frozen=True, slots=True)
class RuleRespond:
    """A rule's reply; its body is a template of the event."""

    status: int
    body: Tree
    as_json: bool
    content_type: str | None
    headers: tuple[tuple[str, str], ...] = ()

    def render(self, parsed: ParsedEvent) -> Reply:
        """The reply to this event. Raises RenderError."""
        rendered = render_tree(self.body, event_context(parsed))
        body = as_json(rendered) if self.as_json else as_text(rendered).encode()
        return Reply(self.status, body, self.content_type, self.headers)

    def begin(self, parsed: ParsedEvent) -> "Future[Reply]":
        """Render a short body at once and a long one in a thread. Never blocks. The future may hold a RenderError."""
        done: Future[Reply] = Future()
        try:
            done.set_result(render_inline(self.render, parsed))
        except NeedsThread:
            return ANSWER_THREAD.submit(self.render, parsed)
        except RenderError as error:
            done.set_exception(error)
        return done


@dataclass(frozen=True, slots=True)
class RespondFrom:
    """A rule's reply: the answer of the first attempt of one of its actions."""

    rule: str
    action: str
    within: float  #: seconds
    otherwise: RuleRespond | None  #: the reply when no answer comes in time; None: the usual reply
    content_type: str | None = None
    headers: tuple[tuple[str, str], ...] = ()


def load_respond_from(
    node_path: NodePath, written: Mapping[str, Any], rule: str, secrets: Collection[str]
) -> RespondFrom | None:
    """Compile a rule's `respond` with `from`. check_respond_from checks later that the action exists."""
    options = read(node_path, RespondFromOptions)
    otherwise = None
    if "otherwise" in written:
        at = node_path.at("otherwise")
        if isinstance(written["otherwise"], dict) and "from" in written["otherwise"]:
            at.key_error("from", "otherwise is the answer without the action, so it has no from; write body or json")
        else:
            otherwise = load_rule_respond(at, written["otherwise"], secrets)
    if options is None:
        return None
    if options.within > LONGEST_WITHIN:
        at = node_path.at("within")
        at.error(f"expected at most 8s, found {at.found()}: every request is answered within 10 s")
    _check_headers(node_path, options.headers)
    content_type = options.content_type
    if content_type and not re.fullmatch(r"[\t -~]+", content_type):
        at = node_path.at("content_type")
        at.error(f"expected plain ASCII such as application/json, found {at.found()}")
    return RespondFrom(rule, options.from_, options.within, otherwise, content_type, tuple(options.headers.items()))


def load_respond(node_path: NodePath, written: Any) -> Reply | None:
    """Compile a source's `respond`, a constant reply. `written` may be the scheme's default."""
    options = _options(node_path, written) if written is not None or node_path.is_blank else None
    if options is None:
        return None
    body = orjson.dumps(options.json_) if _is_json(options) else (options.body or "").encode()
    return Reply(options.status, body, _content_type(node_path, options, bool(body)), tuple(options.headers.items()))


def load_rule_respond(node_path: NodePath, written: Any, secrets: Collection[str]) -> RuleRespond | None:
    """Compile a rule's `respond`, whose body or json is a template of the event."""
    options = _options(node_path, written) if written is not None or node_path.is_blank else None
    if options is None:
        return None
    key = "json" if _is_json(options) else "body"
    text = options.json_ if _is_json(options) else options.body or ""
    try:
        tree = compile_tree(text, secrets=secrets)
    except TemplateError as error:
        node_path.at(key).error(str(error))
        return None
    for name in _KEPT_FOR_ATTEMPTS:
        if name in names_of(tree):
            node_path.at(key).error(
                f'an answer can\'t read "{name}": it is sent before any delivery, and anybody may see it; remove it'
            )
    content_type = _content_type(node_path, options, bool(text) or _is_json(options))
    return RuleRespond(options.status, tree, _is_json(options), content_type, tuple(options.headers.items()))


def _options(node_path: NodePath, written: Any) -> RespondOptions | None:
    options = read(node_path, RespondOptions, written if isinstance(written, dict) and not node_path.is_blank else None)
    if options is None:
        return None
    if _is_json(options) and options.body is not None:
        node_path.error("body and json exclude each other; keep one")
    _check_headers(node_path, options.headers)
    return options


def _check_headers(node_path: NodePath, headers: Mapping[str, str]) -> None:
    for name, value in headers.items():
        if not HEADER_NAME.fullmatch(name) or not _HEADER_VALUE.fullmatch(value):
            node_path.at("headers", name).error(
                "expected a header: a name of letters, digits and -, and a value of plain ASCII"
            )
        elif name.lower() in ("content-length", "transfer-encoding", "connection", "content-type"):
            node_path.at("headers").key_error(
                name, f"{name} is set by the server; remove it (the type goes into content_type)"
            )


def _is_json(options: RespondOptions) -> bool:
    return "json_" in options.model_fields_set


def _content_type(node_path: NodePath, options: RespondOptions, has_body: bool) -> str | None:
    default = "application/json" if _is_json(options) else "text/plain; charset=utf-8"
    content_type = options.content_type or (default if has_body else None)
    if content_type and not re.fullmatch(r"[\t -~]+", content_type):
        at = node_path.at("content_type")
        at.error(f"expected plain ASCII such as text/plain, found {at.found()}")
    return content_type

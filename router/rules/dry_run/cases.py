"""Rule tests: events and the expected rules and deliveries, in a YAML file beside the rules.

A file is a list of `{name, source, method, ip, params, received_at, headers, query, content_type, payload, expect}`.
`payload` is `{file: PATH}` or the value itself; instead of it, `body` or `body_base64` is the raw body.
`expect` has `rules` (exactly those that match) and `deliveries` (each a part of a different planned delivery).
"""

import base64
import difflib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson
from pydantic import Field

from router.domain.errors import PayloadError, Problem
from router.domain.events import Event
from router.domain.files.bounded import MAX_PAYLOAD_BYTES, Unreadable, read_file
from router.domain.nearest_word import did_you_mean
from router.domain.own_events import KINDS, SOURCE, sample_event
from router.plugins.options import Options
from router.rules.dry_run.answer import preview_answer, together
from router.rules.dry_run.preview import Preview, body_of, made_event, preview
from router.rules.match.operators.age import unix_ms
from router.rules.match.values import same
from router.rules.ruleset import Ruleset
from router.rules.source import Source, placed
from router.rules.yaml.document import MAX_BYTES
from router.rules.yaml.document import read as read_document
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport
from router.rules.yaml.yaml_problem import DocumentError

_EMPTY = "the file is empty; it needs a list of cases, each with name, payload and expect"
_MAX_NAMED = 20  #: sources that a message names


class ExpectOptions(Options):
    """The expected result."""

    rules: list[str] | None = Field(default=None, description="The exact set of rules that match; empty: none.")
    deliveries: list[dict[str, Any]] = Field(default_factory=list, description="Parts of deliveries that are planned.")
    events: int | None = Field(default=None, description="Of a polled source: the number of events of the answer.")


class CaseOptions(Options):
    """One rule test."""

    name: str = Field(min_length=1, description="What the case shows, in words.")
    source: str | None = Field(default=None, description="The source; optional when there is only one.")
    method: str | None = Field(default=None, description="The request's method; the source's first by default.")
    ip: str = Field(default="127.0.0.1", description="The sender's address.")
    params: dict[str, str] = Field(default_factory=dict, description="The named parts of the path.")
    received_at: str | None = Field(default=None, description="When it was received, with its zone; now.")
    headers: dict[str, Any] = Field(default_factory=dict, description="Request headers; a list for a repeated one.")
    query: dict[str, Any] = Field(default_factory=dict, description="Query parameters; a list for a repeated one.")
    content_type: str | None = Field(default=None, description="The body's type; application/json by default.")
    event: str | None = Field(
        default=None, description="Instead of source and payload: a kind of the router's own events, as an example."
    )
    payload: Any = Field(default=None, description="The payload itself, or {file: PATH} with the raw body.")
    body: str | None = Field(default=None, description="Instead of payload: the raw body, as text.")
    body_base64: str | None = Field(default=None, description="Instead of payload: the raw body, in base64.")
    expect: ExpectOptions = Field(description="The expected result.")


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one case."""

    file: str
    line: int
    name: str
    differences: tuple[str, ...] = ()  #: from the expected result, in words; empty if the case passed


@dataclass(slots=True)
class Run:
    """The results of all files."""

    results: list[Result] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)  #: of files that are not case files

    @property
    def failed(self) -> bool:
        """Whether a case failed, or a file has a problem."""
        return bool(self.problems) or any(result.differences for result in self.results)


def run_cases(ruleset: Ruleset, files: Sequence[Path], now: int) -> Run:
    """Run the cases of the files. The folder of a file is the base of the paths in it."""
    run = Run()
    for file in files:
        report = ProblemReport(str(file))
        try:
            root, _ = read_document(read_file(file, MAX_BYTES, pipes=True).decode("utf-8-sig"), _EMPTY)
        except DocumentError as error:
            run.problems += [Problem(str(file), p.line, p.column, "", p.message) for p in error.problems]
            continue
        except (Unreadable, UnicodeDecodeError) as error:
            reason = str(error) if isinstance(error, Unreadable) else "it is not UTF-8 text"
            run.problems.append(Problem(str(file), 1, 1, "", f"the cases can't be read: {reason}"))
            continue
        node_path = NodePath(report, root, "")
        if node_path.expect_list("cases, each with name, payload and expect"):
            for item in node_path.items():
                result = _run(ruleset, item, file, now)
                run.results += [result] if result else []
        run.problems += report.sorted()
    return run


def _run(ruleset: Ruleset, node_path: NodePath, file: Path, now: int) -> Result | None:
    case = read(node_path, CaseOptions)
    if case is None:
        return None
    source = ruleset.source(case.source or "")
    if case.event is not None:
        return _own_case(ruleset, node_path, case, file, now)
    if case.source is None and len(ruleset.sources) == 1:
        source = next(iter(ruleset.sources.values()))
    if source is None:
        known = sorted(ruleset.sources)
        more = f" and {len(known) - _MAX_NAMED} others" if len(known) > _MAX_NAMED else ""
        node_path.at("source").error(f"expected one of the sources {', '.join(known[:_MAX_NAMED])}{more}")
        return None
    if not _asks_something(ruleset, node_path, case):
        return None
    headers, query = _pairs(node_path.at("headers"), case.headers), _pairs(node_path.at("query"), case.query)
    if headers is None or query is None:
        return None
    typed = next((value for name, value in headers if name.lower() == "content-type"), None)
    content_type = case.content_type or (None if typed is not None else "application/json")
    body = _body(node_path, case, file.parent, content_type or typed or "")
    if body is None:
        return None
    if source.poll is not None:
        return _answer_case(ruleset, source, body, content_type or typed, node_path, case, file, now)
    if case.expect.events is not None:
        node_path.at("expect", "events").error("only an answer to a poll has several events; remove this")
        return None
    source, received_at = _placed(node_path, source, case), _received_at(node_path, case, now)
    if source is None or received_at is None:
        return None
    event = made_event(
        source, body, headers, urlencode(query), content_type, received_at, method=case.method, ip=case.ip
    )
    return _judged(ruleset, event, node_path, case, file)


def _judged(ruleset: Ruleset, event: Event, node_path: NodePath, case: CaseOptions, file: Path) -> Result:
    try:
        shown = preview(ruleset, event, arriving=True, explained=True)
    except PayloadError as error:
        return Result(str(file), node_path.node.line, case.name, (f"the payload can't be parsed: {error}",))
    return Result(str(file), node_path.node.line, case.name, tuple(_differences(case.expect, shown)))


def _answer_case(
    ruleset: Ruleset,
    source: Source,
    body: bytes,
    content_type: str | None,
    node_path: NodePath,
    case: CaseOptions,
    file: Path,
    now: int,
) -> Result | None:
    """A case of a polled source. Its payload is an answer, and all of its items are new."""
    others = sorted(case.model_fields_set & {"method", "ip", "params", "query"})
    received_at = _received_at(node_path, case, now)
    if others:
        node_path.at(others[0]).error("nobody sends to a polled source: the payload is a recorded answer; remove this")
    if others or received_at is None:
        return None
    try:
        found = preview_answer(ruleset, source, body, content_type, received_at, explained=True)
    except PayloadError as error:
        return Result(str(file), node_path.node.line, case.name, (f"the answer can't be read: {error}",))
    differences = _differences(case.expect, together(ruleset, source, [one.shown for one in found]))
    if case.expect.events not in (None, len(found)):
        differences.append(f"expected {case.expect.events} events, but the answer gives {len(found)}")
    return Result(str(file), node_path.node.line, case.name, tuple(differences))


def _asks_something(ruleset: Ruleset, node_path: NodePath, case: CaseOptions) -> bool:
    unknown = sorted(set(case.expect.rules or ()) - {rule.name for rule in ruleset.rules})
    if unknown:
        node_path.at("expect", "rules").error(f'the rules file has no rule "{unknown[0]}"')
        return False
    expects = node_path.at("expect")
    if not case.expect.rules and not case.expect.deliveries and not expects.has("rules") and not expects.has("events"):
        node_path.at("expect").error("this expects nothing; write rules: [] if no rule may match")
        return False
    return True


def _own_case(ruleset: Ruleset, node_path: NodePath, case: CaseOptions, file: Path, now: int) -> Result | None:
    """A case of one of the router's own events: the example of its kind, with the values from the payload."""
    others = sorted(case.model_fields_set - {"name", "event", "payload", "received_at", "expect"})
    kind = case.event or ""
    if others:
        node_path.at(others[0]).error("the example of an own event has its own; remove this, or event")
    elif kind not in KINDS:
        node_path.at("event").error(f'the router has no own event "{kind}"{did_you_mean(kind, KINDS)}')
    elif SOURCE in ruleset.sources:
        node_path.at("event").error(f'"{SOURCE}" is a source of the rules file, so no rule can listen to own events')
    elif case.payload is not None and not isinstance(case.payload, dict):
        node_path.at("payload").error(
            f"expected a mapping of what differs from the example, found {node_path.at('payload').found()}"
        )
    elif _asks_something(ruleset, node_path, case) and (at := _received_at(node_path, case, now)) is not None:
        event = sample_event(kind, at)
        body = orjson.dumps(_merged(orjson.loads(event.body), case.payload or {}))
        return _judged(ruleset, replace(event, body=body), node_path, case, file)
    return None


def _merged(whole: Any, part: Any) -> Any:
    """The whole, with the values of the part replaced."""
    if not (isinstance(whole, dict) and isinstance(part, dict)):
        return part
    return {**whole, **{key: _merged(whole.get(key), value) for key, value in part.items()}}


def _placed(node_path: NodePath, source: Source, case: CaseOptions) -> Source | None:
    try:
        return placed(source, case.params)
    except ValueError as error:
        node_path.at("params").error(str(error))
        return None


def _received_at(node_path: NodePath, case: CaseOptions, now: int) -> int | None:
    if case.received_at is None:
        return now
    found = unix_ms(case.received_at)
    if found is None:
        at = node_path.at("received_at")
        at.error(f'expected a time with a zone such as "2024-05-01T09:30:00+02:00", found {at.found()}')
    return None if found is None else round(found)


def _pairs(node_path: NodePath, given: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Pairs of name and text, in order; a list gives several. None after an error."""
    found: list[tuple[str, str]] = []
    failed = False
    for name, value in given.items():
        for place, text in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(text, str):
                found.append((name, text))
                continue
            at = node_path.at(name, place)
            at.error(f"expected text or a list of texts, found {at.found()}; quote it")
            failed = True
    return None if failed else found


def _body(node_path: NodePath, case: CaseOptions, folder: Path, content_type: str) -> bytes | None:
    """The body as it is, the content of the file, or the payload written in its content type."""
    payload = case.payload
    given = [key for key in ("payload", "body", "body_base64") if node_path.has(key)]
    if len(given) > 1:
        node_path.at(given[1]).error(
            f"{given[0]} and {given[1]} exclude each other; give one of payload, body and body_base64"
        )
        return None
    if case.body is not None:
        return case.body.encode()
    if case.body_base64 is not None:
        try:
            return base64.b64decode(case.body_base64, validate=True)
        except ValueError:
            node_path.at("body_base64").error("expected base64, found other characters")
            return None
    if not (isinstance(payload, dict) and list(payload) == ["file"] and isinstance(payload["file"], str)):
        return body_of(payload, content_type)
    try:
        return read_file(folder / payload["file"], MAX_PAYLOAD_BYTES)
    except Unreadable as error:
        node_path.at("payload", "file").error(f"the payload can't be read: {error}")
        return None


def _differences(expect: ExpectOptions, shown: Preview) -> list[str]:
    found: list[str] = []
    if expect.rules is not None:
        wanted, matched = set(expect.rules), set(shown.matched)
        reasons = {rule.rule: rule.reason for rule in shown.explained or ()}
        nothing = "the answer gives no event"
        found += [
            f'rule "{name}" did not match: {reasons.get(name, nothing)}' for name in expect.rules if name not in matched
        ]
        found += [f'rule "{name}" matched, and was not expected to' for name in shown.matched if name not in wanted]
    planned = [delivery.as_json() for delivery in shown.deliveries]
    taken: dict[int, int] = {}  # number of the part, by number of the delivery
    for number, part in enumerate(expect.deliveries):
        if not _assign(number, expect.deliveries, planned, taken, set()):
            found.append(_no_delivery(part, [one for place, one in enumerate(planned) if place not in taken]))
    for place, delivery in enumerate(shown.deliveries):
        expected = place in taken and "error" in expect.deliveries[taken[place]]
        if delivery.error is not None and not expected:
            found.append(delivery.dead_at_once)
    return found


def _assign(number: int, parts: Sequence[Any], planned: Sequence[Any], taken: dict[int, int], tried: set[int]) -> bool:
    """Assign a delivery to a part; may move another part to another delivery."""
    for place, delivery in enumerate(planned):
        if place in tried or not _holds(parts[number], delivery):
            continue
        tried.add(place)
        if place not in taken or _assign(taken[place], parts, planned, taken, tried):
            taken[place] = number
            return True
    return False


def _holds(part: Any, whole: Any) -> bool:
    """Whether the whole contains the part, compared by type; lists must be equal."""
    if isinstance(part, dict | list) and isinstance(whole, str):
        whole = _from_json(whole)  # the body of a forward is text
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(
            key in whole and _holds(inner, whole[key]) for key, inner in part.items()
        )
    return same(part, whole)


def _from_json(text: str) -> Any:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text


def _no_delivery(part: Mapping[str, Any], planned: Sequence[Mapping[str, Any]]) -> str:
    if not planned:
        return f"no further delivery is planned like {json.dumps(part, ensure_ascii=False)}"

    def alike(delivery: Mapping[str, Any]) -> float:
        return difflib.SequenceMatcher(None, _pretty(part), _pretty(_same_keys(part, delivery))).ratio()

    nearest = max(planned, key=alike)
    lines = difflib.unified_diff(
        _pretty(part).splitlines(),
        _pretty(_same_keys(part, nearest)).splitlines(),
        "expected",
        "planned",
        lineterm="",
        n=9,
    )
    return "no delivery is planned like this; the nearest:\n" + "\n".join(lines)


def _same_keys(part: Any, whole: Any) -> Any:
    """The whole without the keys that the part lacks."""
    if isinstance(part, dict) and isinstance(whole, str):
        whole = _from_json(whole)
    if isinstance(part, dict) and isinstance(whole, dict):
        return {key: _same_keys(inner, whole[key]) for key, inner in part.items() if key in whole}
    return whole


def _pretty(value: Any) -> str:
    return json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)

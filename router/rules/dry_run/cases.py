"""Rule tests: events and the expected rules and deliveries, in a YAML file beside the rules.

A file is a list of `{name, source, method, ip, params, received_at, headers, query, content_type, payload, expect}`.
`payload` is `{file: PATH}` or the value itself; instead of it, `body` or `body_base64` is the raw body.
`expect` has `rules` (exactly those that match) and `deliveries` (each a part of a different planned delivery).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import orjson

from router.domain.errors import PayloadError, Problem
from router.domain.events import Event
from router.domain.files.bounded import Unreadable, read_file
from router.domain.nearest_word import did_you_mean
from router.domain.own_events import KINDS, SOURCE, sample_event
from router.rules.dry_run.answer import preview_answer, together
from router.rules.dry_run.case_options import CaseOptions
from router.rules.dry_run.case_request import pairs_of, placed_source, raw_body, received_at_of
from router.rules.dry_run.differences import differences
from router.rules.dry_run.preview import made_event, preview
from router.rules.ruleset import Ruleset
from router.rules.source import Source
from router.rules.yaml.document import MAX_BYTES
from router.rules.yaml.document import read as read_document
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport
from router.rules.yaml.yaml_problem import DocumentError

_EMPTY = "the file is empty; it needs a list of cases, each with name, payload and expect"
_MAX_NAMED = 20  #: sources that a message names


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
    headers, query = pairs_of(node_path.at("headers"), case.headers), pairs_of(node_path.at("query"), case.query)
    if headers is None or query is None:
        return None
    typed = next((value for name, value in headers if name.lower() == "content-type"), None)
    content_type = case.content_type or (None if typed is not None else "application/json")
    body = raw_body(node_path, case, file.parent, content_type or typed or "")
    if body is None:
        return None
    if source.poll is not None:
        return _answer_case(ruleset, source, body, content_type or typed, node_path, case, file, now)
    if case.expect.events is not None:
        node_path.at("expect", "events").error("only an answer to a poll has several events; remove this")
        return None
    source, received_at = placed_source(node_path, source, case), received_at_of(node_path, case, now)
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
    return Result(str(file), node_path.node.line, case.name, tuple(differences(case.expect, shown)))


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
    received_at = received_at_of(node_path, case, now)
    if others:
        node_path.at(others[0]).error("nobody sends to a polled source: the payload is a recorded answer; remove this")
    if others or received_at is None:
        return None
    try:
        found = preview_answer(ruleset, source, body, content_type, received_at, explained=True)
    except PayloadError as error:
        return Result(str(file), node_path.node.line, case.name, (f"the answer can't be read: {error}",))
    wrong = differences(case.expect, together(ruleset, source, [one.shown for one in found]))
    if case.expect.events not in (None, len(found)):
        wrong.append(f"expected {case.expect.events} events, but the answer gives {len(found)}")
    return Result(str(file), node_path.node.line, case.name, tuple(wrong))


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
    elif _asks_something(ruleset, node_path, case) and (at := received_at_of(node_path, case, now)) is not None:
        event = sample_event(kind, at)
        body = orjson.dumps(_merged(orjson.loads(event.body), case.payload or {}))
        return _judged(ruleset, replace(event, body=body), node_path, case, file)
    return None


def _merged(whole: Any, part: Any) -> Any:
    """The whole, with the values of the part replaced."""
    if not (isinstance(whole, dict) and isinstance(part, dict)):
        return part
    return {**whole, **{key: _merged(whole.get(key), value) for key, value in part.items()}}

"""/api/rules: list and show rules, check a rules file, test a request. Nothing here runs an action."""

import base64
import binascii
import ipaddress
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from router.admin.api import cursor
from router.admin.api.endpoint import Call, Endpoint, ResponseSpec
from router.admin.api.parameters import CURSOR, LIMITED, flag
from router.admin.api.replies import body_problem, json_reply, problem_reply
from router.admin.api.request_models import TestRequest, Texts
from router.admin.daemon_handle import DaemonHandle
from router.domain.deliveries import State
from router.domain.errors import Level, PayloadError
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.nearest_word import did_you_mean
from router.domain.reply import Reply
from router.operate.serialize import problem_json
from router.operate.try_rules import RulesFileText, unread_includes
from router.rules.dry_run.preview import Preview, body_of, made_event, preview
from router.rules.grouping import Grouping, LatestBy, OnceBy
from router.rules.match.operators.age import unix_ms
from router.rules.rule import Rule
from router.rules.ruleset import Ruleset
from router.rules.source import placed
from router.runtime.pacing import GC_PAUSED, TooLong, let_go, resting_while_busy

CHECK_WAIT_SECONDS = 5.0  #: how long to wait for another check; a file of 10,000 rules takes some 2 s
CHECK_SECONDS = 30.0  #: limit of one check; a file of 100,000 rules takes some 20 s
MAX_EXPLAINED = 1_000  #: rules of one reply, some 500 kB


def _list(daemon: DaemonHandle, call: Call) -> Reply:
    ruleset = daemon.ruleset()
    begin = 0
    if call.query["cursor"] is not None:
        try:
            ruleset_hash, begin = cursor.decode(call.query["cursor"], "rules", str, int)
        except ValueError as error:
            return problem_reply(400, f"parameter cursor: {error}", parameter="cursor")
        if ruleset_hash != ruleset.hash:
            detail = "parameter cursor: other rules run by now; try again without it"
            return problem_reply(400, detail, parameter="cursor")
    end = begin + call.query["limit"]
    rules = ruleset.rules[begin:end]
    waiting = daemon.store.waiting([rule.name for rule in rules])
    following = cursor.encode("rules", ruleset.hash, end) if end < len(ruleset.rules) else None
    return json_reply({"items": [_rule_json(rule, waiting) for rule in rules], "next": following})


def _show(daemon: DaemonHandle, call: Call) -> Reply:
    name = call.path["name"]
    rule = next((rule for rule in daemon.ruleset().rules if rule.name == name), None)
    if rule is None:
        return problem_reply(404, "the running rules have no rule of this name")
    dead = daemon.store.count(Filter(states=(State.DEAD,), rule=name))
    return json_reply({**_rule_json(rule, daemon.store.waiting([name])), "dead": dead})


def _rule_json(rule: Rule, waiting: dict[str, int]) -> dict[str, Any]:
    return {
        "name": rule.name,
        "enabled": rule.enabled,
        "sources": sorted(rule.sources),
        "actions": [
            {
                "name": action.name,
                "type": action.action.type,
                "target": action.action.target.key,
                "enabled": action.enabled,
                "order_by": action.order_by.text if action.order_by is not None else None,
                **_grouping_json(action.grouping),
            }
            for action in (*rule.actions, *rule.disabled_actions)
        ],
        "for_each": rule.for_each.items.text if rule.for_each is not None else None,
        "stop": rule.stop,
        "responds": rule.respond is not None,
        "digest": rule.digest,
        "waiting": waiting.get(rule.name, 0),
    }


def _grouping_json(grouping: Grouping | None) -> dict[str, Any]:
    latest = grouping if isinstance(grouping, LatestBy) else None
    once = grouping if isinstance(grouping, OnceBy) else None
    return {
        "latest_by": latest.field.text if latest else None,
        "wait_ms": latest.wait_ms if latest else None,
        "max_wait_ms": latest.max_wait_ms if latest else None,
        "once_by": once.field.text if once else None,
        "within_ms": once.within_ms if once else None,
    }


def _check(daemon: DaemonHandle, call: Call) -> Reply:
    if daemon.is_for_reader:
        text = call.body.decode("utf-8", "replace")
        if unread_includes(daemon.ruleset().text, RulesFileText("rules.yaml", text, None), text):
            return problem_reply(403, "this read-only token can't check new entries of include:")
    if not daemon.checking.acquire(timeout=CHECK_WAIT_SECONDS):
        return problem_reply(503, "another check is under way; try again when it has ended", ("Retry-After", "5"))
    try:
        loader = replace(daemon.loader, require_secrets=call.query["require_secrets"] and not daemon.is_for_reader)
        folder = Path(os.path.realpath(daemon.rules))
        folder = folder if folder.is_dir() else folder.parent
        # As in a reload: arriving events keep most of the interpreter's time. The garbage collector pauses until the
        # loaded rules are freed, since it would walk through them all.
        with GC_PAUSED, resting_while_busy(daemon.busy, seconds=CHECK_SECONDS):
            loaded = loader.load(call.body, "rules.yaml", folder, () if daemon.is_for_reader else None)
            problems = daemon.shown_problems(loaded)
            if loaded.ruleset is not None:
                parts = loaded.ruleset.parts()
                del loaded
                let_go(parts)
    except TooLong:
        detail = (
            f"checking this file is more than {CHECK_SECONDS:.0f} s of work; `webhook-router check` has no such limit"
        )
        return problem_reply(422, detail)
    finally:
        daemon.checking.release()
    bad = {Level.ERROR, Level.WARNING} if call.query["strict"] else {Level.ERROR}
    ok = all(problem.level not in bad for problem in problems)
    return json_reply({"ok": ok, "problems": [problem_json(problem) for problem in problems]})


def _test(daemon: DaemonHandle, call: Call) -> Reply:
    request: TestRequest = call.body
    ruleset = daemon.ruleset()
    event = _stored(daemon, request) if request.event is not None else _made(ruleset, request, call.now)
    return (
        event
        if isinstance(event, Reply)
        else previewed(ruleset, event, arriving=request.event is None, explained=request.explain)
    )


def previewed(ruleset: Ruleset, event: Event, *, arriving: bool = False, explained: bool) -> Reply:
    """What the rules would do with an event, and why."""
    try:
        found = preview(ruleset, event, arriving=arriving, explained=explained, most=MAX_EXPLAINED)
    except PayloadError as error:
        return problem_reply(422, f"the payload can't be parsed: {error}; such a request is answered 400")
    return json_reply({**found.as_json(), **unexplained(ruleset, found)})


def unexplained(ruleset: Ruleset, found: Preview | None) -> dict[str, int]:
    """The number of rules that a preview leaves unexplained, if there are any."""
    if found is None or found.explained is None or len(found.explained) < MAX_EXPLAINED:
        return {}
    left = len(ruleset.rules) - len(found.explained)
    return {"unexplained": left} if left > 0 else {}


def _stored(daemon: DaemonHandle, request: TestRequest) -> Event | Reply:
    others = request.model_fields_set - {"event", "explain"}
    if others:
        return body_problem(min(others), "a stored event has its own; remove this, or event")
    event = daemon.store.event(request.event or "")
    if event is not None and event.hidden_size is not None:
        return problem_reply(403, f"the payloads of source {event.source} are hidden from this token")
    return event or body_problem("event", "the store has no event with this id")


def _made(ruleset: Ruleset, request: TestRequest, now: int) -> Event | Reply:
    source = ruleset.source(request.source or "")
    if request.source is None and len(ruleset.sources) == 1:
        source = next(iter(ruleset.sources.values()))
    if source is None:
        known = ruleset.sources
        cure = did_you_mean(request.source or "", known) or f"; expected one of {', '.join(sorted(known)[:20])}"
        return body_problem("source", f"the running rules have no such source{cure}")
    try:
        ipaddress.ip_address(request.ip)
    except ValueError:
        return body_problem("ip", "expected an address, such as 192.0.2.1")
    try:
        source = placed(source, request.params)
    except ValueError as error:
        return body_problem("params", str(error))
    received_at = now if request.received_at is None else unix_ms(request.received_at)
    if received_at is None:
        return body_problem("received_at", "expected a time with its zone, such as 2024-05-01T09:30:00+02:00")
    headers = _pairs(request.headers)
    typed = next((value for name, value in headers if name.lower() == "content-type"), None)
    content_type = request.content_type or (None if typed is not None else "application/json")
    body = _body(request, content_type or typed or "")
    if isinstance(body, Reply):
        return body
    query = urlencode(_pairs(request.query))
    return made_event(
        source, body, headers, query, content_type, round(received_at), method=request.method, ip=request.ip
    )


def _pairs(given: Texts) -> list[tuple[str, str]]:
    return [(name, text) for name, value in given.items() for text in ([value] if isinstance(value, str) else value)]


def _body(request: TestRequest, content_type: str) -> bytes | Reply:
    # `payload` may be null, so its presence counts, not its value.
    given = ["payload" in request.model_fields_set, request.body is not None, request.body_base64 is not None]
    if given.count(True) != 1:
        return body_problem("payload", "give one of payload, body, body_base64 and event")
    if request.body_base64 is not None:
        try:
            return base64.b64decode(request.body_base64, validate=True)
        except (binascii.Error, ValueError):
            return body_problem("body_base64", "expected base64, found other characters")
    if request.body is not None:
        return request.body.encode()
    return body_of(request.payload, content_type)


ENDPOINTS = (
    Endpoint(
        "GET",
        "/api/rules",
        "List the rules that run, in the file's order.",
        _list,
        {200: ResponseSpec("A page of the list.", "RuleList")},
        (LIMITED, CURSOR),
    ),
    Endpoint(
        "GET",
        "/api/rules/{name}",
        "Show a rule that runs.",
        _show,
        {200: ResponseSpec("The rule.", "RuleWithDead")},
        problems={404: "There is no such rule."},
    ),
    Endpoint(
        "POST",
        "/api/rules/check",
        "Check a rules file as if it replaced the running one; run nothing of it.",
        _check,
        {200: ResponseSpec("Every problem, as `check --json` prints them.", "Checked")},
        (flag("strict", "Warnings count as well."), flag("require_secrets", "Unset secrets are errors.")),
        body="yaml",
        reads=True,
        problems={422: "Checking the file is too much work for a running daemon."},
    ),
    Endpoint(
        "POST",
        "/api/rules/test",
        "Show what the running rules would do with a request; execute and verify nothing.",
        _test,
        {200: ResponseSpec("What `test --json` prints, with `--explain` unless that is false.", "Tested")},
        body=TestRequest,
        reads=True,
        problems={422: "The payload can't be parsed."},
    ),
)

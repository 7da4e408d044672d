"""Handles a request by imported rules in this process: verifies it, matches it and runs the command."""

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

from router.daemon.registries import REGISTRIES
from router.domain.action_answer import ActionAnswer
from router.domain.errors import PayloadError
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.networks import is_within, parse_address
from router.domain.request import Inbound
from router.intake.first_answer import reply_of
from router.plugins.scheme import Verified
from router.rules.compile.loader import Loader
from router.rules.compile.respond import RespondFrom
from router.rules.dry_run.preview import PreviewedDelivery, preview
from router.rules.ruleset import Ruleset
from tests.cli.importers.generated_hooks import Request

NOW = 1_700_000_000_000
UNPARSED = "400: the body does not parse as the hook says"
DASH = "dead: an argument would begin with a dash"


def load(rules: Path, secrets: Path) -> Ruleset:
    """Load the rules with the secrets that the import wrote."""
    environ = dict(line.split("=", 1) for line in secrets.read_text().splitlines())
    environ = {name: value.strip("'") for name, value in environ.items()}
    loaded = Loader(REGISTRIES, {**os.environ, **environ}).load_file(rules)
    assert loaded.ruleset is not None, [str(problem) for problem in loaded.problems]
    return loaded.ruleset


def answer(ruleset: Ruleset, request: Request) -> str | None:
    """The output of the hook's program that the sender gets, or None if the hook was not triggered."""
    source = next(source for source in ruleset.sources.values() if source.path == f"/hooks/{request.hook}")
    inbound = Inbound(
        source.name,
        request.method,
        source.path,
        request.query,
        request.headers,
        request.body.encode(),
        "127.0.0.1",
        NOW,
    )
    if request.method not in source.methods or not source.enabled:
        return None
    if source.allow_ips and not is_within(parse_address(inbound.ip), source.allow_ips):
        return None
    verified = source.verifier.verify(inbound, NOW)
    if not isinstance(verified, Verified):
        return None
    seen = verified.inbound
    event = Event(uuid7(NOW), source.name, seen.method, seen.path, seen.query, seen.headers, seen.body, seen.ip, NOW)
    try:
        shown = preview(ruleset, event, arriving=True)
    except PayloadError:
        return UNPARSED
    if not shown.deliveries:
        return None
    (delivery,) = shown.deliveries
    if delivery.does is None:
        assert delivery.error is not None
        return DASH if "begin with a dash" in delivery.error else f"dead: {delivery.error}"
    stdin = ruleset.actions[(delivery.rule, delivery.action)].action.stdin  # type: ignore[attr-defined]
    printed = _run(
        delivery.does["argv"], delivery.does["env"], delivery.does["cwd"], seen.body if stdin == "body" else b""
    )
    return _heard(ruleset, delivery, printed)


def _heard(ruleset: Ruleset, delivery: PreviewedDelivery, printed: bytes) -> str:
    """The part of the program's output that the sender gets."""
    respond = next(rule.respond for rule in ruleset.rules if rule.name == delivery.rule)
    assert isinstance(respond, RespondFrom)
    assert (respond.rule, respond.action) == (delivery.rule, delivery.action)
    return reply_of(respond, ActionAnswer(printed)).body.decode()


def _run(argv: list[str], env: Mapping[str, str], cwd: str, stdin: bytes) -> bytes:
    clean = {"PATH": os.environ["PATH"]}
    done = subprocess.run(argv, env={**clean, **env}, cwd=cwd, input=stdin, capture_output=True, check=True)
    return done.stdout

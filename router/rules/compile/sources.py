"""Compiles the `sources` of a rules file."""

import re
from typing import Any

from router.domain.nearest_word import shortened
from router.domain.own_events import SOURCE
from router.plugins.scheme import Verifier
from router.rules.compile.context import LoadContext
from router.rules.compile.handshakes import joined, load_handshake, load_probes
from router.rules.compile.polled import PATH, SCHEME, PolledService, check_polled_keys, load_poll
from router.rules.compile.redact import load_redact
from router.rules.compile.respond import load_respond
from router.rules.compile.scope import Scope
from router.rules.compile.source_keys import load_dedupe, load_methods, load_networks, load_path, load_path_pattern
from router.rules.compile.verify import load_preset, load_verifier, preset_headers, scheme_headers
from router.rules.redaction import Redaction
from router.rules.source import Source
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import SourceOptions

SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_OFF = "none"


def load_sources(context: LoadContext, node_path: NodePath) -> None:
    """Compile all sources into the context."""
    if not node_path.expect_mapping("source names to their settings"):
        return
    paths = context.source_paths
    for name, below in node_path.entries():
        if not context.define("sources", node_path, name):
            continue
        source = _source(context, node_path, name, below)
        if source is None:
            context.broken_sources.add(name)
            continue
        shape = source.path if source.pattern is None else source.pattern.shape
        if shape in paths and source.poll is None:
            same = "" if source.pattern is None else " (names in braces don't tell paths apart)"
            below.error(f'the path {source.path} belongs to source "{paths[shape]}" already; choose another path{same}')
        paths.setdefault(shape, name)
        context.sources[name] = source


def _source(context: LoadContext, parent: NodePath, name: str, node_path: NodePath) -> Source | None:
    if not SOURCE_NAME.fullmatch(name):
        parent.key_error(name, f'"{shortened(name)}" is not a source name; write up to 64 letters, digits, . _ and -')
        return None
    if name == SOURCE:
        parent.key_note(
            name,
            f'"{SOURCE}" is a source of this file, so no rule can listen to the router\'s own events; for these give '
            f"it another name, and path: {node_path.at('path').data if node_path.has('path') else '/hooks/' + SOURCE}",
        )
    if not node_path.expect_mapping("settings with verify:"):
        return None
    return _polled(context, name, node_path) if node_path.has("poll") else _posted(context, name, node_path)


def _posted(context: LoadContext, name: str, node_path: NodePath) -> Source | None:
    """A source that senders post to."""
    verifier: Verifier | None = None
    defaults: dict[str, Any] = {"verify": _OFF}
    verify: Any = {"scheme": _OFF}
    if node_path.has("verify"):
        verifier, defaults, verify = load_verifier(context, name, node_path.at("verify"))
    else:
        node_path.error(
            "missing verify; write how senders are verified, or verify: none if anybody may send; or poll: URL to ask"
        )
    preset = load_preset(context, node_path)
    defaults |= preset.DEFAULTS if preset is not None else {}
    options = read(node_path, SourceOptions, {**defaults, **node_path.data})
    if options is None:
        return None
    probes = load_probes(context, name, node_path, options, verifier)
    if verifier is None:
        return None
    path = load_path(node_path, options.path or f"/hooks/{name}")
    if not options.enabled:
        node_path.at("enabled").note(f"the source is disabled; requests to {path} are answered 404")
    pattern = load_path_pattern(node_path, path)
    scope = Scope(zone=context.zone, params=frozenset(pattern.names if pattern else ()))
    return Source(
        name=name,
        path=path,
        verifier=verifier,
        enabled=options.enabled,
        scheme=verify["scheme"],
        preset=options.preset,
        signs_decoded=verify.get("over") == "decoded",
        headers=scheme_headers(context, verify) | preset_headers(preset),
        methods=load_methods(node_path, options.methods),
        max_body=options.max_body,
        allow_ips=load_networks(node_path, options.allow_ips),
        dedupe=load_dedupe(node_path, options.dedupe, scope, explicit=node_path.has("dedupe")),
        json_field=options.json_field,
        parse=options.parse,
        keep=options.keep,
        redact=_redact(node_path, options, scope, options.parse),
        show_payloads=options.show_payloads,
        respond=load_respond(node_path.at("respond"), options.respond if options.respond != _OFF else None),
        handshake=joined(load_handshake(context, name, node_path.at("handshake"), options.handshake), probes),
        pattern=pattern,
        settings={**options.model_dump(exclude_none=True), "path": path, "verify": verify},
    )


def _polled(context: LoadContext, name: str, node_path: NodePath) -> Source | None:
    """A source that the router polls."""
    fits = check_polled_keys(node_path)
    given = {key: value for key, value in node_path.data.items() if key != "verify"}
    options = read(node_path, SourceOptions, {"verify": _OFF, **given})
    poll = load_poll(context, name, node_path, options) if options is not None else None
    if poll is None or options is None or not fits:
        return None
    if not options.enabled:
        node_path.at("enabled").note("the source is disabled; it is not polled")
    scope, parse = Scope(zone=context.zone), None if poll.has_items else options.parse
    kept = {"methods", "allow_ips", "verify"}  # keys about senders
    shown = {key: value for key, value in options.model_dump(exclude_none=True).items() if key not in kept}
    return Source(
        name=name,
        path=PATH + name,
        verifier=PolledService(poll.is_encrypted),
        enabled=options.enabled,
        scheme=SCHEME,
        methods=(poll.method,),
        max_body=options.max_body,
        dedupe=load_dedupe(node_path, options.dedupe, scope, explicit=node_path.has("dedupe")),
        parse=parse,
        keep=options.keep,
        redact=_redact(node_path, options, scope, parse),
        show_payloads=options.show_payloads,
        poll=poll,
        settings={**shown, "poll": dict(poll.settings)},
    )


def _redact(node_path: NodePath, options: SourceOptions, scope: Scope, parse: str | None) -> Redaction | None:
    return load_redact(node_path.at("redact"), options.redact, scope, parse) if node_path.has("redact") else None

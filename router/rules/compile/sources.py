"""Compiles the `sources` of a rules file."""

import contextlib
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from pydantic import BaseModel

from router.domain.nearest_word import did_you_mean, shortened
from router.domain.networks import Network, network
from router.domain.own_events import SOURCE
from router.domain.units import seconds
from router.plugins.entry_points import SCHEMES as SCHEMES_GROUP
from router.plugins.handshake import Handshake, HandshakeKind, Handshakes
from router.plugins.preset import SourcePreset
from router.plugins.scheme import Scheme, Verifier
from router.rules.compile.context import LoadContext
from router.rules.compile.field_key import load_field
from router.rules.compile.polled import PATH, SCHEME, PolledService, check_polled_keys, load_poll
from router.rules.compile.redact import load_redact
from router.rules.compile.respond import load_respond
from router.rules.compile.scope import Scope
from router.rules.match.fields import field
from router.rules.path_pattern import PathPattern, path_pattern
from router.rules.source import Dedupe, Source
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import DedupeOptions, SourceOptions

SOURCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_PATH = re.compile(r"/[!-~]*")
_PATTERN = re.compile(r"<[^>]+>|/:[A-Za-z_]|\*")  #: paths with variable parts, as other tools write them
_UNREACHABLE = re.compile(r"//|/\.{1,2}(?:/|$)")  #: paths that servers always answer with 404
METHOD = re.compile(r"[A-Z]{1,20}")
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
    if node_path.has("poll"):
        return _polled(context, name, node_path)
    verifier: Verifier | None = None
    defaults: dict[str, Any] = {"verify": _OFF}
    verify: Any = {"scheme": _OFF}
    if node_path.has("verify"):
        verifier, defaults, verify = _verifier(context, name, node_path.at("verify"))
    else:
        node_path.error(
            "missing verify; write how senders are verified, or verify: none if anybody may send; or poll: URL to ask"
        )
    preset = _preset(context, node_path)
    defaults |= preset.DEFAULTS if preset is not None else {}
    options = read(node_path, SourceOptions, {**defaults, **node_path.data})
    if options is None:
        return None
    probes = _probes(context, name, node_path, options, verifier)
    if verifier is None:
        return None
    path = _path(node_path, options.path or f"/hooks/{name}")
    if not options.enabled:
        node_path.at("enabled").note(f"the source is disabled; requests to {path} are answered 404")
    pattern = _path_pattern(node_path, path)
    scope = Scope(zone=context.zone, params=frozenset(pattern.names if pattern else ()))
    return Source(
        name=name,
        path=path,
        verifier=verifier,
        enabled=options.enabled,
        scheme=verify["scheme"],
        preset=options.preset,
        signs_decoded=verify.get("over") == "decoded",
        headers=_headers(context, verify) | _preset_headers(preset),
        methods=_methods(node_path, options.methods),
        max_body=options.max_body,
        allow_ips=_networks(node_path, options.allow_ips),
        dedupe=_dedupe(node_path, options.dedupe, scope, explicit=node_path.has("dedupe")),
        json_field=options.json_field,
        parse=options.parse,
        keep=options.keep,
        redact=load_redact(node_path.at("redact"), options.redact, scope, options.parse)
        if node_path.has("redact")
        else None,
        show_payloads=options.show_payloads,
        respond=load_respond(node_path.at("respond"), options.respond if options.respond != _OFF else None),
        handshake=_all(_handshake(context, name, node_path.at("handshake"), options.handshake), probes),
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
        dedupe=_dedupe(node_path, options.dedupe, scope, explicit=node_path.has("dedupe")),
        parse=parse,
        keep=options.keep,
        redact=load_redact(node_path.at("redact"), options.redact, scope, parse) if node_path.has("redact") else None,
        show_payloads=options.show_payloads,
        poll=poll,
        settings={**shown, "poll": dict(poll.settings)},
    )


def _verifier(context: LoadContext, name: str, node_path: NodePath) -> tuple[Verifier | None, dict[str, Any], Any]:
    """The verifier, the source's defaults from its scheme, and the settings in force."""
    registries = context.registries
    found = _plugin(
        registries.schemes,
        node_path,
        node_path.data,
        "settings",
        registries.presets,
        partial(registries.broken_plugin, SCHEMES_GROUP),
    )
    if found is None:
        return None, {}, _OFF
    scheme, settings = found
    defaults = dict(scheme.DEFAULTS)
    options = read(node_path, scheme.Options, settings)
    if options is None:
        return None, defaults, _OFF
    if hasattr(scheme, "defaults_of"):  # a scheme whose defaults depend on its options
        defaults = dict(scheme.defaults_of(options))
    build = context.build(name, node_path)
    verifier = scheme.compile(options, build)
    failed = context.report_faults(build, node_path)
    word = node_path.data if isinstance(node_path.data, str) else node_path.data["scheme"]
    return (None if failed else verifier), defaults, {"scheme": word, **_shown(options)}


def _headers(context: LoadContext, verify: Mapping[str, Any]) -> frozenset[str]:
    """Globs of the headers that the scheme's provider sends, in lower case."""
    found: set[str] = set()
    for glob in context.registries.schemes[verify["scheme"]].PROFILE.headers:
        with contextlib.suppress(KeyError):  # the option is not set
            found.add(glob.format_map(verify).lower())
    return frozenset(found)


def _preset(context: LoadContext, node_path: NodePath) -> SourcePreset | None:
    """The preset that the source names besides its verify."""
    name = node_path.data.get("preset")
    if not isinstance(name, str) or not name:
        return None
    presets = context.registries.presets
    if name in presets:
        return presets[name]
    if name in context.registries.schemes:
        cure = f"write verify: {{scheme: {name}, …}}"
        node_path.at("preset").error(f'"{name}" is a scheme, not a preset; {cure}, and remove preset')
    else:
        node_path.at("preset").error(f'unknown preset "{shortened(name)}"{did_you_mean(name, presets)}')
    return None


def _preset_headers(preset: SourcePreset | None) -> frozenset[str]:
    return frozenset(glob.lower() for glob in preset.PROFILE.headers) if preset is not None else frozenset()


def _probes(
    context: LoadContext, name: str, node_path: NodePath, options: SourceOptions, verifier: Verifier | None
) -> Handshake | None:
    explicit = node_path.has("probes")
    at = node_path.at("probes")
    if explicit and options.probes is None:
        at.error(f"expected a list of probes, or none, found {at.found()}")
    if options.probes is None or options.probes == _OFF:
        return None
    if not isinstance(options.probes, list):
        at.error(f"expected a list of probes, or none, found {at.found()}")
        return None
    kind = context.registries.probes
    if explicit:
        found = [read(at.at(i), kind.Options) for i in range(len(options.probes))]
    else:  # the preset sets it, and the tests of presets check it
        found = [kind.Options.model_validate(one) for one in options.probes]
    probes = [one for one in found if one is not None]
    if len(probes) < len(found):
        return None
    place = at if explicit else node_path
    build = context.build(name, place)
    compiled = kind.compile(probes, options.methods, verifier, build)
    if not explicit:
        build.faults[:] = [replace(fault, place=()) for fault in build.faults]
    context.report_faults(build, place)
    return compiled


def _all(*handshakes: Handshake | None) -> Handshake | None:
    found = tuple(one for one in handshakes if one is not None)
    return Handshakes(found) if len(found) > 1 else found[0] if found else None


def _handshake(context: LoadContext, name: str, node_path: NodePath, written: Any) -> Handshake | None:
    if node_path.is_blank:
        node_path.error(f"expected a handshake or none, found {node_path.found()}")
    if written is None or written == _OFF:
        return None
    found = _plugin(context.registries.handshakes, node_path, written, "settings")
    if found is None:
        return None
    kind, settings = found
    options = read(node_path, kind.Options, settings)
    if options is None:
        return None
    build = context.build(name, node_path)
    handshake = kind.compile(options, build)
    context.report_faults(build, node_path)
    return handshake


P = TypeVar("P", bound="Scheme | HandshakeKind")


def _plugin(
    plugins: Mapping[str, P],
    node_path: NodePath,
    written: Any,
    noun: str,
    presets: Mapping[str, SourcePreset] | None = None,
    broken: Callable[[str], str | None] = lambda _: None,
) -> tuple[P, dict[str, Any]] | None:
    """The plugin of `NAME` or `{scheme: NAME, …}`, with its options; None after an error."""
    if isinstance(written, str):
        fields = plugins[written].Options.model_fields if written in plugins else {}
        form = "{env: NAME}"
        needed = [
            f"{key}: {form if 'secret' in key or 'token' in key else '…'}"
            for key, field in fields.items()
            if field.is_required()
        ]
        if needed:
            node_path.error(f"{written} needs {noun}: {{scheme: {written}, {', '.join(needed)}}}")
            return None
        written = {"scheme": written}
    if not isinstance(written, dict):
        node_path.error(f"expected none or a mapping with scheme:, found {node_path.found()}")
        return None
    if "scheme" not in written:
        node_path.error(f"missing scheme; one of {', '.join(sorted(plugins))}")
        return None
    word = written["scheme"]
    if not isinstance(word, str) or word not in plugins:
        cure = did_you_mean(str(word), plugins)
        if presets and isinstance(word, str) and word in presets:
            cure = f"; {word} signs nothing: write preset: {word} beside a verify of your choice"
        broken_plugin = broken(word) if isinstance(word, str) else None
        node_path.at("scheme").error(broken_plugin or f'unknown scheme "{shortened(str(word))}"{cure}')
        return None
    return plugins[word], {key: value for key, value in written.items() if key != "scheme"}


def _shown(options: BaseModel) -> dict[str, Any]:
    """The options for display. A secret shows as its origin, without its value."""
    return options.model_dump(exclude_none=True)


def _path(node_path: NodePath, path: str) -> str:
    if not _PATH.fullmatch(path) or "?" in path or "#" in path or "%" in path:
        node_path.at("path").error("expected an absolute path of plain ASCII such as /hooks/github, without ?, # and %")
    elif path.startswith("/-/"):
        node_path.at("path").error("paths below /-/ belong to the daemon itself; choose another")
    elif _UNREACHABLE.search(path):
        node_path.at("path").warn(
            "no request reaches this path: empty, . and .. segments are answered 404, since a proxy may take such a "
            "path for another one; write it without them"
        )
    elif _PATTERN.search(path):
        node_path.at("path").warn(
            f"this is not a pattern: only a request to exactly {path} reaches this source; "
            "write {name} for a part that varies; rules read it as params.name"
        )
    return path


def _path_pattern(node_path: NodePath, path: str) -> PathPattern | None:
    try:
        return path_pattern(path)
    except ValueError as error:
        node_path.at("path").error_unless_recorded(str(error))
        return None


def _methods(node_path: NodePath, methods: list[str]) -> tuple[str, ...]:
    for i, method in enumerate(methods):
        if not METHOD.fullmatch(method):
            node_path.at("methods", i).error(
                f'expected an HTTP method in capitals such as POST, found "{shortened(method)}"'
            )
    return tuple(dict.fromkeys(methods))


def _networks(node_path: NodePath, texts: list[str]) -> tuple[Network, ...]:
    networks: list[Network] = []
    for i, text in enumerate(texts):
        try:
            networks.append(network(text))
        except ValueError as error:
            node_path.at("allow_ips", i).error(f"expected an address or a network such as 10.0.0.0/8: {error}")
    if node_path.has("allow_ips") and not texts:
        node_path.at("allow_ips").error("an empty list lets nobody in; remove it to let every address in")
    return tuple(networks)


def _dedupe(node_path: NodePath, written: Any, scope: Scope, *, explicit: bool) -> Dedupe | None:
    if written is None and explicit:
        node_path.at("dedupe").error(
            f"expected a field, {{key, window}} or none, found {node_path.at('dedupe').found()}"
        )
    if written is None or written == _OFF:
        return None
    at = node_path.at("dedupe") if explicit else node_path
    if isinstance(written, str):
        key = load_field(at, written, scope)
        return Dedupe(key, DedupeOptions(key=written).window) if key else None
    if not isinstance(written, dict):
        at.error(f"expected a field, {{key, window}} or none, found {at.found()}")
        return None
    if not explicit:  # the scheme sets it, and its tests check it
        return Dedupe(field(written["key"]), seconds(written["window"]))
    options = read(at, DedupeOptions)
    key = load_field(at.at("key"), options.key, scope) if options else None
    return Dedupe(key, options.window) if options and key else None

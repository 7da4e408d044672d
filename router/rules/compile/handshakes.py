"""Compiles `probes` and `handshake` of a source: what is answered at once, and is no event."""

from dataclasses import replace
from typing import Any

from router.plugins.handshake import Handshake, Handshakes
from router.plugins.scheme import Verifier
from router.rules.compile.context import LoadContext
from router.rules.compile.named_plugin import named_plugin
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import SourceOptions

_OFF = "none"


def load_probes(
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


def joined(*handshakes: Handshake | None) -> Handshake | None:
    found = tuple(one for one in handshakes if one is not None)
    return Handshakes(found) if len(found) > 1 else found[0] if found else None


def load_handshake(context: LoadContext, name: str, node_path: NodePath, written: Any) -> Handshake | None:
    if node_path.is_blank:
        node_path.error(f"expected a handshake or none, found {node_path.found()}")
    if written is None or written == _OFF:
        return None
    found = named_plugin(context.registries.handshakes, node_path, written, "settings")
    if found is None:
        return None
    kind, settings = found
    options = read(node_path, kind.Options, settings)
    if options is None:
        return None
    build = context.build(name, node_path)
    handshake: Handshake | None = kind.compile(options, build)
    context.report_faults(build, node_path)
    return handshake

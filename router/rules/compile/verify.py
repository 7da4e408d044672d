"""Compiles `verify` and `preset` of a source: who verifies its senders, and what the provider sends."""

import contextlib
from collections.abc import Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel

from router.domain.nearest_word import did_you_mean, shortened
from router.plugins.entry_points import SCHEMES as SCHEMES_GROUP
from router.plugins.preset import SourcePreset
from router.plugins.scheme import Verifier
from router.rules.compile.context import LoadContext
from router.rules.compile.named_plugin import named_plugin
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath

_OFF = "none"


def load_verifier(context: LoadContext, name: str, node_path: NodePath) -> tuple[Verifier | None, dict[str, Any], Any]:
    """The verifier, the source's defaults from its scheme, and the settings in force."""
    registries = context.registries
    found = named_plugin(
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


def scheme_headers(context: LoadContext, verify: Mapping[str, Any]) -> frozenset[str]:
    """Globs of the headers that the scheme's provider sends, in lower case."""
    found: set[str] = set()
    for glob in context.registries.schemes[verify["scheme"]].PROFILE.headers:
        with contextlib.suppress(KeyError):  # the option is not set
            found.add(glob.format_map(verify).lower())
    return frozenset(found)


def load_preset(context: LoadContext, node_path: NodePath) -> SourcePreset | None:
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


def preset_headers(preset: SourcePreset | None) -> frozenset[str]:
    return frozenset(glob.lower() for glob in preset.PROFILE.headers) if preset is not None else frozenset()


def _shown(options: BaseModel) -> dict[str, Any]:
    """The options for display. A secret shows as its origin, without its value."""
    return options.model_dump(exclude_none=True)

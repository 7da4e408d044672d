"""Finds the plugin that a key names: `NAME`, or `{scheme: NAME, …}`."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from router.domain.nearest_word import did_you_mean, shortened
from router.plugins.handshake import HandshakeKind
from router.plugins.preset import SourcePreset
from router.plugins.scheme import Scheme
from router.rules.yaml.node_path import NodePath

P = TypeVar("P", bound="Scheme | HandshakeKind")


def named_plugin(
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

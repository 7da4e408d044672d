"""The starters of presets: made from their data, for providers without a starter written by hand."""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any

from router.cli.starters.library import Starter, starters
from router.intake.verify.preset import Preset, presets

_KEYS = {"hex": '"$(openssl rand -hex 32)"', "base64": '"$(openssl rand -base64 32)"'}
_WITHOUT_SECRET = ("sns", "paypal-certificate")
_ONLY_THE_PROVIDER_SIGNS = ("ecdsa", "jwt", "sns", "paypal-certificate")


@cache
def all_starters() -> dict[str, Starter]:
    """All starters by name: those written by hand, then those of the other presets."""
    written = starters()
    made = {name: preset_starter(preset) for name, preset in sorted(presets().items()) if name not in written}
    return {**written, **made}


def preset_starter(preset: Preset) -> Starter:
    """The starter of a preset."""
    name = preset.name
    text = preset.setup.replace("`", "").replace("*", "")
    sources = "".join(f"  # {line}\n" for line in _wrapped(f"At the provider: {text}."))
    sources += f"  # The address to enter: https://hooks.example.com/hooks/{name}\n"
    sources += f"  {name}:\n" + "".join(f"    {line}\n" for line in source_lines(preset))
    rules = f"  # Every event leaves a line in a file.\n  - name: {name}-event\n    source: {name}\n    actions:\n"
    rules += f"      - append: out/{name}.jsonl\n"
    rules += f'      # - forward: "http://127.0.0.1:9000/{name}"\n'
    return Starter(name, preset.title, _secret(preset), _trial(preset), sources, rules)


def source_lines(preset: Preset) -> list[str]:
    """The lines of the source in a rules file."""
    if preset.scheme is None:
        return [f"preset: {preset.name}", f"verify: {preset.example_verify}"]
    options = {"scheme": preset.name, **preset.example}
    if _secret_name(preset):
        options["secret"] = {"env": _secret_name(preset)}
    line = f"verify: {flow(options)}"
    if len(line) <= 110:
        return [line]
    return ["verify:", *(f"  {key}: {flow(value)}" for key, value in options.items())]


def flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(one)}" for key, one in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(one) for one in value) + "]"
    text = str(value)
    is_plain = isinstance(value, str) and text.replace("-", "").replace("_", "").replace(".", "").isalnum()
    return text if is_plain else json.dumps(value, ensure_ascii=False)


def _secret_name(preset: Preset) -> str:
    if preset.scheme in _WITHOUT_SECRET or "jwks" in {**preset.options, **preset.example}:
        return ""
    kind = "PUBLIC_KEY" if preset.scheme == "ecdsa" else "SECRET"
    return f"{preset.name.upper().replace('-', '_')}_{kind}"


def _secret(preset: Preset) -> str:
    if preset.scheme is None:
        name = preset.example_verify.partition("env: ")[2].partition("}")[0]
        return f'export {name}="$(openssl rand -hex 32)"'
    name = _secret_name(preset)
    if not name:
        return ""
    if preset.scheme == "ecdsa":
        return f"export {name}=…   # as the provider shows it"
    if preset.scheme == "standard-webhooks":
        return f'export {name}="whsec_$(openssl rand -base64 32)"   # or as the provider shows it'
    key = _KEYS[str(preset.options.get("key", "hex"))]
    return f"export {name}={key}   # or as the provider shows it"


def _trial(preset: Preset) -> str:
    echo = """echo '{"hello": "world"}' |"""
    if preset.scheme in _ONLY_THE_PROVIDER_SIGNS and not _can_sign(preset):
        return f"{echo} webhook-router test rules.yaml --source {preset.name} --payload -"
    return f"{echo} webhook-router send - --source {preset.name}"


def _can_sign(preset: Preset) -> bool:
    return preset.scheme == "jwt" and bool(_secret_name(preset))


def _wrapped(text: str) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > 108:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return lines

"""Writes the presets into docs/sources.md, between its two marks: `python contrib/sources_page.py`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router.cli.starters.preset_starters import flow, source_lines
from router.intake.verify.preset import Preset, presets

PAGE = Path(__file__).parents[1] / "docs" / "sources.md"
BEGIN = "<!-- presets: written by contrib/sources_page.py from router/intake/verify/presets.yaml -->\n"
END = "<!-- /presets -->\n"
WIDTH = 140


def with_presets(page: str) -> str:
    """The page with the presets as they are now."""
    before, _, rest = page.partition(BEGIN)
    return before + BEGIN + presets_text(presets()) + END + rest.partition(END)[2]


def presets_text(known: Mapping[str, Preset]) -> str:
    """The table of all presets, and a section for each."""
    ordered = [known[name] for name in sorted(known)]
    rows = "".join(
        f"| [`{one.name}`](#{one.name}) | {one.title} | {_verified(one)} | {_vector(one)} |\n" for one in ordered
    )
    table = f"\n| preset | provider | verified by | test vector |\n|---|---|---|---|\n{rows}"
    return table + "".join(_section(one) for one in ordered) + "\n"


def _verified(preset: Preset) -> str:
    return f"`{preset.scheme}`" if preset.scheme else "your own `verify`"


def _vector(preset: Preset) -> str:
    return str(preset.vector["origin"]) if preset.vector else "none"


def _section(preset: Preset) -> str:
    source = "\n".join(f"    {line}" for line in source_lines(preset))
    parts = [f"{preset.title}. {preset.setup}.", f"```yaml\nsources:\n  {preset.name}:\n{source}\n```"]
    if preset.options:
        parts.append(f"Means `{flow({'scheme': preset.scheme, **preset.options})}`.")
    sets = {key: value for key, value in preset.source.items() if key != "probes"}
    if sets:
        parts.append("Sets " + ", ".join(f"`{key}: {flow(value)}`" for key, value in sets.items()) + ".")
    parts += [f"Answers `{flow(probe)}`." for probe in preset.source.get("probes", ())]
    parts.append(f"Unsigned: {preset.uncovered}. In rules test {preset.ask} instead.")
    if preset.notes:
        parts.append(preset.notes)
    parts.append(f"From the documentation of {preset.date}: <{preset.page}>.")
    return f"\n### {preset.name}\n" + "\n".join(_wrapped(part) for part in parts) + "\n"


def _wrapped(text: str) -> str:
    if text.startswith("```"):
        return text
    lines = [""]
    for word in text.split(" "):
        if lines[-1] and len(lines[-1]) + len(word) >= WIDTH:
            lines.append("")
        lines[-1] += (" " if lines[-1] else "") + word
    return "\n".join(lines)


def main(*_: Any) -> None:
    """Write the page."""
    PAGE.write_text(with_presets(PAGE.read_text()))


if __name__ == "__main__":
    main()

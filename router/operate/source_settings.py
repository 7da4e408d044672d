"""What sources say of how long their events stay and who sees them: for the daemon's note, which `status` shows."""

import math
from collections.abc import Mapping
from typing import Any

from router.operate.words import span
from router.rules.ruleset import Ruleset


def source_settings(ruleset: Ruleset) -> dict[str, dict[str, Any]]:
    """By source, those of `keep` (seconds, or "forever"), `redact` (fields) and `show_payloads` that differ from the
    defaults. Sources without any are left out."""
    found: dict[str, dict[str, Any]] = {}
    for name, source in ruleset.sources.items():
        settings: dict[str, Any] = {}
        if source.keep is not None:
            settings["keep"] = "forever" if math.isinf(source.keep) else source.keep
        if source.redact is not None:
            settings["redact"] = sorted(source.redact.fields)
        if not source.show_payloads:
            settings["show_payloads"] = False
        if settings:
            found[name] = settings
    return found


def settings_words(settings: Mapping[str, Any]) -> list[str]:
    """One source's settings in words. What an unreadable note holds is left out."""
    words = []
    keep, redact = settings.get("keep"), settings.get("redact")
    if isinstance(keep, int | float) and math.isfinite(keep):
        words.append(f"keeps events {span(round(keep * 1000))}")
    elif keep == "forever":
        words.append("keeps events forever")
    if isinstance(redact, list) and redact:
        shown = ", ".join(str(field) for field in redact[:_SHOWN])
        more = f" and {len(redact) - _SHOWN} more" if len(redact) > _SHOWN else ""
        words.append(f"redacts {shown}{more}")
    if settings.get("show_payloads") is False:
        words.append("hides payloads from who may only read")
    return words


_SHOWN = 3  #: fields that are named; the rules name all

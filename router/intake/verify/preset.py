"""Presets: facts about providers, as data in presets.yaml.

A preset with a `scheme` can be named like a scheme: it is that scheme, with the provider's options as defaults. A
preset without one is for providers that sign nothing: the source has `preset: NAME` beside its own `verify`.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache, cached_property
from importlib import resources
from typing import Any

import yaml
from pydantic import create_model
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from router.intake.verify.message import signed_words
from router.plugins.build import Build
from router.plugins.options import Options
from router.plugins.scheme import Scheme, SenderProfile, Verifier

_NAME_LINE = re.compile(r"^([a-z0-9-]+):$", re.MULTILINE)  #: the first line of a preset
_STRENGTH = ("sha1", "sha256", "sha512")
_YAML_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # ten times as fast, if PyYAML was built with it


@dataclass(frozen=True)
class Preset:
    """One provider, from presets.yaml."""

    name: str
    title: str  #: the provider, and what it sends
    page: str  #: the address of its documentation
    date: str  #: the date of the documentation that was followed
    setup: str  #: what to enter at the provider
    scheme: str | None = None  #: None: its requests can't be verified
    options: Mapping[str, Any] = field(default_factory=dict)  #: defaults of the scheme's options
    example: Mapping[str, Any] = field(default_factory=dict)  #: options that the file must give, such as url
    example_verify: str = ""  #: without a scheme: a `verify` that its senders can pass
    source: Mapping[str, Any] = field(default_factory=dict)  #: defaults of the source's keys
    event: str | None = None  #: the header with the kind of the event
    ids: tuple[str, ...] = ()  #: headers with an id of the delivery
    form: bool = False  #: it sends forms
    headers: tuple[str, ...] = ()  #: globs of its headers that forwards pass on
    uncovered: str = ""  #: what its signature does not cover, so that rules should not rely on it
    ask: str = ""  #: what rules should rely on instead
    notes: str = ""
    vector: Mapping[str, Any] | None = None  #: a request that the preset verifies, and where it comes from

    @property
    def DEFAULTS(self) -> Mapping[str, Any]:  # noqa: N802 - as in Scheme
        """Keys of the source that the preset sets."""
        return self.source

    @property
    def PROFILE(self) -> SenderProfile:  # noqa: N802 - as in Scheme
        """What the provider sends."""
        return SenderProfile(self.event, self.ids, self.form, self.headers)


@dataclass(frozen=True)
class PresetScheme:
    """The scheme of a preset that verifies."""

    preset: Preset
    base: Scheme

    @property
    def DEFAULTS(self) -> Mapping[str, Any]:  # noqa: N802 - see Scheme
        """See Scheme.DEFAULTS."""
        return {**self.base.DEFAULTS, **self.preset.DEFAULTS}

    @property
    def PROFILE(self) -> SenderProfile:  # noqa: N802 - see Scheme
        """See Scheme.PROFILE."""
        own = self.preset.PROFILE
        return SenderProfile(own.event, own.ids, own.form, (*own.headers, *self.base.PROFILE.headers))

    @cached_property
    def Options(self) -> type[Options]:  # noqa: N802 - see Scheme
        """The base's model, with the provider's options as defaults."""
        fields: dict[str, Any] = {}
        for key, value in self.preset.options.items():
            known = self.base.Options.model_fields[key]
            fields[key] = (known.annotation, _with_default(known, value))
        name = self.preset.name.title().replace("-", "")
        return create_model(f"{name}Options", __base__=self.base.Options, __doc__=self.preset.title, **fields)

    def compile(self, options: Any, build: Build) -> Verifier:
        """See Scheme.compile. Keys of the file override the preset's, but none may make the signature cover less."""
        for key, message in self._weakened(options):
            build.fault(message, key)
        return self.base.compile(options, build)

    def _weakened(self, options: Any) -> list[tuple[str, str]]:
        """Keys of the file that would make the signature cover less or easier to forge, with messages."""
        name, found = self.preset.name, list[tuple[str, str]]()
        known = {key: field.default for key, field in self.Options.model_fields.items()}
        if "signed" in known:
            own = options.signed if options.signed is not None else "{body}"
            left_out = signed_words(known["signed"] or "{body}") - signed_words(own)
            if left_out:
                words = ", ".join(sorted(left_out))
                found.append(("signed", f"{name} signs {words} too; a preset's signed can't be weakened"))
        if known.get("algorithm") in _STRENGTH:
            usual = known["algorithm"]
            if _STRENGTH.index(options.algorithm) < _STRENGTH.index(usual):
                found.append(("algorithm", f"{name} signs by {usual}; a weaker hash can't be chosen"))
        for key in _NEEDED:
            if self.preset.options.get(key) is not None and getattr(options, key) is None:
                found.append((key, f"{name} needs {key}"))
        return found


_NEEDED = ("body_hash", "timestamp_header", "parts")


def _with_default(known: FieldInfo, value: Any) -> FieldInfo:
    made = FieldInfo.merge_field_infos(known, default=value, validate_default=True)
    if made.default is PydanticUndefined:
        raise AssertionError("a preset's option has a default")
    return made


class Presets(Mapping[str, Preset]):
    """All presets by name. Each is read at its first use, since a start needs few of them."""

    def __init__(self, text: str) -> None:
        starts = [(found[1], found.start()) for found in _NAME_LINE.finditer(text)]
        ends = [start for _, start in starts[1:]] + [len(text)]
        self._texts = {name: text[start:end] for (name, start), end in zip(starts, ends, strict=True)}
        self._read: dict[str, Preset] = {}

    def __getitem__(self, name: str) -> Preset:
        if name not in self._read:
            given = yaml.load(self._texts[name], _YAML_LOADER)[name]  # noqa: S506 - a safe loader, of our own file
            lists = {key: tuple(given[key]) for key in ("ids", "headers") if key in given}
            self._read[name] = Preset(name=name, **{**given, **lists})
        return self._read[name]

    def __contains__(self, name: object) -> bool:
        return name in self._texts

    def __iter__(self) -> Iterator[str]:
        return iter(self._texts)

    def __len__(self) -> int:
        return len(self._texts)


@cache
def presets() -> Presets:
    """Every preset, in the order of the file."""
    return Presets(resources.files("router.intake.verify").joinpath("presets.yaml").read_text("utf-8"))

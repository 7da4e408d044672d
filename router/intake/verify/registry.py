"""The verification schemes that sources may name: one module and one line here for each. Also the presets of
providers."""

from collections.abc import Iterator, Mapping

from router.intake.verify import (
    basic,
    bearer,
    discord,
    ecdsa,
    gitlab,
    hmac,
    jwt,
    none,
    paypal,
    sns,
    standard_webhooks,
    token,
    twilio,
)
from router.intake.verify.preset import Preset, PresetScheme, presets
from router.plugins.entry_points import SCHEMES as SCHEMES_GROUP
from router.plugins.entry_points import find
from router.plugins.foreign import fit_scheme
from router.plugins.scheme import Scheme

BASE_SCHEMES: dict[str, Scheme] = {
    "standard-webhooks": standard_webhooks,
    "gitlab": gitlab,
    "twilio": twilio,
    "discord": discord,
    "hmac": hmac,
    "ecdsa": ecdsa,
    "jwt": jwt,
    "sns": sns,
    "paypal-certificate": paypal,
    "basic": basic,
    "bearer": bearer,
    "token": token,
    "none": none,
}


PLUGINS = find(SCHEMES_GROUP, lambda: {*BASE_SCHEMES, *presets()}, fit_scheme)


class Schemes(Mapping[str, Scheme]):
    """All schemes by name: the base schemes, then the presets that verify, then plugins."""

    def __init__(self) -> None:
        self._made: dict[str, Scheme] = {}

    def __getitem__(self, name: str) -> Scheme:
        if name in BASE_SCHEMES:
            return BASE_SCHEMES[name]
        if name in PLUGINS.usable:
            return PLUGINS.usable[name]
        if name not in self._made:
            preset = presets()[name]
            if preset.scheme is None:
                raise KeyError(name)
            self._made[name] = PresetScheme(preset, BASE_SCHEMES[preset.scheme])
        return self._made[name]

    def __iter__(self) -> Iterator[str]:
        yield from BASE_SCHEMES
        yield from (name for name, preset in presets().items() if preset.scheme is not None)
        yield from PLUGINS.usable

    def __len__(self) -> int:
        return sum(1 for _ in self)


class UnverifiedPresets(Mapping[str, Preset]):
    """The presets of providers that can't be verified, by name."""

    def __getitem__(self, name: str) -> Preset:
        preset = presets()[name]
        if preset.scheme is not None:
            raise KeyError(name)
        return preset

    def __iter__(self) -> Iterator[str]:
        return (name for name, preset in presets().items() if preset.scheme is None)

    def __len__(self) -> int:
        return sum(1 for _ in self)


SCHEMES: Mapping[str, Scheme] = Schemes()
PRESETS: Mapping[str, Preset] = UnverifiedPresets()

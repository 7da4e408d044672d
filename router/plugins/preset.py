"""The interface of presets for providers whose requests can't be verified."""

from collections.abc import Mapping
from typing import Any, Protocol

from router.plugins.scheme import SenderProfile


class SourcePreset(Protocol):
    """A provider's defaults. The file must say `verify` itself."""

    @property
    def DEFAULTS(self) -> Mapping[str, Any]:  # noqa: N802 - as in Scheme
        """Defaults for keys of the source, as written in YAML."""
        ...

    @property
    def PROFILE(self) -> SenderProfile:  # noqa: N802 - as in Scheme
        """What the provider sends."""
        ...

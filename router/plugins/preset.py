"""What a preset offers for a provider whose requests can't be verified."""

from collections.abc import Mapping
from typing import Any, Protocol

from router.plugins.scheme import SenderProfile


class SourcePreset(Protocol):
    """The habits of a provider, beside a `verify` that the file has to say."""

    @property
    def DEFAULTS(self) -> Mapping[str, Any]:  # noqa: N802 - as in Scheme
        """Keys of the source that it sets unless the file does, as written in YAML."""
        ...

    @property
    def PROFILE(self) -> SenderProfile:  # noqa: N802 - as in Scheme
        """What the provider sends."""
        ...

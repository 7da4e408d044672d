"""The plugins that a rules file may name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from router.domain.secrets import Secret
from router.plugins.action import ActionKind
from router.plugins.handshake import HandshakeKind
from router.plugins.scheme import Scheme


@dataclass(frozen=True, slots=True)
class Registries:
    """The plugins that a rules file may name; `app` hands them to the loader."""

    actions: Mapping[str, ActionKind]
    schemes: Mapping[str, Scheme]
    handshakes: Mapping[str, HandshakeKind]
    check_target_url: Callable[[str, Mapping[str, Secret]], list[str]]
    """What is wrong with the url of a named target: messages with the cure; none when it is fine."""

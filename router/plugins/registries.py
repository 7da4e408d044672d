"""The plugins that a rules file may name."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from router.domain.outcomes import Cause
from router.domain.secrets import Secret
from router.plugins.action import ActionType
from router.plugins.build import Build
from router.plugins.connection import ConnectionOptions
from router.plugins.entry_points import InstalledPlugin
from router.plugins.handshake import HandshakeKind, ProbeKind
from router.plugins.poll import PollKind
from router.plugins.preset import SourcePreset
from router.plugins.scheme import Scheme


@dataclass(frozen=True, slots=True)
class Registries:
    """The plugins that a rules file may name. The daemon and the commands give them to the loader."""

    actions: Mapping[str, ActionType]
    schemes: Mapping[str, Scheme]
    handshakes: Mapping[str, HandshakeKind]
    probes: ProbeKind
    polls: PollKind
    presets: Mapping[str, SourcePreset]  #: presets of providers that can't be verified
    plugins: Sequence[InstalledPlugin] = ()  #: plugins of other packages

    def danger(self, type_name: str) -> str | None:
        """See ActionType.danger. None for a type that is no longer installed."""
        return self.actions[type_name].danger if type_name in self.actions else None

    def broken_plugin(self, group: str, name: str) -> str | None:
        """Why the plugin of that name can't be used; None if there is no such plugin."""
        broken = (one for one in self.plugins if one.group == group and one.name == name and one.error)
        return next((one.sentence() for one in broken), None)

    @property
    def target_causes(self) -> tuple[Cause, ...]:
        """The causes by which actions that go to named targets can fail."""
        found = (cause for one in self._with_targets() for cause in one.causes)
        return tuple(dict.fromkeys(found))

    def target_url_faults(self, url: str, secrets: Mapping[str, Secret]) -> list[str]:
        """What is wrong with the url of a named target: messages with the cure, empty when it is right."""
        found = (
            fault
            for one in self._with_targets()
            if one.check_target_url
            for fault in one.check_target_url(url, secrets)
        )
        return list(dict.fromkeys(found))

    def compile_connection(self, options: ConnectionOptions, build: Build) -> Any:
        """Compile auth, tls and proxy of a named target; faults go to the build."""
        return next(
            (one.compile_connection(options, build) for one in self._with_targets() if one.compile_connection), None
        )

    def broken_connection(self, reason: str) -> Any:
        """A connection whose attempts all fail with this reason."""
        return next((one.broken_connection(reason) for one in self._with_targets() if one.broken_connection), None)

    @property
    def confidential_keys(self) -> frozenset[str]:
        """Keys of actions whose values messages don't show."""
        return frozenset(key for one in self.actions.values() for key in one.confidential_keys)

    def _with_targets(self) -> list[ActionType]:
        return [one for one in self.actions.values() if one.check_target_url is not None]

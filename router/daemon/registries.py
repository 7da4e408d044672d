"""The action types, schemes, handshakes, probes and presets that this program has."""

from router.actions.registry import ACTIONS
from router.actions.registry import PLUGINS as action_plugins  # noqa: N811 - one of two
from router.intake.handshake.registry import HANDSHAKES
from router.intake.poll import kind as polls
from router.intake.probe import kind as probes
from router.intake.verify.registry import PLUGINS as scheme_plugins  # noqa: N811 - one of two
from router.intake.verify.registry import PRESETS, SCHEMES
from router.plugins.registries import Registries

REGISTRIES = Registries(
    ACTIONS, SCHEMES, HANDSHAKES, probes, polls, PRESETS, (*action_plugins.installed, *scheme_plugins.installed)
)

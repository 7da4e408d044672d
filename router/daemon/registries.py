"""The action types, schemes and handshakes that this program has."""

from router.actions.registry import ACTIONS
from router.intake.handshake.registry import HANDSHAKES
from router.intake.verify.registry import SCHEMES
from router.plugins.registries import Registries

REGISTRIES = Registries(ACTIONS, SCHEMES, HANDSHAKES)

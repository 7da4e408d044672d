"""The handshakes that sources may name: one module and one line here for each."""

from router.intake.handshake import discord, meta, slack, sns
from router.plugins.handshake import HandshakeKind

HANDSHAKES: dict[str, HandshakeKind] = {"slack": slack, "meta": meta, "discord": discord, "sns": sns}

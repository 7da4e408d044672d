"""What the rules file may say of probes: the names that the loader uses."""

from router.intake.probe.options import ProbeOptions as Options
from router.intake.probe.probes import compile_probes as compile  # noqa: A004 - the name that plugins have

__all__ = ["Options", "compile"]

"""The names that the loader needs to compile probes."""

from router.intake.probe.options import ProbeOptions as Options
from router.intake.probe.probes import compile_probes as compile  # noqa: A004 - the name that plugins have

__all__ = ["Options", "compile"]

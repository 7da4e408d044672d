"""What the daemon was started with. The processes that it starts get the same."""

from dataclasses import dataclass

from router.daemon.processes.start import Logging
from router.daemon.settings import Settings
from router.observe.logging.setup import LineLogger


@dataclass(frozen=True, slots=True)
class Launch:
    """One start of the daemon."""

    settings: Settings
    environ: dict[str, str]
    logging: Logging  #: how it logs
    lines: LineLogger  #: takes the log's lines, also those of its processes

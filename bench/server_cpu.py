"""The processor time of a PostgreSQL server: on a busy machine it says more than the time on the clock."""

import os
from pathlib import Path


def server_cpu(process: int) -> float:
    """Seconds that the server's processes which run now have used so far."""
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    return sum(_ticks(one) for one in (str(process), *children)) / os.sysconf("SC_CLK_TCK")


def _ticks(process: str) -> int:
    try:
        fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:  # it ended
        return 0
    return int(fields[11]) + int(fields[12])

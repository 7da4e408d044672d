"""What was answered 202 survives kill -9 and stops, is delivered, in order, and by one owner at a time."""

from functools import partial
from pathlib import Path

from tests.acceptance.crash_checks import CrashChecks
from tests.acceptance.crash_run import CrashRun

KILLS = 5


def test_kills_and_stops_under_load_lose_no_accepted_event(tmp_path: Path) -> None:
    ordeal = CrashRun(tmp_path, seed=1)
    try:
        for number in range(KILLS):
            ordeal.live(partial(ordeal.acknowledged, ordeal.chance.randrange(20, 120)), kill=number != 2)
        ordeal.die_young(0.4)
        ordeal.live(ordeal.intrude, kill=True)
        ordeal.live(ordeal.settle_all, kill=False)
    finally:
        ordeal.finish()

    verdict = CrashChecks(ordeal)

    assert not verdict.faults, "\n".join(verdict.faults[:20])
    assert verdict.counts["loose: interrupted"] + verdict.counts["ordered: interrupted"] > 0  # the kills did hit

"""Events answered 202 survive kill -9 and stops. They are delivered in order, by one owner at a time."""

from functools import partial
from pathlib import Path

from tests.acceptance.crash_checks import CrashChecks
from tests.acceptance.crash_run import CrashRun
from tests.conftest import THOROUGH

ROUNDS = 3 * THOROUGH  #: of load that a kill ends; the last ends with a stop


def test_kills_and_stops_under_load_lose_no_accepted_event(tmp_path: Path) -> None:
    run = CrashRun(tmp_path, seed=1)
    try:
        for number in range(ROUNDS):
            run.run_daemon(partial(run.wait_for_answers, run.random.randrange(20, 120)), kill=number != ROUNDS - 1)
        run.kill_during_start(0.4)
        run.run_daemon(run.start_second_owner, kill=True)
        run.run_daemon(run.wait_until_settled, kill=False)
    finally:
        run.close()

    checks = CrashChecks(run)

    assert not checks.problems, "\n".join(checks.problems[:20])
    assert (
        checks.counts["loose: interrupted"] + checks.counts["ordered: interrupted"] > 0
    )  # the kills interrupted attempts

"""Accepted events survive kill -9 and stops of the daemon. They are delivered in order, by one owner at a time."""

from functools import partial
from pathlib import Path

import pytest

from tests.acceptance.crash_checks import CrashChecks
from tests.acceptance.crash_run import CrashRun
from tests.conftest import THOROUGH

ROUNDS = 3 * THOROUGH  #: runs under load that end by a kill; the last one ends by a stop


@pytest.mark.parametrize(("processes", "rounds"), [(1, ROUNDS), (2, 2)])
def test_kills_and_stops_under_load_lose_no_accepted_event(tmp_path: Path, processes: int, rounds: int) -> None:
    run = CrashRun(tmp_path, 1, processes)
    try:
        if processes > 1:
            answered = partial(run.wait_for_answers, 30)
            run.run_daemon(partial(run.kill_processes, 4, answered), kill=True)
        for number in range(rounds):
            run.run_daemon(partial(run.wait_for_answers, run.random.randrange(20, 70)), kill=number != rounds - 1)
        run.kill_during_start(0.4)
        run.run_daemon(run.start_second_owner, kill=True)
        run.run_daemon(run.wait_until_settled, kill=False)
    finally:
        run.close()

    checks = CrashChecks(run)

    assert not checks.problems, "\n".join(checks.problems[:20])
    assert (run.killed_processes > 0) == (processes > 1)
    assert (
        checks.counts["loose: interrupted"] + checks.counts["ordered: interrupted"] > 0
    )  # the kills interrupted attempts

"""The guard kills all programs when the daemon's lease ends, also when the daemon is frozen or killed."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.actions.command import guard_process
from router.actions.command.guard import Guard
from router.actions.registry import ACTIONS
from router.domain.outcomes import Outcome, OutcomeKind
from router.plugins.action import Action, AttemptInput, Tools
from router.runtime.lease import Lease, lease_clock
from router.runtime.thread_pool import open_threads

Act = Callable[..., Action]
Job = Callable[..., AttemptInput]


def _sleeper() -> "subprocess.Popen[bytes]":
    """A program in a process group of its own, with a child process. Its output is a pipe."""
    return subprocess.Popen(
        ["/bin/sh", "-c", "trap '' TERM; sleep 600 & echo ready; wait"], stdout=subprocess.PIPE, start_new_session=True
    )


def _pipe_of(program: "subprocess.Popen[bytes]") -> int:
    assert program.stdout is not None
    program.stdout.readline()
    return os.fstat(program.stdout.fileno()).st_ino


def _guard() -> "subprocess.Popen[bytes]":
    """Start a guard for this process and wait until it is ready."""
    argv = [sys.executable, "-I", "-S", guard_process.__file__, str(os.getpid())]
    guard = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
    assert guard.stdout is not None
    assert guard.stdout.readline() == b"ready\n"
    return guard


def _tell(guard: "subprocess.Popen[bytes]", *lines: str) -> None:
    assert guard.stdin is not None
    guard.stdin.write("".join(f"{line}\n" for line in lines).encode())


def _close(*programs: "subprocess.Popen[bytes]") -> None:
    for program in programs:
        for stream in (program.stdin, program.stdout):
            if stream is not None:
                stream.close()
        program.wait(60)


@pytest.mark.parametrize("told", ["starts {pipe}", "starts {pipe}\nruns {pipe} {pid}"])
def test_the_end_of_the_pipe_kills_all_commands_including_one_just_started(told: str) -> None:
    guard, program = _guard(), _sleeper()
    pipe = _pipe_of(program)

    _tell(guard, told.format(pipe=pipe, pid=program.pid))
    _close(guard)

    assert program.wait(60) == -signal.SIGKILL
    _close(program)


def test_commands_that_have_ended_are_not_killed() -> None:
    guard, program = _guard(), _sleeper()
    pipe = _pipe_of(program)

    _tell(guard, f"starts {pipe}", f"runs {pipe} {program.pid}", f"ended {pipe}")
    _close(guard)

    assert program.poll() is None
    os.killpg(program.pid, signal.SIGKILL)
    _close(program)


def test_the_end_of_the_lease_kills_all_commands_until_it_is_renewed() -> None:
    guard, first, second, third = _guard(), _sleeper(), _sleeper(), _sleeper()
    pipes = [_pipe_of(program) for program in (first, second, third)]

    _tell(guard, f"runs {pipes[0]} {first.pid}", f"starts {pipes[1]}", f"lease {lease_clock() + 0.05}")
    assert first.wait(60) == second.wait(60) == -signal.SIGKILL
    _tell(guard, f"lease {lease_clock() + 600}", f"runs {pipes[2]} {third.pid}", f"lease {lease_clock() - 1}")

    assert third.wait(60) == -signal.SIGKILL
    _close(guard, first, second, third)


def test_a_command_whose_lease_ends_is_interrupted(act: Act, job: Job) -> None:
    action = act("command", {"argv": ["sleep", "600"]})

    async def run() -> Outcome:
        async with ACTIONS["command"].open_resources() as programs:
            return await action.attempt(job({}), Tools(programs, lease=Lease(lease_clock() + 1)))

    assert asyncio.run(run()) == Outcome.excused("the node's lease ended")


def test_no_program_is_started_after_the_lease_has_ended(act: Act, job: Job, tmp_path: Path) -> None:
    action = act("command", {"argv": ["touch", str(tmp_path / "ran")], "stdin": "none"})
    lease = Lease(lease_clock() - 1)

    async def run() -> list[Outcome]:
        async with ACTIONS["command"].open_resources() as programs:
            tools: Tools[Any] = Tools(programs, lease=lease)
            over = await action.attempt(job({}), tools)
            lease.renew(lease_clock() + 600)
            # The delivery of an attempt that began before the end of the lease may belong to another node now.
            late = await action.attempt(job({}), tools)
            existed = (tmp_path / "ran").exists()
            assert not existed
            lease.begins_after = lease.lapses
            return [over, late, await action.attempt(job({}), tools)]

    *over, renewed = asyncio.run(run())

    assert over == 2 * [Outcome.excused("the node's lease ended")]
    assert renewed.kind is OutcomeKind.SUCCEEDED


def test_commands_run_without_a_guard_when_none_can_be_started(
    monkeypatch: pytest.MonkeyPatch, act: Act, job: Job
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python3")
    action = act("command", {"argv": ["true"]})

    async def run() -> Outcome:
        async with ACTIONS["command"].open_resources() as programs:
            return await action.attempt(job({}), Tools(programs))

    assert asyncio.run(run()).kind is OutcomeKind.SUCCEEDED


def test_a_frozen_guard_is_replaced_without_a_delay() -> None:
    async def run() -> None:
        async with open_threads("spawn", 4) as threads:
            guard = Guard(threads, Lease())
            await guard.ready()
            first = guard.pid
            os.kill(first, signal.SIGSTOP)
            for pipe in range(10_000):
                guard.starts(pipe, 0)
                guard.ended(pipe)
            while guard.pid in (0, first):
                await asyncio.sleep(0.01)
            await guard.close()

    asyncio.run(asyncio.wait_for(run(), 60))

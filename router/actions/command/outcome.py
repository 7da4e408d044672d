"""The outcome of a run: from the program's exit, or from the error that kept it from starting."""

import errno
import os
from dataclasses import replace
from pathlib import Path

from router.actions.command.process import Finished
from router.domain.action_answer import ActionAnswer
from router.domain.outcomes import Cause, Outcome


def outcome_of_run(done: Finished, shown: str, timeout: float) -> Outcome:
    """The outcome of a program that ended. `shown` is the part of its output that is stored."""
    if done.timed_out:
        reason = f"not done within {timeout:g} s, so it was ended"
        return Outcome.retry(reason, done.code, shown, cause=Cause.TIMEOUT)
    if done.code == 0:
        answer = None if done.answer is None else ActionAnswer(done.answer)
        return (
            replace(Outcome.succeeded(0, shown), answer=answer) if answer is not None else Outcome.succeeded(0, shown)
        )
    if done.code < 0:
        return Outcome.retry(f"ended by signal {-done.code}", done.code, shown, cause=Cause.SIGNAL)
    return Outcome.retry(f"exit code {done.code}", done.code, shown, cause=Cause.EXIT)


def outcome_of_error(error: OSError, program: str, cwd: Path) -> Outcome:
    """The outcome of a program that could not be started. Its name is constant, so the reason may show it."""
    return Outcome.retry(_reason(error, Path(program).name, cwd), cause=Cause.NOT_STARTED)


def _reason(error: OSError, name: str, cwd: Path) -> str:
    if not os.path.isdir(cwd):
        return f"the folder to run in (cwd) does not exist: {cwd.name}"
    if error.errno == errno.ENOENT:
        return f"{name} does not exist, or the interpreter in its first line doesn't"
    if error.errno == errno.EACCES:
        return f"{name} is not executable by this user; chmod +x may be the cure"
    if error.errno == errno.ENOEXEC:
        return f"{name} is not a program; a script needs a first line such as #!/bin/sh"
    if error.errno == errno.ECHILD:
        return f"how {name} ended is not known: something else waited for it"
    if error.errno == errno.E2BIG:
        return "arguments and environment are too long together; pass data by stdin"
    return f"{name} can't be run: {os.strerror(error.errno or 0)}"

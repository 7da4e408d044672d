"""Drift: the rules file on disk differs from the running rules. Also the results of a reload."""

from dataclasses import dataclass
from enum import StrEnum

from router.domain.errors import Problem
from router.rules.reload.ruleset_diff import RulesetDiff


class DriftReason(StrEnum):
    """Why the file on disk does not run, or why a requested reload failed."""

    PROBLEMS = "problems"  #: the file has errors
    SECRET = "secret"  # noqa: S105 - no password; #: its only errors are secrets that are not set
    GONE = "gone"  #: the file is missing
    UNREADABLE = "unreadable"  #: it can't be read, or is not a regular file
    WRITABLE = "writable"  #: other users may write it
    UNSETTLED = "unsettled"  #: it is being written
    UNRECORDED = "unrecorded"  #: the store can't record its text
    CHANGED = "changed"  #: only in `status`: the text differs, and the daemon has not reported why
    FAULT = "fault"  #: an internal error
    TIMEOUT = "timeout"  #: only as a result: the reload takes longer than the caller waits
    STOPPING = "stopping"  #: only as a result: the daemon stops


@dataclass(frozen=True, slots=True)
class Drift:
    """The file on disk differs from the running rules."""

    why: DriftReason
    since: float  #: Unix time of the first difference; kept when the reason changes
    problems: tuple[Problem, ...]  #: at least one, errors only


@dataclass(frozen=True, slots=True)
class Reloaded:
    """The file's rules run now."""

    hash: str
    rules: int
    change: RulesetDiff  #: false if nothing changed
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ReloadRefused:
    """The earlier rules still run."""

    why: DriftReason
    problems: tuple[Problem, ...]  #: at least one; sorted as in `check --json`
    hash: str  #: of the running rules

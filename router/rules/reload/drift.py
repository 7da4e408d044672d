"""The rules file on the disk is not what runs: why, and since when. And what came of a reload that was asked for."""

from dataclasses import dataclass
from enum import StrEnum

from router.domain.errors import Problem
from router.rules.reload.ruleset_diff import RulesetDiff


class DriftReason(StrEnum):
    """Why the file on the disk is not what runs, or why a reload that was asked for gave nothing."""

    PROBLEMS = "problems"  #: the file has errors
    SECRET = "secret"  # noqa: S105 - no password; #: its only errors are secrets that are unset
    GONE = "gone"  #: there is no such file
    UNREADABLE = "unreadable"  #: it can't be read, or is no regular file
    WRITABLE = "writable"  #: every user of the machine may write it
    UNSETTLED = "unsettled"  #: it is being written
    UNRECORDED = "unrecorded"  #: the store can't take its text
    CHANGED = "changed"  #: only in `status`: it says something else, and the daemon has not said a word of that
    FAULT = "fault"  #: a bug of ours
    TIMEOUT = "timeout"  #: only as an answer: the reload takes longer than the caller waits
    STOPPING = "stopping"  #: only as an answer: the daemon stops


@dataclass(frozen=True, slots=True)
class Drift:
    """What is on the disk is not what runs."""

    why: DriftReason
    since: float  #: seconds of the wall clock, when that was first seen; another reason later doesn't begin anew
    problems: tuple[Problem, ...]  #: at least one, errors only


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What the file says runs now."""

    hash: str
    rules: int
    change: RulesetDiff  #: false when it is what ran before
    warnings: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class ReloadRefused:
    """What ran before still runs."""

    why: DriftReason
    problems: tuple[Problem, ...]  #: at least one; by place, as `check --json` lists them
    hash: str  #: of the rules that stay

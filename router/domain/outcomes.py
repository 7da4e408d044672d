"""Outcomes of attempts: values, not exceptions."""

from dataclasses import dataclass
from enum import StrEnum

from router.domain.action_answer import ActionAnswer
from router.domain.made_often import made_often


class OutcomeKind(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    RETRY = "retry"  #: failed, but another try may work; the retry policy decides by the cause
    FAILED = "failed"  #: failed, and another try would fail too, or the retry policy excludes it
    INTERRUPTED = "interrupted"  #: the daemon stopped during the attempt; not counted


class Cause(StrEnum):
    """Why an attempt failed. All but status, exit and fault are words of `retry.on`."""

    STATUS = "status"  #: the answer's HTTP status
    NETWORK = "network"  #: no connection, or it broke or was not HTTP before an answer came
    TIMEOUT = "timeout"  #: the time limit
    EXIT = "exit"  #: the program's exit code
    SIGNAL = "signal"  #: a signal ended the program
    NOT_STARTED = "not-started"  #: the program could not be started
    NOT_WRITTEN = "not-written"  #: the file could not be opened or written
    FAULT = "fault"  #: a bug of the router, which is always tried again


@made_often
@dataclass(frozen=True, slots=True)
class Sent:
    """What an attempt sent, in short and without secrets."""

    method: str
    url: str  #: without userinfo, query and fragment
    headers: tuple[tuple[str, str], ...]
    size: int  #: bytes of the body
    sha256: str  #: of the body, in hexadecimal digits
    start: str  #: the body's first bytes, as text


@made_often
@dataclass(frozen=True, slots=True)
class Outcome:
    """The outcome of one attempt."""

    kind: OutcomeKind
    error: str = ""  #: why it did not succeed; contains no secret, query string or payload
    status: int | None = None  #: HTTP status or exit code (negative: the signal that ended it)
    excerpt: str = ""  #: the beginning of the response body or of the command's output
    retry_after: float | None = None  #: seconds that the target asked to wait
    cause: Cause | None = None  #: the cause of a retry; None for other outcomes
    sent: Sent | None = None  #: the request that was sent; None for other actions
    answer: ActionAnswer | None = None  #: the action's answer, if the sender waits for it
    is_excused: bool = False  #: interrupted because the database was lost, which is no fault of the delivery

    @classmethod
    def succeeded(cls, status: int | None = None, excerpt: str = "") -> "Outcome":
        """The attempt succeeded."""
        return cls(OutcomeKind.SUCCEEDED, status=status, excerpt=excerpt)

    @classmethod
    def retry(
        cls,
        error: str,
        status: int | None = None,
        excerpt: str = "",
        retry_after: float | None = None,
        *,
        cause: Cause = Cause.FAULT,
    ) -> "Outcome":
        """The attempt failed; another try may work."""
        return cls(OutcomeKind.RETRY, error, status, excerpt, retry_after, cause)

    @classmethod
    def failed(cls, error: str, status: int | None = None, excerpt: str = "") -> "Outcome":
        """The attempt failed; another try would fail too."""
        return cls(OutcomeKind.FAILED, error, status, excerpt)

    @classmethod
    def interrupted(cls, error: str) -> "Outcome":
        """The daemon's stop ended the attempt; how far it came is unknown."""
        return cls(OutcomeKind.INTERRUPTED, error)

    @classmethod
    def excused(cls, error: str) -> "Outcome":
        """The node's lease ended the attempt. However often that happens, the delivery is not dead for it."""
        return cls(OutcomeKind.INTERRUPTED, error, is_excused=True)

"""What one attempt came to: a value, not an exception."""

from dataclasses import dataclass
from enum import StrEnum


class OutcomeKind(StrEnum):
    """How one attempt ended."""

    SUCCEEDED = "succeeded"
    RETRY = "retry"  #: failed and may heal; the retry policy decides by its cause
    FAILED = "failed"  #: failed, and another try would fail as well, or the policy wants none
    INTERRUPTED = "interrupted"  #: the daemon stopped under it; not counted


class Cause(StrEnum):
    """What an attempt failed by. All but status, exit and fault are words of `retry.on`."""

    STATUS = "status"  #: the answer's HTTP status
    NETWORK = "network"  #: no connection, or one that broke or spoke nonsense before there was an answer
    TIMEOUT = "timeout"  #: not done in time
    EXIT = "exit"  #: the program's exit code
    SIGNAL = "signal"  #: a signal ended the program
    NOT_STARTED = "not-started"  #: the program could not be started
    NOT_WRITTEN = "not-written"  #: the file could not be opened or written
    FAULT = "fault"  #: a fault of ours, which is always tried again


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of one attempt: a value, not an exception."""

    kind: OutcomeKind
    error: str = ""  #: why it did not succeed; never a secret, a query string or the payload
    status: int | None = None  #: HTTP status or exit code (negative: the signal that ended it)
    excerpt: str = ""  #: the beginning of the response body or of the command's output
    retry_after: float | None = None  #: seconds that the target asked us to wait
    cause: Cause | None = None  #: what a retry failed by; none otherwise

    @classmethod
    def succeeded(cls, status: int | None = None, excerpt: str = "") -> "Outcome":
        """It worked."""
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
        """It failed and may heal."""
        return cls(OutcomeKind.RETRY, error, status, excerpt, retry_after, cause)

    @classmethod
    def failed(cls, error: str, status: int | None = None, excerpt: str = "") -> "Outcome":
        """It failed for good."""
        return cls(OutcomeKind.FAILED, error, status, excerpt)

    @classmethod
    def interrupted(cls, error: str) -> "Outcome":
        """It was cut off by our own stop; nobody knows how far it came."""
        return cls(OutcomeKind.INTERRUPTED, error)

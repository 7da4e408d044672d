"""What an action's first attempt answered, for the sender of the event."""

from dataclasses import dataclass, field

ANSWER_BYTES = 64 * 1024  #: of an answer; a longer answer is not passed on, since a part of it would be useless


@dataclass(frozen=True, slots=True)
class ActionAnswer:
    """A program's standard output, or a target's 2xx answer, without secrets."""

    body: bytes = field(repr=False)
    content_type: str | None = None  #: as the target sent it; None: it sent none
    status: int = 200

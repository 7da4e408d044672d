"""An action of recorded rules that a guard forbids by now."""

from dataclasses import dataclass
from typing import Any

from router.errors import RenderError
from router.model import Outcome
from router.plugins import Job, TargetSpec, Tools


@dataclass(frozen=True, slots=True)
class ForbiddenAction:
    """Fails every attempt with the guard's reason; the other actions of its rules go on."""

    type: str
    target: TargetSpec
    reason: str

    def preview(self, job: Job) -> dict[str, Any]:  # noqa: ARG002 - see Action.preview
        """See Action.preview."""
        raise RenderError(self.reason)

    async def attempt(self, job: Job, tools: Tools) -> Outcome:  # noqa: ARG002 - see Action.attempt
        """See Action.attempt."""
        return Outcome.failed(self.reason)

"""An action of recorded rules that a newer guard forbids."""

from dataclasses import dataclass
from typing import Any

from router.domain.errors import RenderError
from router.domain.outcomes import Outcome
from router.plugins.action import AttemptInput, Tools
from router.plugins.target import TargetSpec


@dataclass(frozen=True, slots=True)
class ForbiddenAction:
    """Fails every attempt with the guard's reason. The other actions of the rules work."""

    type: str
    target: TargetSpec
    reason: str

    def preview(self, job: AttemptInput) -> dict[str, Any]:  # noqa: ARG002 - see Action.preview
        """See Action.preview."""
        raise RenderError(self.reason)

    async def attempt(self, job: AttemptInput, tools: Tools[Any]) -> Outcome:  # noqa: ARG002 - see Action.attempt
        """See Action.attempt."""
        return Outcome.failed(self.reason)

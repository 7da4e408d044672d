"""The JSON schemas of the API's replies, a module for each noun. Tests compare them with real replies."""

from collections.abc import Collection

from router.admin.api.schema_parts import Schema
from router.admin.api.schemas.deliveries import DELIVERIES
from router.admin.api.schemas.dry_runs import dry_runs
from router.admin.api.schemas.events import EVENTS
from router.admin.api.schemas.problems import PROBLEMS
from router.admin.api.schemas.rules import RULES
from router.admin.api.schemas.status import STATUS
from router.admin.api.schemas.targets import TARGETS


def schemas(action_types: Collection[str]) -> dict[str, Schema]:
    """All schemas, for these types of actions."""
    return {
        **PROBLEMS,
        **DELIVERIES,
        **EVENTS,
        **TARGETS,
        **RULES,
        **STATUS,
        "ActionType": {"type": "string", "enum": [*action_types]},
        **dry_runs(action_types),
    }

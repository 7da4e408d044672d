"""What the attempts of each action type share while the delivery loop runs."""

import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from router.plugins.action import ActionType, Tools
from router.runtime.lease import Lease


@contextlib.asynccontextmanager
async def open_tools(
    action_types: Mapping[str, ActionType],
    stopping: Callable[[], bool],
    lease: Lease,
    guard_lock: Path | None,
) -> AsyncIterator[Mapping[str, Tools[Any]]]:
    """Open the resources of every type, by its name; the end of the block closes them."""
    async with contextlib.AsyncExitStack() as stack:
        yield {
            name: Tools(await stack.enter_async_context(one.open_resources()), stopping, lease, guard_lock)
            for name, one in action_types.items()
        }

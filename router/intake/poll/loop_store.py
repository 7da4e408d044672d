"""The store of the polls' loop, which must not wait for it."""

from collections.abc import Mapping, Sequence

from router.domain.polls import PollResult, PollState
from router.runtime.loop_inbox import Inbox
from router.runtime.thread_pool import Threads
from router.store.contract import Store


class LoopStore:
    """The store, called from the loop through threads."""

    def __init__(self, store: Store, threads: Threads, inbox: Inbox) -> None:
        self._store, self._threads, self._inbox = store, threads, inbox

    async def known(self, series: str, ids: Sequence[str]) -> set[str]:
        """See StoreReader.known_items."""
        return await self._threads.call("store", self._store.known_items, series, ids)

    async def take(self, result: PollResult) -> bool:
        """See OperatorStore.take_poll."""
        return await self._inbox.result(self._store.take_poll(result))

    async def state(self, source: str) -> PollState | None:
        """See StoreReader.poll_of."""
        return await self._threads.call("store", self._store.poll_of, source)

    async def states(self) -> Mapping[str, PollState]:
        """The states by source."""
        return {state.source: state for state in await self._threads.call("store", self._store.polls)}

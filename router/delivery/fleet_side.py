"""The delivery loop as its node's thread sees it: the claims it holds, its shares of limits, breakers elsewhere."""

from collections.abc import Callable, Mapping
from functools import partial

from router.delivery.due_targets import DueTargets
from router.delivery.held_claims import HeldClaims
from router.delivery.targets import Targets
from router.runtime.lease import Lease
from router.runtime.loop_inbox import Inbox
from router.store.contract import Store
from router.store.fleet import Limits, Share


class FleetSide:
    """Any thread may call it, but `open` and `claiming` belong to the delivery loop. Before `open` it changes
    nothing."""

    def __init__(
        self,
        claims: HeldClaims,
        targets: Targets,
        due: DueTargets,
        store: Store,
        lease: Lease,
        look_again: Callable[[], None],
    ) -> None:
        """`look_again` reads the store again; it is called in the loop."""
        self.claims = claims
        self.claiming: Mapping[str, int] = {}  #: slots by target that a claim under way may use
        self._targets = targets
        self._due = due
        self._store = store
        self._lease = lease
        self._look_again = look_again
        self._inbox: Inbox | None = None
        self._shares: Mapping[str, Share] = {}

    def open(self, inbox: Inbox) -> None:
        """The loop runs."""
        self._inbox = inbox

    def look_again(self) -> None:
        """Read the store again: another node or a command made deliveries due."""
        if self._inbox is not None:
            self._inbox.call(self._look_again)

    def wanted_shares(self, *, sets_limits: bool) -> Mapping[str, tuple[Limits | None, int]]:
        """See Targets.wanted_shares."""
        return self._targets.wanted_shares(self._due.delivers, lambda: self.claiming, sets_limits=sets_limits)

    def take_shares(self, shares: Mapping[str, Share]) -> None:
        """Set this node's shares of the targets' limits. The loop itself must not call it: it reads the store."""
        lapses = self._lease.lapses
        if self._inbox is None or (shares == self._shares and lapses == self._lease.begins_after):
            return
        last_claims = self._store.last_claims()
        self._shares = shares
        self._inbox.call(partial(self._take_shares, shares, last_claims, lapses))

    def _take_shares(self, shares: Mapping[str, Share], last_claims: Mapping[str, int], lapses: int) -> None:
        self._lease.begins_after = lapses
        self._targets.take_shares(shares, last_claims)
        self._look_again()

    def take_breakers(self, breakers: Mapping[str, str], read_at: float) -> None:
        """See Targets.take_breakers."""
        if self._inbox is not None:
            self._inbox.call(partial(self._take_breakers, breakers, read_at))

    def _take_breakers(self, breakers: Mapping[str, str], read_at: float) -> None:
        if self._targets.take_breakers(breakers, read_at):
            self._look_again()

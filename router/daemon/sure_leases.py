"""Since when the leases in the database tell which nodes live.

While the database is away nobody can renew a lease. When its clock is set forward, every lease seems over. After
either, living nodes need a lease's time to renew theirs.
"""

import structlog

STEP = 0.1  #: share of the lease by which the database's clock may run ahead; attempts end that long before their lease

log = structlog.get_logger()


class SureLeases:
    """Belongs to the node's thread. Local times are by lease_clock, in seconds; the database's are in ms."""

    def __init__(self, lease: float) -> None:
        """`lease`: seconds."""
        self._lease = lease
        self._since: float | None = None  #: local; None: the database is away
        self._beat = (0.0, 0)  #: a local time that was not later than the database's time beside it
        self._server_started_at = 0
        self.uncounted_before = 0  #: ms: leases that ended earlier may be those of living nodes

    @property
    def away(self) -> bool:
        """Whether the database is away."""
        return self._since is None

    def lost(self) -> None:
        """The database can't be reached."""
        self._since = None

    def begin(self, began: float, now: int, server_started_at: int) -> None:
        """This node has joined, by a call that began then. Its database tells from here on who lives."""
        self._since, self._beat, self._server_started_at = began, (began, now), server_started_at

    def renewed(self, began: float, ended: float, now: int, server_started_at: int) -> bool:
        """This node's lease was renewed by a call from `began` to `ended`. True: the database was away before."""
        was_away = self.away or server_started_at != self._server_started_at
        if was_away:
            self._since, self.uncounted_before, self._server_started_at = began, now, server_started_at
        else:
            self.looked(ended, now)
        self._beat = (began, now)
        return was_away

    def looked(self, ended: float, now: int) -> None:
        """The database's clock was read by a call that ended then."""
        at, before = self._beat
        latest = before + (ended - at) * 1000  # it can't be later, unless it was set
        if now - latest > STEP * self._lease * 1000:
            self._since, self._beat, self.uncounted_before = ended, (ended, now), now
            log.warning("the database's clock was set forward; for one lease no node counts as lost")

    def tell(self, now: float) -> bool:
        """Whether a node whose lease is over is gone."""
        return self._since is not None and now - self._since >= self._lease

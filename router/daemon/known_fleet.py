"""The fleet as this node knows it: which nodes live, and which rules the fleet uses."""

import threading
from collections.abc import Callable
from dataclasses import replace

import structlog

from router.runtime.lease import lease_clock
from router.store.fleet import Fleet, FleetState, NodeState

ACTIVATION_SECONDS = 30.0  #: limit of a reload from the record of its rules until they run

log = structlog.get_logger()


class KnownFleet:
    """`read`, `begin_rules` and `follow_rules` belong to the node's thread. Any thread may call the rest."""

    def __init__(self, fleet: Fleet, running: Callable[[], str]) -> None:
        """`running`: the hash of the rules that run here."""
        self._fleet = fleet
        self._running = running
        self._lock = threading.Lock()
        self._activated = ("", 0.0)  #: the rules recorded as the fleet's, and until when they should run here
        self._activations = 0
        self.state: FleetState | None = None  #: as last read
        self.activate: Callable[[], None] = lambda: None  #: makes this node's running rules the fleet's

    def read(self) -> FleetState:
        """Read the fleet's state. Raises StoreError."""
        while True:
            activations = self._activations
            state = self._fleet.state()
            with self._lock:
                # otherwise it may be older than rules that were activated here meanwhile
                if activations == self._activations:
                    self.state = state
                    return state

    def peers(self) -> tuple[NodeState, ...]:
        """The living nodes."""
        return tuple(node for node in (self.state.nodes if self.state else ()) if node.lives)

    @property
    def rules(self) -> str:
        """The hash of the fleet's rules."""
        return (self.state.rules if self.state is not None else "") or self._running()

    @property
    def own_rules(self) -> str:
        """The rules that this node reports as its own. During a reload these are the new ones: otherwise others would
        think that no node runs them."""
        rules, until = self._activated
        return rules if lease_clock() < until else self._running()

    @property
    def runs_its_rules(self) -> bool:
        """Whether the rules that run here are the fleet's."""
        state = self.state
        return state is None or state.rules in ("", self._running())

    def activated(self, rules: str) -> None:
        """These rules, by their hash, are recorded as the fleet's, and run here in a moment."""
        with self._lock:
            self._activated = (rules, lease_clock() + ACTIVATION_SECONDS)
            self._activations += 1
            if self.state is not None:
                self.state = replace(self.state, rules=rules)

    def begin_rules(self) -> None:
        """Make the rules that run here the fleet's, unless live nodes run newer ones. Raises StoreError."""
        if self._fleet.activates(self._running()):
            self.activate()
        else:
            log.warning("the rules file here is older than the fleet's; deliveries go by the fleet's rules")
        self.read()

    def follow_rules(self, state: FleetState) -> None:
        """Make this node's rules the fleet's again once no node runs newer ones."""
        mine = self.own_rules
        if state.rules not in ("", mine) and not any(n.rules == state.rules for n in state.nodes if n.lives):
            log.warning("no node runs the fleet's rules any more; those that run here are the fleet's now")
            self.activate()

"""Makes this daemon a node of its store's fleet, and the rules that it has loaded the fleet's."""

import os
import socket

from router import __version__
from router.daemon.node import Node
from router.daemon.recorded_rules import RecordedRules
from router.daemon.settings import Settings
from router.runtime.lease import Lease
from router.store.fleet import Fleet, NodeFacts


def join_fleet(fleet: Fleet, settings: Settings, recorded: RecordedRules, lease: Lease) -> Node:
    """Become a node. Record the rules, unless they are older than the fleet's. Raises StoreError."""
    current = recorded.current
    host = socket.gethostname()
    facts = NodeFacts(settings.node or host, host, os.getpid(), __version__, settings.roles, settings.actions)
    node = Node(fleet, recorded.store, facts, lease, settings.lease, lambda: current.ruleset.hash)

    def activate() -> None:
        recorded.record(current.ruleset)
        node.known.activated(current.ruleset.hash)

    node.known.activate = activate
    node.join()
    try:
        node.known.begin_rules()
    except BaseException:
        node.stop()
        raise
    return node

"""The nodes that share the store: their lease, version and rules."""

from collections.abc import Mapping, Sequence
from typing import Any

from router.admin.daemon_handle import DaemonHandle
from router.admin.page.exchange import PageRequest, html
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.view import View
from router.domain.reply import Reply
from router.operate.status import node_json
from router.store.fleet import LEASE_SECONDS, NodeState

_MOST = 500


def _show(daemon: DaemonHandle, read: PageRequest, session: Session, _: Mapping[str, str]) -> Reply:
    nodes = living_first(daemon.store.nodes(), read.now)[:_MOST]
    text = render(
        "nodes.html", session=session, here="/", nodes=nodes, hash=daemon.ruleset().hash, now=read.now,
        lease=round(LEASE_SECONDS),
    )  # fmt: skip
    return html(text)


def living_first(nodes: Sequence[NodeState], now: int) -> list[dict[str, Any]]:
    """The living nodes, then the lost ones; of each the newest first."""
    ordered = sorted(nodes, key=lambda node: (not node.lives, -node.id))
    return [node_json(node, now) for node in ordered]


VIEWS = (View("/nodes", _show),)

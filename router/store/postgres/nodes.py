"""Reads the nodes of a store."""

from router.store.fleet import NodeFacts, NodeState
from router.store.postgres.clock import NOW
from router.store.postgres.connection import Connected

NODE_COLUMNS = "id, name, host, process, version, roles, actions, rules, started_at, renewed_at, expires_at"
READ_NODES = f"""
SELECT {NODE_COLUMNS}, {NOW}
FROM webhook_router.node ORDER BY id
"""  # noqa: S608 - a constant


def read_nodes(connection: Connected) -> tuple[int, tuple[NodeState, ...]]:
    """The database's time, ms, and the nodes, the oldest first. Raises psycopg.Error."""
    rows = connection.execute(READ_NODES.encode()).fetchall()
    return (rows[0][-1] if rows else 0), tuple(node_state(row) for row in rows)


def node_state(row: tuple[object, ...]) -> NodeState:
    """From a row of NODE_COLUMNS and the database's time."""
    id_, name, host, process, version, roles, actions, rules, started, renewed, expires, now = row
    facts = NodeFacts(str(name), str(host), _number(process), str(version), _texts(roles), _texts(actions))
    lives = _number(expires) > _number(now)
    return NodeState(_number(id_), facts, str(rules), _number(started), _number(renewed), _number(expires), lives)


def _number(value: object) -> int:
    assert isinstance(value, int)
    return value


def _texts(value: object) -> tuple[str, ...]:
    assert isinstance(value, list)
    return tuple(map(str, value))

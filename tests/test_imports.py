"""Each folder of the program is a room. Rooms import one way only, and some libraries belong to one room."""

import ast
import functools
import subprocess
import sys
from pathlib import Path

import pytest

ROUTER = Path(__file__).parents[1] / "router"

ROOMS = {
    "wsgi": "the daemon below another program's WSGI server",
    "cli": "what a person types",
    "daemon": "start, stop and reload of the running daemon, and the system around it",
    "admin": "what an operator asks of a running daemon over HTTP",
    "operate": "what an operator does with a store, whether a daemon runs or not",
    "delivery": "from a stored delivery to a settled one",
    "intake": "from a request to a stored event",
    "http": "servers, which know a request and a reply, and nothing of events",
    "rules": "from the text of the rules file to compiled rules, and what they say of an event",
    "actions": "what a delivery does: forward, command, append",
    "client": "the HTTP client of forwards and polls",
    "templates": "values that a payload fills in",
    "payload": "from the bytes of a body to a payload",
    "plugins": "what action types, schemes, handshakes and presets offer to the rules",
    "store": "where events, deliveries and attempts live",
    "observe": "metrics, log lines, traces",
    "runtime": "threads, event loops, turns of the interpreter",
    "domain": "the nouns that all rooms share",
}
"""From the top of the house to its ground: a room imports only from rooms that are listed below it."""

CLOSED = {
    "rules": ("actions", "client", "store"),  # the daemon passes the plugins to the loader
    "actions": ("store",),
    "client": ("payload", "store", "observe"),
    "plugins": ("store", "observe"),
    "http": ("rules", "actions", "client", "templates", "plugins", "store"),
    "store": ("observe",),
}
"""Rooms below that a room does not use all the same."""

LIBRARIES = {
    "falcon": ("admin", "http", "intake"),
    "waitress": ("http",),
    "apsw": ("store",),
    "psycopg": ("store",),
    "aiohttp": ("actions", "client"),
    "click": ("cli",),
    "rich": ("cli",),
    "jinja2": ("templates", "admin"),
    "jsonpath_ng": ("rules",),
    "prometheus_client": ("admin",),
    "yaml": ("rules", "cli", "intake"),
}
"""Where a library is imported, and nowhere else."""


@functools.cache
def _imports(path: Path) -> set[str]:
    """The full names that a file imports, except imports for type checkers."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import hides its direction"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def _files(room: str) -> list[Path]:
    return sorted((ROUTER / room).rglob("*.py"))


def _rooms_used(path: Path) -> set[str]:
    parts = [name.split(".") for name in _imports(path)]
    return {part[1] for part in parts if part[0] == "router" and len(part) > 1} & set(ROOMS)


def test_every_module_is_in_one_of_these_rooms() -> None:
    folders = {path.name for path in ROUTER.iterdir() if path.is_dir() and path.name != "__pycache__"}
    loose = {path.name for path in ROUTER.iterdir() if path.is_file()}

    assert folders == set(ROOMS)
    assert loose == {"__init__.py", "__main__.py", "py.typed"}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_rooms_below_it(room: str) -> None:
    order = list(ROOMS)
    below = set(order[order.index(room) + 1 :]) - set(CLOSED.get(room, ()))
    assert _files(room)
    for path in _files(room):
        wrong = _rooms_used(path) - below - {room}
        assert not wrong, f"{path} imports from {sorted(wrong)}; {room} is {ROOMS[room]}"


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_only_in_its_room(library: str) -> None:
    users = {path for path in _files("") if any(name.split(".")[0] == library for name in _imports(path))}

    assert users
    assert {path.relative_to(ROUTER).parts[0] for path in users} <= set(LIBRARIES[library])


def test_sql_is_written_only_in_the_store() -> None:
    users = {path for path in _files("") if "SELECT " in path.read_text() or "BEGIN IMMEDIATE" in path.read_text()}

    assert {path.relative_to(ROUTER).parts[0] for path in users} == {"store"}


def test_help_loads_no_library_that_it_does_not_need() -> None:
    heavy = ("aiohttp", "asyncio", "apsw", "falcon", "jinja2", "pydantic", "re2", "structlog", "waitress", "yaml")
    code = f"import sys, router.cli.main; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"


def test_checking_a_file_loads_no_library_of_the_metrics() -> None:
    code = "import sys, router.daemon.app; print('prometheus_client' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "False\n"

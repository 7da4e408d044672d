"""The stations of an event's journey import one way along it."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROUTER = Path(__file__).parents[1] / "router"
FORBIDDEN = {
    # Servers know a function from a request to a reply, and nothing of what is behind it.
    "http": (
        "router.rules",
        "router.actions",
        "router.intake",
        "router.delivery",
        "router.store",
        "router.admin",
        "router.operations",
    ),
    "rules": ("router.actions", "router.intake", "router.delivery", "router.store", "router.admin"),
    "actions": ("router.rules", "router.intake", "router.delivery", "router.store", "router.admin"),
    "intake": ("router.actions", "router.delivery", "router.admin"),
    "delivery": ("router.admin",),
    # The commands and the admin listener share it: it knows neither, and no person's terminal.
    "operations": (
        "router.delivery",
        "router.admin",
        "router.http.server",
        "router.intake.receiver",
        "click",
        "rich",
    ),
    "admin": ("router.actions", "click", "rich"),
    # An operator's commands work on the store itself, whether a daemon runs or not.
    "commands": ("router.delivery", "router.admin", "router.http.server", "router.intake.receiver", "router.cli"),
}
FRONT = ("router.cli", "router.commands", "router.listing", "router.printing")
STORE_MAY = ("router.store", "router.model", "router.errors", "router.own_file", "router.file_trust")


def _imports(path: Path) -> set[str]:
    """Full names of the modules that a file imports, those for type checkers only excepted."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            node.body = []
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.name for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "relative imports hide a direction"
            found |= {f"{node.module}.{name.name}" for name in node.names}
    return found


def _files(folder: str) -> list[Path]:
    return sorted((ROUTER / folder).rglob("*.py"))


def _is_in(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


@pytest.mark.parametrize("folder", FORBIDDEN)
def test_a_station_imports_none_that_lies_behind_it(folder: str) -> None:
    assert _files(folder)
    for path in _files(folder):
        wrong = {name for name in _imports(path) if _is_in(name, FORBIDDEN[folder])}
        assert not wrong, f"{path} imports {wrong}"


def test_nothing_but_the_command_line_imports_what_faces_a_person() -> None:
    for path in _files(""):
        place = path.relative_to(ROUTER).with_suffix("").parts[0]
        if place not in {"commands", "cli", "listing", "printing", "__main__"}:
            wrong = {name for name in _imports(path) if _is_in(name, FRONT)}
            assert not wrong, f"{path} imports {wrong}"


def test_help_waits_for_no_library_that_it_does_not_need() -> None:
    heavy = ("aiohttp", "apsw", "falcon", "httptools", "jinja2", "pydantic", "re2", "uvloop", "waitress", "yaml")
    code = f"import sys, router.cli; print([name for name in {heavy} if name in sys.modules])"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "[]\n"


def test_checking_a_file_waits_for_no_library_of_the_metrics() -> None:
    code = "import sys, router.app; print('prometheus_client' in sys.modules)"

    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)

    assert done.stdout == "False\n"


def test_the_store_knows_model_and_errors_only() -> None:
    for path in _files("store"):
        ours = {name for name in _imports(path) if _is_in(name, ("router",))}
        assert all(_is_in(name, STORE_MAY) for name in ours), f"{path} imports {ours}"


@pytest.mark.parametrize(
    ("library", "folders"),
    [
        ("falcon", ("admin",)),
        ("waitress", ("http",)),
        ("httptools", ("http",)),
        ("uvloop", ("http",)),
        ("apsw", ("store",)),
        ("prometheus_client", ("admin",)),
    ],
)
def test_a_library_stays_in_its_station(library: str, folders: tuple[str, ...]) -> None:
    users = {path for path in _files("") if any(_is_in(name, (library,)) for name in _imports(path))}

    assert users
    assert {path.relative_to(ROUTER).parts[0] for path in users} <= set(folders)

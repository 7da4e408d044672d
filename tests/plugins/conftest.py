"""Fixtures that build and install the plugin package of docs/extending.md, and broken ones, into folders."""

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from tests.conftest import PROGRAM
from tests.preloaded import Preloaded

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
_FILES = re.compile(r"<!-- file: (\S+) -->\n```\w+\n(.*?)```", re.DOTALL)


def documented_files() -> dict[str, str]:
    """The files that the page tells its reader to write."""
    return dict(_FILES.findall(PAGE.read_text()))


def built(folder: Path, files: Mapping[str, str]) -> Path:
    """Write the files, build a wheel, and install it without a package index. Return the folder for the module path."""
    source, target = folder / "source", folder / "installed"
    for name, text in files.items():
        file = source / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    options = ["--quiet", "--no-index", "--no-deps", "--no-build-isolation", "--no-compile", "--target", str(target)]
    environment = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1"}
    command = [sys.executable, "-m", "pip", "install", *options, str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return target


def written(folder: Path, points: Mapping[str, Mapping[str, str]], modules: Mapping[str, str]) -> Path:
    """Write modules with the metadata of an installed package. Return the folder for the module path."""
    folder.mkdir(parents=True)
    for name, text in modules.items():
        (folder / f"{name}.py").write_text(text)
    info = folder / "broken_plugins-2.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken-plugins\nVersion: 2.0\n")
    lines = [
        line for group, names in points.items() for line in (f"[{group}]", *(f"{k} = {v}" for k, v in names.items()))
    ]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="session")
def acme(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with the installed package of the page."""
    return built(tmp_path_factory.mktemp("acme"), documented_files())


@pytest.fixture(scope="session")
def program_with() -> Iterator[Callable[[Path], str]]:
    """Return a function that gives a program with the plugins of a folder. Its first call starts an interpreter."""
    started: dict[Path, Preloaded] = {}

    def program(path: Path) -> str:
        if path not in started:
            started[path] = Preloaded(PROGRAM, path)
        return str(started[path].shim)

    yield program
    for one in started.values():
        one.stop()

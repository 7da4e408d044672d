"""Both ways to start a program have the same effect."""

import os
from pathlib import Path

import pytest

from router.actions.command import spawn as module
from router.actions.command.spawn import spawn


@pytest.fixture(params=["library", "subprocess"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Start by the C library, and by subprocess where the C library lacks something."""
    if request.param == "subprocess":
        monkeypatch.setattr(module, "_LIBRARY", None)
    elif module._LIBRARY is None:
        pytest.skip("this C library can't")
    return str(request.param)


def _spawn(argv: list[bytes], folder: Path, env: dict[bytes, bytes]) -> tuple[int, bytes]:
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as output:
        pid = spawn(
            argv,
            cwd=os.fsencode(folder),
            env=env,
            stdin=os.open(os.devnull, os.O_RDONLY),
            stdout=writing,
            stderr=writing,
        )
        said = output.read()
        _, status = os.waitpid(pid, 0)
    return os.waitstatus_to_exitcode(status), said


def test_a_program_inherits_only_the_given_descriptors_and_environment(way: str, tmp_path: Path) -> None:
    kept = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(kept, True)
    (tmp_path / "show.sh").write_text(
        'echo "$1|$A|$HOME|$(pwd -P)"; echo to stderr >&2; [ ! -e /proc/self/fd/$2 ] && exit 3\n'
    )

    code, said = _spawn(
        [b"sh", b"show.sh", "ä b".encode(), str(kept).encode()],
        tmp_path,
        {b"PATH": os.environb[b"PATH"], b"A": b"\xff"},
    )
    os.close(kept)

    assert code == 3
    assert said == b"\xc3\xa4 b|\xff||" + os.fsencode(tmp_path.resolve()) + b"\nto stderr\n"


@pytest.mark.parametrize("program", [b"./none", b"none-such-program", b"../plain", b"/"])
def test_a_failed_start_leaks_no_descriptor(way: str, tmp_path: Path, program: bytes) -> None:
    before = set(os.listdir("/proc/self/fd"))  # noqa: PTH208 - only the names are needed

    with pytest.raises(OSError, match="No such file|denied|directory"):
        _spawn([program], tmp_path, {b"PATH": b"/bin"})

    assert set(os.listdir("/proc/self/fd")) == before  # noqa: PTH208


def test_a_missing_folder_is_an_error(way: str, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _spawn([b"/bin/true"], tmp_path / "none", {})

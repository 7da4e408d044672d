"""Appended files with several writers, with rotations, and on a full disk."""

import fcntl
import json
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon

Wait = Callable[[Callable[[], Any]], Any]
EVENTS = 120

RULES = """
sources: {{open: {{verify: none}}}}
rules:
  - name: all
    actions:
      - {{name: a, append: {{path: {path}, concurrency: 4}}}}
      - {{name: b, append: {{path: {path}}}}}
      - {{name: c, append: {{path: {path}, line: '{{"id":"{{{{ event.id }}}}","delivery":"{{{{ delivery.id }}}}"}}'}}}}
"""


def _rotate(path: Path, number: int) -> None:
    """Rotate as logrotate does, by renaming and by copying in turn. Copying requires the file's lock."""
    if number % 2:
        path.rename(path.with_name(f"all.{number}"))
        return
    with path.open("r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        shutil.copy(path, path.with_name(f"all.{number}"))
        file.truncate(0)


def test_two_daemons_and_a_rotation_can_share_a_file(tmp_path: Path, eventually: Wait) -> None:
    shared = tmp_path / "shared"
    daemons = []
    for name in ("one", "two"):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "rules.yaml").write_text(RULES.format(path=shared / "all"))
        daemons.append(Daemon(folder, folder / "rules.yaml"))
    stop = threading.Event()
    rotations: list[int] = []

    def rotate() -> None:
        while not stop.wait(0.02):
            if (shared / "all").exists() and (shared / "all").stat().st_size > 2000:
                _rotate(shared / "all", len(rotations))
                rotations.append(1)

    def send(daemon: Daemon) -> None:
        for _ in range(EVENTS // 2):
            daemon.post("/hooks/open", b'{"n": 1}')

    try:
        threads = [threading.Thread(target=send, args=(daemon,)) for daemon in daemons * 2]
        rotator = threading.Thread(target=rotate)
        for thread in (rotator, *threads):
            thread.start()
        for thread in threads:
            thread.join()
        for daemon in daemons:
            eventually(lambda: _succeeded(daemon) == 3 * EVENTS)  # noqa: B023 - called in this round only
    finally:
        stop.set()
        rotator.join()
        for daemon in daemons:
            daemon.kill()

    lines = [json.loads(line) for path in shared.iterdir() for line in path.read_text().splitlines()]
    assert len({line["delivery"] for line in lines}) == 2 * 3 * EVENTS
    assert len(lines) <= 2 * 3 * EVENTS + len(rotations)  # a line that was written during a rotation is written again
    assert len(rotations) > 3


def _succeeded(daemon: Daemon) -> int:
    return sum(line.get("outcome") == "succeeded" for line in list(daemon.lines))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a file system of 64 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64k,mode=755", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("only root may mount a small disk")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def test_lines_refused_by_a_full_disk_are_appended_later(
    start: Callable[..., Daemon], eventually: Wait, small_disk: Path
) -> None:
    (small_disk / "ballast").write_bytes(b"x" * 40_000)
    daemon = start(f"""
sources: {{open: {{verify: none}}}}
rules:
  - name: all
    actions: [{{append: {small_disk}/all.jsonl, retry: {{initial: 100ms, max: 100ms}}}}]
""")
    body = json.dumps({"fill": "y" * 3000}).encode()
    ids = [daemon.post("/hooks/open", body).json["id"] for _ in range(10)]
    line = daemon.wait_for_line("attempt settled", outcome="retry")
    assert line["error"] == "all.jsonl can't be written: No space left on device"
    with (small_disk / "all.jsonl").open() as file:
        fcntl.flock(file, fcntl.LOCK_SH)  # at a moment without a running write
        assert all(json.loads(text) for text in file.read().splitlines())

    (small_disk / "ballast").unlink()

    eventually(lambda: _succeeded(daemon) == 10)
    lines = [json.loads(text)["id"] for text in (small_disk / "all.jsonl").read_text().splitlines()]
    assert sorted(lines) == sorted(ids)


def _has_open(daemon: Daemon, path: Path) -> bool:
    found = []
    for descriptor in Path(f"/proc/{daemon.process.pid}/fd").iterdir():
        try:
            found.append(descriptor.readlink())
        except FileNotFoundError:
            continue
    return path in found


def test_a_stop_does_not_wait_for_a_file_that_is_locked(
    start: Callable[..., Daemon], eventually: Wait, tmp_path: Path
) -> None:
    rules = "sources: {open: {verify: none}}\nrules: [{name: all, actions: [append: all.jsonl]}]\n"
    daemon = start(rules, flags=("--grace", "0.1"))
    with (tmp_path / "all.jsonl").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        event = daemon.post("/hooks/open", b"{}").json["id"]
        eventually(lambda: _has_open(daemon, tmp_path / "all.jsonl"))
        assert daemon.stop() == 0
    daemon.wait_for_line("attempt settled", outcome="interrupted", state="pending")

    start(rules)

    eventually(lambda: event in (tmp_path / "all.jsonl").read_text())

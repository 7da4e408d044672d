"""The action append, with real files."""

import asyncio
import json
import os
import stat
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from router.actions.append.output_file import Guard, OutputFile
from router.actions.append.write_line import append_line
from router.domain.files.protected import ProtectedPaths
from router.domain.outcomes import Outcome, OutcomeKind
from router.plugins.action import Tools
from router.plugins.target import TargetSpec
from router.runtime.thread_pool import open_threads

Make = Callable[..., Any]
Attempt = Callable[..., Outcome]


def _file(base: Path, *folders: str, follow_symlinks: bool) -> OutputFile:
    """The file a.txt in a folder, without protected files."""
    return OutputFile(base, folders, "a.txt", follow_symlinks, Guard(ProtectedPaths(), templated=False))


def _never() -> float:
    """A deadline that no test reaches."""
    return time.monotonic() + 60


def test_the_default_line_is_the_event_as_json(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    headers = (("X-A", "1"),)

    assert attempt(act("append", {"path": "out/e.jsonl"}), job({"k": "v\n"}, headers=headers)) == Outcome.succeeded()

    text = (tmp_path / "out" / "e.jsonl").read_text()
    assert text.endswith("\n")
    assert json.loads(text) == {
        "id": "018bcfe5-6800-7000-8000-000000000001",
        "delivery": "018bcfe5-6800-7000-8000-000000000002",
        "received_at": "2023-11-14T22:13:20.000Z",
        "source": "github",
        "headers": {"X-A": "1"},
        "payload": {"k": "v\n"},
    }
    assert stat.S_IMODE((tmp_path / "out" / "e.jsonl").stat().st_mode) == 0o600


def test_the_default_line_of_an_item_has_the_item(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    assert (
        attempt(act("append", {"path": "e.jsonl"}), job({"a": [1, {"b": 2}]}, item=("$.a[1]", 1)))
        == Outcome.succeeded()
    )

    assert json.loads((tmp_path / "e.jsonl").read_text())["item"] == {"b": 2}


def test_a_line_break_in_a_payload_does_not_split_a_templated_line(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path
) -> None:
    attempt(act("append", {"path": "a.txt", "line": "{{ payload.t }} by {{ source }}"}), job({"t": "a\r\nforged"}))

    assert (tmp_path / "a.txt").read_text() == "a\\r\\nforged by github\n"


def test_a_line_beyond_the_template_budget_fails_for_good_and_writes_nothing(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path
) -> None:
    loops = "{% for a in payload.n %}{% for b in payload.n %}{{ a }}{% endfor %}{% endfor %}"
    action = act("append", {"path": "a.txt", "line": loops})

    outcome = attempt(action, job({"n": ["x"] * 5_000}))

    assert outcome.kind is OutcomeKind.FAILED
    assert (outcome.error or "").startswith("too much work in a template of payload.n: the rendering takes more than")
    assert not (tmp_path / "a.txt").exists()


def test_a_line_that_takes_long_is_written_whole(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    loops = "{% for a in payload.n %}{% for b in payload.n %}{{ a }}{% endfor %}{% endfor %}"

    assert attempt(act("append", {"path": "a.txt", "line": loops}), job({"n": ["x"] * 150})) == Outcome.succeeded()

    assert (tmp_path / "a.txt").read_text() == "x" * 150 * 150 + "\n"


def test_an_existing_file_keeps_its_mode_and_its_lines(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("first\n")
    path.chmod(0o644)

    attempt(act("append", {"path": "a.txt", "line": "second"}), job({}))

    assert path.read_text() == "first\nsecond\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


_TORN = (
    '{"id":"018bcfe5-6800-7000-8000-000000000001","delivery":"018bcfe5-6800-7000-8000-000000000009","received_at":"20'
)


@pytest.mark.parametrize("length", [1, 7, 30, len(_TORN) - 1])
def test_a_record_torn_by_a_crash_is_cut_off(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path, length: int
) -> None:
    (tmp_path / "a.jsonl").write_text("whole\n" + _TORN[:length])

    attempt(act("append", {"path": "a.jsonl"}), job({}))

    first, second = (tmp_path / "a.jsonl").read_text().splitlines()
    assert first == "whole"
    assert json.loads(second)["source"] == "github"


@pytest.mark.parametrize("tail", ["somebody else's line", '{"id":5}', '{"id":"x","other":1}', "x" * 200_000])
def test_an_unfinished_line_of_another_program_is_kept(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path, tail: str
) -> None:
    (tmp_path / "a.jsonl").write_text("whole\n" + tail)

    attempt(act("append", {"path": "a.jsonl"}), job({}))

    lines = (tmp_path / "a.jsonl").read_text().splitlines()
    assert lines[:2] == ["whole", tail]
    assert json.loads(lines[2])


def test_a_record_without_its_newline_is_kept(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    action = act("append", {"path": "a.jsonl"})
    attempt(action, job({"n": 1}))
    whole = (tmp_path / "a.jsonl").read_text().removesuffix("\n")
    (tmp_path / "a.jsonl").write_text(whole)  # some editors save files like this

    attempt(action, job({"n": 2}))

    first, second = (tmp_path / "a.jsonl").read_text().splitlines()
    assert first == whole
    assert json.loads(second)["payload"] == {"n": 2}


@pytest.mark.parametrize("tail", ["s", "second li", "second line"])
def test_a_torn_templated_line_is_completed_by_its_own_delivery(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path, tail: str
) -> None:
    (tmp_path / "a.txt").write_text("first\n" + tail)

    attempt(act("append", {"path": "a.txt", "line": "second line"}), job({}))

    assert (tmp_path / "a.txt").read_text() == "first\nsecond line\n"


def test_repeated_headers_are_all_written(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    attempt(act("append", {"path": "a.jsonl"}), job({}, headers=(("X-A", "1"), ("X-B", "2"), ("x-a", "3"))))

    assert json.loads((tmp_path / "a.jsonl").read_text())["headers"] == {"X-A": "1, 3", "X-B": "2"}


def test_new_folders_are_private_to_the_owner(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    for options in ({"path": "a/b/c.txt"}, {"path": "d/{{ payload.x }}/f.txt"}):
        attempt(act("append", options), job({"x": "e"}))

    for folder in ("a", "a/b", "d", "d/e"):
        assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700


def test_lines_written_after_a_folder_was_removed_are_kept(tmp_path: Path) -> None:
    import shutil

    stop = threading.Event()

    def remove() -> None:
        while not stop.is_set():
            shutil.rmtree(tmp_path / "out", ignore_errors=True)

    remover = threading.Thread(target=remove)
    remover.start()
    try:
        for i in range(200):
            try:
                append_line(_file(tmp_path / "out", "b", follow_symlinks=False), f"{i}\n".encode(), False, _never())
            except OSError as error:  # its folder was removed ten times in a row
                assert error.errno in (2, 11), error
    finally:
        stop.set()
        remover.join()

    append_line(_file(tmp_path / "out", "b", follow_symlinks=False), b"last\n", False, _never())
    assert (tmp_path / "out" / "b" / "a.txt").read_text().splitlines()[-1] == "last"


def test_a_line_written_during_a_rotation_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, rotations = os.write, ["rename", "copytruncate"]

    def write(fd: int, data: bytes) -> int:
        written = real(fd, data)
        if rotations and rotations.pop(0) == "rename":
            (tmp_path / "a.txt").rename(tmp_path / "a.txt.1")
        elif (tmp_path / "a.txt").stat().st_size and len(rotations) == 0 and not (tmp_path / "a.txt.2").exists():
            (tmp_path / "a.txt.2").write_text("")  # the rotation copied the file before the line was written
            os.truncate(tmp_path / "a.txt", 0)
        return written

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        append_line(_file(tmp_path, follow_symlinks=True), b"line\n", False, _never())

    assert (tmp_path / "a.txt").read_text() == "line\n"


def test_concurrent_writes_and_rotations_keep_every_line_whole(tmp_path: Path) -> None:
    rotated = 0
    stop = threading.Event()

    def write(number: int) -> None:
        for i in range(100):
            line = f"{number}-{i}-{'x' * 300}\n".encode()
            append_line(_file(tmp_path, follow_symlinks=True), line, False, _never())

    def rotate() -> None:
        nonlocal rotated
        while not stop.is_set():
            if (tmp_path / "a.txt").exists() and (tmp_path / "a.txt").stat().st_size > 3000:
                (tmp_path / "a.txt").rename(tmp_path / f"a.txt.{rotated}")
                rotated += 1

    rotator = threading.Thread(target=rotate)
    rotator.start()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    stop.set()
    rotator.join()

    lines = [line for path in tmp_path.iterdir() for line in path.read_text().splitlines()]
    assert set(lines) == {f"{n}-{i}-{'x' * 300}" for n in range(4) for i in range(100)}
    assert len(lines) <= 400 + rotated  # a line that was written during a rotation is written again
    assert rotated > 1


def test_a_templated_path_stays_below_its_constant_part(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    action = act("append", {"path": "logs/{{ payload.repo }}.txt", "line": "x"})

    assert attempt(action, job({"repo": "acme/api"})).kind is OutcomeKind.SUCCEEDED

    assert (tmp_path / "logs" / "acme" / "api.txt").read_text() == "x\n"
    for repo in ("../up", "a/../../up", "/etc/passwd", "a//b", ".", "a/./b", "x\0y", "y" * 300):
        outcome = attempt(action, job({"repo": repo}, body=b""))
        assert outcome.kind is OutcomeKind.FAILED or repo == ".", repo
    assert not (tmp_path / "up.txt").exists()


def test_a_templated_path_follows_no_symlink(act: Make, job: Make, attempt: Attempt, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "logs" / "file.txt").symlink_to(tmp_path / "outside" / "file.txt")
    action = act("append", {"path": "logs/{{ payload.repo }}.txt", "line": "x"})

    for repo in ("folder/x", "file"):
        outcome = attempt(action, job({"repo": repo}))
        assert outcome.kind is OutcomeKind.RETRY
    assert not list((tmp_path / "outside").iterdir())


def test_a_constant_path_follows_the_operators_own_symlink(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path
) -> None:
    (tmp_path / "real.txt").write_text("")
    (tmp_path / "link.txt").symlink_to("real.txt")

    attempt(act("append", {"path": "link.txt", "line": "x"}), job({}))

    assert (tmp_path / "real.txt").read_text() == "x\n"


def test_a_path_that_is_not_a_regular_file_fails_without_blocking(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "fifo")

    outcome = attempt(act("append", {"path": "fifo"}), job({}))

    assert outcome.kind is OutcomeKind.RETRY
    assert outcome.error == "fifo is not a regular file"


def test_a_locked_file_times_out_and_frees_its_thread(act: Make, job: Make, tmp_path: Path) -> None:
    import fcntl

    action = act("append", {"path": "a.txt", "timeout": "100ms"})
    other = act("append", {"path": "b.txt"})

    async def try_often() -> list[Outcome]:
        async with open_threads("append", 4) as threads:
            tools = Tools(threads)
            outcomes = [await action.attempt(job({}), tools) for _ in range(6)]  # more than the number of threads
            outcomes.append(await other.attempt(job({}), tools))
            assert threads.under_way(action.target.key) == 0
        return outcomes

    with (tmp_path / "a.txt").open("a") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        *locked, free = asyncio.run(try_often())

    assert free.kind is OutcomeKind.SUCCEEDED
    assert {outcome.error for outcome in locked} == {"not written within 0.1 s; another program holds the file's lock"}
    assert (tmp_path / "a.txt").read_text() == ""  # no line is written later


def test_a_hanging_write_does_not_block_other_files(
    act: Make, job: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate, real = threading.Event(), os.fsync

    def hang(fd: int) -> None:
        # A lost network mount blocks a thread like this.
        if (tmp_path / "a.txt").exists() and os.fstat(fd).st_ino == (tmp_path / "a.txt").stat().st_ino:
            gate.wait(60)
        real(fd)

    action, other = act("append", {"path": "a.txt", "timeout": "100ms"}), act("append", {"path": "b.txt"})
    object.__setattr__(other, "target", TargetSpec("deploy/other", 1))

    async def attempts() -> list[Outcome]:
        async with open_threads("append", 4) as threads:
            outcomes = [await action.attempt(job({}), Tools(threads)) for _ in range(5)]
            outcomes.append(await other.attempt(job({}), Tools(threads)))
            gate.set()
        return outcomes

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", hang)
        first, *later, free = asyncio.run(attempts())

    assert "is its disk slow" in first.error
    assert {outcome.error for outcome in later} == {
        "an earlier write has not returned yet; is its disk or network mount gone?"
    }
    assert free.kind is OutcomeKind.SUCCEEDED


def test_a_full_disk_leaves_no_part_of_a_line(
    act: Make, job: Make, attempt: Attempt, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.txt").write_text("whole\n")
    real, calls = os.write, []

    def write(fd: int, data: bytes) -> int:
        calls.append(fd)
        if len(calls) == 1:
            return real(fd, data[:3])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space"):
            append_line(_file(tmp_path, follow_symlinks=True), b"second\n", False, _never())

    assert (tmp_path / "a.txt").read_text() == "whole\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"path": "out/"}, "path: expected a file"),
        ({"path": "."}, "path: expected a file"),
        ({"path": "../{{ payload.x }}"}, "no .. before its first"),
        ({"path": "{{ secrets.key }}.txt"}, "a secret in a file's name"),
        ({"path": "{{ nope }}"}, "path: unknown name"),
        ({"path": "{{ payload.x }}.jsonl"}, "path: payload text could lead to the rules file's folder"),
        ({"path": "a", "line": "{{ nope }}"}, "line: unknown name"),
    ],
)
def test_wrong_options_are_reported_with_their_place(faults: Make, options: dict[str, Any], message: str) -> None:
    found = faults("append", options, secrets={"key": "hush"})

    assert any(message in fault for fault in found), found


def test_append_refuses_files_that_rules_may_run(faults: Make, tmp_path: Path) -> None:
    (tmp_path / "ok").mkdir()

    found = faults("append", {"path": "ok/go.sh"}, commands=str(tmp_path / "ok"))

    assert found == [
        "path: this path leads to the --commands folder; choose a file in a folder of its own, such as out/"
    ]
    assert faults("append", {"path": "out/go.sh"}, commands=str(tmp_path / "ok")) == []


def test_the_preview_of_an_append_writes_nothing(act: Make, job: Make, tmp_path: Path) -> None:
    action = act("append", {"path": "out/{{ payload.x }}.txt", "line": "{{ secrets.key }}"}, secrets={"key": "hush"})

    shown = action.preview(job({"x": "a"}, secrets={"key": "hush"}))

    assert shown == {"path": str(tmp_path / "out" / "a.txt"), "line": "<secret:key>"}
    assert not (tmp_path / "out").exists()

"""The reloader notices every way of saving, loads no half-written file, and knows why the file is not what runs.

These tests use the real file system and the real loader.
"""

import contextlib
import fcntl
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level, Problem, RulesError, StoreError
from router.rules.compile.loader import Loader
from router.rules.reload import drift_tracker, file_watch, reloader
from router.rules.reload.drift import Drift, DriftReason, Reloaded, ReloadRefused
from router.rules.reload.file_stat import is_open_for_writing
from router.rules.reload.reloader import MAX_LOGGED, Reloader
from router.rules.reload.ruleset_diff import MOST_NAMES, RulesetDiff
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.rules.yaml.document import MAX_BYTES
from router.rules.yaml.problems import MAX_PROBLEMS
from tests.conftest import until
from tests.rules.reload.ways_of_saving import WAYS, Save

TOP = "sources: {open: {verify: none}}\nrules:\n"
RULE = "  - {{name: {}, actions: [append: out.jsonl]}}\n"
BAD = TOP + "  - {name: bad, stopp: true, actions: [append: out.jsonl]}\n"
TIMEOUT = 30.0


def rules(*names: str) -> str:
    """The text of a rules file with these rules."""
    return TOP + "".join(RULE.format(name) for name in names)


@dataclass
class WatchedFile:
    """A rules file that a reloader watches."""

    path: Path
    environ: dict[str, str] = field(default_factory=dict)
    taken: list[tuple[str, ...]] = field(default_factory=list)  #: names of the rules after each swap
    swapped: list[tuple[bool, int]] = field(
        default_factory=list
    )  #: for each swap: whether the new rules ran, and how many swaps were reported before
    changes: list[RulesetDiff] = field(default_factory=list)
    refused: list[ReloadRefused] = field(default_factory=list)
    drifts: list[Drift | None] = field(default_factory=list)
    prepare: Callable[[Ruleset], None] = lambda _: None
    lines: list[Any] = field(default_factory=list)

    def start(self) -> "WatchedFile":
        """Load the file, watch it, and wait until the reloader has seen it."""
        loader = Loader(REGISTRIES, self.environ)
        self.current = CurrentRuleset(loader.load_file(self.path).require())
        self.reloader = Reloader(
            self.path,
            loader,
            self.current,
            self._prepare,
            self._applied,
            refused=self.refused.append,
            drifted=self.drifts.append,
            swapped=lambda ruleset: self.swapped.append((ruleset is self.current.ruleset, len(self.taken))),
        )
        self.reloader.start()
        until(lambda: self.is_quiet)
        return self

    def _prepare(self, ruleset: Ruleset) -> None:
        self.prepare(ruleset)

    def _applied(self, ruleset: Ruleset, change: RulesetDiff) -> None:
        self.taken.append(tuple(rule.name for rule in ruleset.rules))
        self.changes.append(change)

    @property
    def is_quiet(self) -> bool:
        """Whether the reloader has decided about the current files."""
        now = self.reloader._file.snapshot(list(self.reloader._secrets))
        return self.reloader._judged == now and self.reloader._changing_since is None

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the running rules."""
        return tuple(rule.name for rule in self.current.ruleset.rules)

    def why(self) -> DriftReason | None:
        """The reason why the file is not what runs."""
        drift = self.reloader.drift()
        return drift.why if drift else None

    def was_refused_for(self, why: DriftReason) -> bool:
        """Whether the last refusal has this reason. It is reported after `why` shows it."""
        return bool(self.refused) and self.refused[-1].why is why

    def refused_as_found(self) -> list[ReloadRefused]:
        """The refusals of a file that exists. Between two steps of a test the file may be gone for a moment."""
        return [one for one in self.refused if one.why is not DriftReason.GONE]

    def said(self, message: str) -> list[Any]:
        """The log lines with this message."""
        return [line for line in self.lines if line["event"] == message]


@pytest.fixture
def watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., WatchedFile]]:
    """Return a function that watches a file with this text, or the file that exists."""
    # More checks than in a daemon see more half-written states, and save half a minute.
    monkeypatch.setattr(reloader, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(reloader, "NEAR_SECONDS", 0.02)
    begun: list[WatchedFile] = []
    with capture_logs() as lines:

        def start(text: str | None = None, path: Path | None = None, **more: Any) -> WatchedFile:
            path = path or tmp_path / "rules.yaml"
            if text is not None:
                path.write_text(text)
            watched = WatchedFile(path, lines=lines, **more)
            begun.append(watched)
            return watched.start()

        yield start
        for watched in begun:
            watched.reloader.stop()
            assert not watched.reloader.alive


@pytest.mark.parametrize("save", WAYS, ids=lambda save: save.__name__)
def test_every_way_of_saving_triggers_a_reload(watch: Callable[..., WatchedFile], save: Save) -> None:
    watched = watch(rules("before", "stays"))

    save(watched.path, rules("after", "stays"))

    until(lambda: watched.taken and watched.said("rules reloaded"))
    assert watched.taken == [("after", "stays")]  # once, with no other rules in between
    assert watched.names == ("after", "stays")
    [line] = watched.said("rules reloaded")
    assert (line["added"], line["removed"], line["changed"]) == (["after"], ["before"], [])
    assert watched.why() is None
    assert watched.refused == []


def test_repeated_saves_each_trigger_a_reload(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("r0"))
    for number, save in enumerate(WAYS[:8], 1):
        save(watched.path, rules(f"r{number}"))
        until(lambda: watched.taken[-1:] == [(f"r{number}",)])  # noqa: B023 - called in this round only
    assert len(watched.taken) == 8


@pytest.mark.parametrize("same_inode", [True, False])
def test_an_edit_with_the_same_size_and_time_triggers_a_reload(
    watch: Callable[..., WatchedFile], same_inode: bool
) -> None:
    watched = watch(rules("one"))
    before = watched.path.stat()
    new = watched.path if same_inode else watched.path.with_name("new")

    new.write_text(rules("two"))
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))
    new.replace(watched.path)

    assert (watched.path.stat().st_mtime_ns, watched.path.stat().st_size) == (before.st_mtime_ns, before.st_size)
    until(lambda: watched.names == ("two",))


def test_an_edit_hidden_by_a_coarse_clock_is_found_by_reading_again(
    watch: Callable[..., WatchedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Some file systems store times in steps of two seconds, so that two writes of equal size look the same. Here the
    # check ignores the times.
    from router.rules.reload import rules_file

    monkeypatch.setattr(rules_file, "file_stat", lambda path: (0, 0, path.stat().st_size))
    watched = watch(rules("one"))
    watched.path.write_text(rules("other"))
    until(lambda: watched.names == ("other",))
    watched.path.write_text(rules("third"))

    until(lambda: watched.names == ("third",))


def _swap_symlink(link: Path, target: str) -> None:
    link.with_name("..tmp").symlink_to(target)
    link.with_name("..tmp").replace(link)


@pytest.mark.parametrize("level", ["data", "file"])
def test_a_configmap_symlink_swap_triggers_a_reload(
    watch: Callable[..., WatchedFile], tmp_path: Path, level: str
) -> None:
    for name in ("one", "two"):
        (tmp_path / f"..2026_{name}").mkdir()
        (tmp_path / f"..2026_{name}" / "rules.yaml").write_text(rules(name))
    (tmp_path / "..data").symlink_to("..2026_one")
    (tmp_path / "rules.yaml").symlink_to("..data/rules.yaml")
    watched = watch()

    if level == "data":
        _swap_symlink(tmp_path / "..data", "..2026_two")
        shutil.rmtree(tmp_path / "..2026_one")
    else:
        _swap_symlink(tmp_path / "rules.yaml", "..2026_two/rules.yaml")

    until(lambda: watched.names == ("two",))
    assert watched.current.ruleset.text.base_dir == str(tmp_path / "..2026_two")


def test_a_swap_to_another_folder_reloads_since_paths_are_relative_to_it(
    watch: Callable[..., WatchedFile], tmp_path: Path
) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    (tmp_path / "one" / "rules.yaml").write_text(rules("same"))
    (tmp_path / "two" / "rules.yaml").hardlink_to(tmp_path / "one" / "rules.yaml")
    (tmp_path / "now").symlink_to("one")
    watched = watch(path=tmp_path / "now" / "rules.yaml")

    _swap_symlink(tmp_path / "now", "two")

    until(lambda: watched.changes)
    assert watched.current.ruleset.text.base_dir == str(tmp_path / "two")
    assert watched.changes == [RulesetDiff(besides=("folder that paths start from",))]


def test_a_slowly_written_file_is_never_loaded_half_written(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a", "b", "c", "d"))
    pieces = [TOP + RULE.format("a"), RULE.format("b"), RULE.format("c"), RULE.format("e")]
    pause = threading.Event()

    with watched.path.open("w") as file:
        for piece in pieces:  # after each piece the file is valid, with fewer rules
            file.write(piece)
            file.flush()
            pause.wait(file_watch.UNTOLD_SECONDS * 0.7)

    until(lambda: watched.taken)
    assert watched.taken == [("a", "b", "c", "e")]
    assert watched.refused == []


@pytest.mark.parametrize("told_by", ["lease", "inotify"])
def test_a_reload_waits_while_a_writer_has_the_file_open(
    watch: Callable[..., WatchedFile], monkeypatch: pytest.MonkeyPatch, told_by: str
) -> None:
    if told_by == "inotify":  # as for a file that belongs to another user
        monkeypatch.delattr(fcntl, "F_SETLEASE")
    watched = watch(rules("a", "b"))
    with watched.path.open("r+") as file:
        if told_by == "lease" and is_open_for_writing(watched.path) is None:
            pytest.skip("the file system of temporary files doesn't tell who has a file open")
        file.truncate()
        file.write(rules("a"))
        file.flush()
        threading.Event().wait(file_watch.UNTOLD_SECONDS * 2)
        assert (watched.taken, watched.refused) == ([], [])
        file.write(RULE.format("c"))

    until(lambda: watched.taken)
    assert watched.taken == [("a", "c")]


def test_the_wait_for_an_open_writer_is_limited(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("before"))
    with watched.path.open("r+") as file:
        file.truncate()
        file.write(rules("after"))
        file.flush()
        until(lambda: watched.names == ("after",))
        assert DriftReason.UNSETTLED in [drift.why for drift in watched.drifts if drift]
    until(lambda: watched.why() is None)


@pytest.mark.parametrize("same", [True, False])
def test_a_removed_file_is_loaded_when_it_returns(watch: Callable[..., WatchedFile], same: bool) -> None:
    watched = watch(rules("before"))

    watched.path.unlink()
    until(lambda: watched.why() is DriftReason.GONE)
    assert len(watched.said("rules file is gone; the running rules stay")) == 1
    assert watched.names == ("before",)
    watched.path.write_text(rules("before" if same else "after"))

    until(lambda: watched.why() is None)
    assert watched.names == (("before",) if same else ("after",))
    assert [line["was"] for line in watched.said("rules file is what runs again")] == (["gone"] if same else [])


def test_a_folder_can_be_renamed_and_renamed_back(watch: Callable[..., WatchedFile], tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    watched = watch(rules("same"), path=tmp_path / "etc" / "rules.yaml")

    (tmp_path / "etc").rename(tmp_path / "away")
    until(lambda: watched.why() is DriftReason.GONE)
    (tmp_path / "away").rename(tmp_path / "etc")

    until(lambda: watched.why() is None)
    assert watched.taken == []


@pytest.fixture
def nobody() -> Iterator[Callable[[], None]]:
    """Return a function that gives up root's rights, if the tests run as root. They return at the end."""
    yield lambda: os.seteuid(65534) if os.getuid() == 0 else None
    os.seteuid(os.getuid())


def test_a_file_is_loaded_again_once_it_is_readable(
    watch: Callable[..., WatchedFile], nobody: Callable[[], None]
) -> None:
    with tempfile.TemporaryDirectory() as folder:  # other users can't enter pytest's folder
        Path(folder).chmod(0o755)
        path = Path(folder, "rules.yaml")
        path.write_text(rules("before"))
        if os.getuid() == 0:
            os.chown(path, 65534, -1)
        watched = watch(path=path)
        nobody()

        path.chmod(0)
        until(lambda: watched.why() is DriftReason.UNREADABLE)
        assert "Permission denied" in str(watched.reloader.drift())
        path.chmod(0o600)

        until(lambda: watched.why() is None)
        assert watched.taken == []
        os.seteuid(os.getuid())


def test_a_world_writable_file_is_refused_until_its_mode_is_fixed(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("good"))

    watched.path.chmod(0o666)
    until(lambda: watched.why() is DriftReason.WRITABLE)
    watched.path.write_text(rules("foreign"))
    until(lambda: watched.is_quiet)
    assert watched.names == ("good",)
    watched.path.chmod(0o644)

    until(lambda: watched.names == ("foreign",))


def test_a_folder_that_everybody_may_write_is_reported_until_it_is_fixed(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("good"))
    folder = watched.path.parent
    mode = folder.stat().st_mode & 0o7777

    folder.chmod(0o777)
    until(lambda: watched.why() is DriftReason.WRITABLE)
    watched.path.write_text(rules("foreign"))
    until(lambda: watched.is_quiet)
    assert watched.names == ("good",)
    folder.chmod(mode)

    until(lambda: watched.names == ("foreign",))


def _a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _a_circle(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.name)


def _a_dangling_symlink(path: Path) -> None:
    path.unlink()
    path.symlink_to("nowhere")


def _a_device(path: Path) -> None:
    path.unlink()
    path.symlink_to("/dev/zero")


@pytest.mark.parametrize(
    ("become", "why"),
    [
        (_a_folder, DriftReason.UNREADABLE),
        (_a_pipe, DriftReason.UNREADABLE),
        (_a_device, DriftReason.UNREADABLE),
        (_a_circle, DriftReason.UNREADABLE),
        (_a_dangling_symlink, DriftReason.GONE),
    ],
)
def test_a_path_that_is_not_a_file_keeps_the_old_rules(
    watch: Callable[..., WatchedFile], become: Callable[[Path], None], why: DriftReason
) -> None:
    watched = watch(rules("before"))

    become(watched.path)

    until(lambda: watched.why() is why)
    asked = watched.reloader.reload_now(TIMEOUT)
    assert isinstance(asked, ReloadRefused)
    assert (asked.why, asked.hash) == (why, watched.current.ruleset.hash)
    if watched.path.is_dir():
        watched.path.rmdir()
    else:
        watched.path.unlink()
    watched.path.write_text(rules("after"))
    until(lambda: watched.names == ("after",))


@pytest.mark.parametrize("sparse", [MAX_BYTES + 4, 1 << 40])
def test_a_too_large_file_is_refused_without_reading_it(watch: Callable[..., WatchedFile], sparse: int) -> None:
    watched = watch(rules("before"))

    os.truncate(watched.path, sparse)

    until(lambda: watched.why() is DriftReason.PROBLEMS)
    drift = watched.reloader.drift()
    assert drift
    assert [problem.message for problem in drift.problems] == ["the file is larger than 16 MiB; split it"]


def test_a_file_emptied_by_a_full_disk_is_an_error(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("before"))

    os.truncate(watched.path, 0)

    until(lambda: watched.why() is DriftReason.PROBLEMS)
    assert "the file is empty" in str(watched.reloader.drift())
    assert watched.names == ("before",)


def test_restoring_the_running_file_ends_the_refusal(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("good"))
    watched.path.write_text(BAD)
    until(lambda: watched.why() is DriftReason.PROBLEMS)
    first = watched.reloader.drift()
    os.utime(watched.path)  # a touch is not reported
    until(lambda: watched.is_quiet)
    watched.path.write_text(BAD + "nonsense: 1\n")
    until(lambda: len(watched.refused) == 2)
    second = watched.reloader.drift()
    assert first
    assert second
    assert first.since == second.since  # the time since which the file is not what runs
    assert first.problems[0].line == 3

    watched.path.write_text(rules("good"))

    until(lambda: watched.drifts[-1:] == [None])
    assert [line["was"] for line in watched.said("rules file is what runs again")] == ["problems"]
    assert [drift.why if drift else None for drift in watched.drifts] == [
        DriftReason.PROBLEMS,
        DriftReason.PROBLEMS,
        None,
    ]
    assert watched.taken == []
    watched.path.write_text(BAD)  # the same mistake is reported again
    until(lambda: len(watched.refused) == 3)


def _for_all_to_write(path: Path) -> Callable[[], Any]:
    path.chmod(0o646)
    return lambda: path.chmod(0o644)


def _away(path: Path) -> Callable[[], Any]:
    away = path.rename(path.with_name("away"))
    return lambda: away.replace(path)


def _a_folder_instead(path: Path) -> Callable[[], Any]:
    away = path.rename(path.with_name("away"))
    path.mkdir()

    def end() -> None:
        path.rmdir()
        away.replace(path)

    return end


def _too_large(path: Path) -> Callable[[], Any]:
    away = path.rename(path.with_name("away"))
    path.write_bytes(b"#" * (MAX_BYTES + 10))
    return lambda: away.replace(path)


@pytest.mark.parametrize(
    ("hinder", "why"),
    [
        (_away, DriftReason.GONE),
        (_a_folder_instead, DriftReason.UNREADABLE),
        (_for_all_to_write, DriftReason.WRITABLE),
        (_too_large, DriftReason.PROBLEMS),
    ],
)
def test_a_refused_file_is_refused_again_after_a_read_error(
    watch: Callable[..., WatchedFile], hinder: Callable[[Path], Callable[[], Any]], why: DriftReason
) -> None:
    watched = watch(rules("good"))
    watched.path.write_text(BAD)
    until(lambda: watched.why() is DriftReason.PROBLEMS)
    first = watched.reloader.drift()
    end = hinder(watched.path)
    until(lambda: watched.why() is why and watched.reloader.drift() != first)

    end()

    until(lambda: watched.reloader.drift() == first)
    assert len(watched.said("rules not reloaded; the running rules stay")) == (2 if why is DriftReason.GONE else 3)


@pytest.mark.parametrize("hinder", [_a_folder_instead, _for_all_to_write, _too_large])
def test_a_path_that_is_not_a_file_is_reported_once(
    watch: Callable[..., WatchedFile], monkeypatch: pytest.MonkeyPatch, hinder: Callable[[Path], Callable[[], Any]]
) -> None:
    monkeypatch.setattr(reloader, "RECHECK_SECONDS", 0.3)
    watched = watch(rules("good"))

    end = hinder(watched.path)
    until(lambda: watched.refused_as_found() and watched.is_quiet and watched.reloader._recheck_at is None)

    assert len(watched.refused_as_found()) == 1
    assert len(watched.said("rules not reloaded; the running rules stay")) == 1
    end()
    until(lambda: watched.why() is None)
    hinder(watched.path)  # a later refusal is reported again
    until(lambda: len(watched.refused_as_found()) == 2)


def test_a_reload_logs_what_changed(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a", "b", "c"))
    watched.path.write_text(
        "sources: {open: {verify: none, path: /new}}\ntargets: {ci: {url: 'http://127.0.0.1:9'}}\n"
        "defaults: {timeout: 5s}\nrules:\n"
        + RULE.format("c")
        + RULE.format("b").replace("out", "other")
        + "  - {name: d, actions: [forward: {target: ci}]}\n"
        "unmatched: [append: rest.jsonl]\n"
    )

    until(lambda: watched.changes)

    assert watched.changes == [
        RulesetDiff(("d",), ("a",), ("b",), ("sources.open", "targets.ci", "defaults", "unmatched", "order of rules"))
    ]
    [line] = watched.said("rules reloaded")
    assert not line["unchanged"]
    assert line["besides"] == ["sources.open", "targets.ci", "defaults", "unmatched", "order of rules"]


def test_a_changed_comment_is_reported_as_no_change(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a"))

    watched.path.write_text("# why\n" + rules("a"))

    until(lambda: watched.changes)
    assert watched.changes == [RulesetDiff()]
    assert [line["unchanged"] for line in watched.said("rules reloaded")] == [True]
    assert watched.current.ruleset.text.text.startswith("# why")


def test_a_reload_of_thousands_of_rules_names_only_some(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a"))

    watched.path.write_text(rules(*(f"r{number}" for number in range(500))))

    until(lambda: watched.changes)
    [line] = watched.said("rules reloaded")
    assert line["added"] == [f"r{number}" for number in range(MOST_NAMES)]
    assert line["added_in_all"] == 500
    assert "removed_in_all" not in line


SECRET = (
    "sources: {{open: {{verify: {{scheme: token, header: X-Token, secret: {{file: token}}}}}}}}\n"
    "rules:\n  - {{name: {}, actions: [append: out.jsonl]}}\n"
)


def test_a_rotated_secret_takes_effect_without_an_edit(watch: Callable[..., WatchedFile], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("planted-before\n")
    watched = watch(SECRET.format("a"))

    (tmp_path / "token").write_text("planted-after\n")

    until(lambda: watched.changes)
    assert watched.changes == [RulesetDiff(besides=("secret file token",))]
    assert watched.current.ruleset.used_secrets["file token"].reveal() == "planted-after"
    assert "planted-" not in str(watched.lines)


def test_a_missing_secret_keeps_the_old_rules_until_it_returns(
    watch: Callable[..., WatchedFile], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("old\n")
    watched = watch(SECRET.format("a"))

    (tmp_path / "token").unlink()
    until(lambda: watched.why() is DriftReason.SECRET)
    assert watched.current.ruleset.used_secrets["file token"].reveal() == "old"
    (tmp_path / "token").write_text("new\n")

    until(lambda: watched.why() is None)
    assert watched.current.ruleset.used_secrets["file token"].reveal() == "new"


def test_a_refused_file_is_loaded_once_its_missing_secret_exists(
    watch: Callable[..., WatchedFile], tmp_path: Path
) -> None:
    watched = watch(rules("a"))
    watched.path.write_text(SECRET.format("b"))
    until(lambda: watched.why() is DriftReason.SECRET)

    (tmp_path / "token").write_text("here")

    until(lambda: watched.names == ("b",))


def test_a_fixed_file_reads_the_secret_that_changed_meanwhile(
    watch: Callable[..., WatchedFile], tmp_path: Path
) -> None:
    (tmp_path / "token").write_text("old\n")
    watched = watch(SECRET.format("a"))
    watched.path.write_text(BAD)
    until(lambda: watched.why() is DriftReason.PROBLEMS)
    (tmp_path / "token").write_text("new\n")
    until(lambda: len(watched.refused) >= 2)

    watched.path.write_text(SECRET.format("a"))

    until(lambda: watched.why() is None)
    assert watched.current.ruleset.used_secrets["file token"].reveal() == "new"


def test_a_reload_the_store_cannot_record_is_retried(
    watch: Callable[..., WatchedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloader, "RETRY_SECONDS", 0.3)
    watched = watch(rules("before"))

    def full(_: Ruleset) -> None:
        raise StoreError("the store can't commit: disk is full")

    watched.prepare = full
    watched.path.write_text(rules("after"))
    until(lambda: len(watched.refused) >= 3)
    assert watched.why() is DriftReason.UNRECORDED
    assert len(watched.said("rules not reloaded; the running rules stay")) == 1
    assert watched.names == ("before",)
    watched.prepare = lambda _: None

    until(lambda: watched.names == ("after",))
    until(lambda: watched.why() is None)


def test_the_refusal_has_the_problems_that_another_process_found(
    watch: Callable[..., WatchedFile],
) -> None:
    watched = watch(rules("before"))
    problem = Problem("rules.yaml", 3, 1, "secrets.s", "can't be read")

    def refuse(_: Ruleset) -> None:
        raise RulesError([problem])

    watched.prepare = refuse
    watched.path.write_text(rules("after"))
    until(lambda: watched.refused)

    assert (watched.why(), watched.refused[0].problems) == (DriftReason.PROBLEMS, (problem,))
    assert watched.names == ("before",)
    assert watched.swapped == []


def test_other_processes_swap_before_a_reload_is_reported(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("before"))
    watched.path.write_text(rules("after"))
    until(lambda: watched.taken)

    assert watched.swapped == [(True, 0)]


def test_an_unexpected_exception_is_reported_to_the_caller(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("before"))

    def broken(_: Ruleset) -> None:
        raise ZeroDivisionError

    watched.prepare = broken
    answer = watched.reloader.reload_now(TIMEOUT)

    assert isinstance(answer, ReloadRefused)
    assert (answer.why, answer.problems[0].message) == (DriftReason.FAULT, "internal error (ZeroDivisionError)")
    assert watched.why() is DriftReason.FAULT
    watched.prepare = lambda _: None
    assert isinstance(watched.reloader.reload_now(TIMEOUT), Reloaded)
    assert watched.why() is None


def test_a_failing_listener_keeps_the_new_rules(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("before"))
    watched.changes = None  # type: ignore[assignment]
    watched.path.write_text(rules("after"))

    answer = watched.reloader.reload_now(TIMEOUT)

    assert isinstance(answer, Reloaded)
    assert watched.names == ("after",)
    assert watched.said("telling of a reload failed; the new rules run")


def test_a_requested_reload_returns_its_result(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a", "b"))
    same = watched.reloader.reload_now(TIMEOUT)
    watched.path.write_text(rules("b", "c"))
    other = watched.reloader.reload_now(TIMEOUT)
    watched.path.write_text(BAD)
    bad = watched.reloader.reload_now(TIMEOUT)

    assert isinstance(same, Reloaded)
    assert not same.change
    assert isinstance(other, Reloaded)
    assert (other.rules, other.change) == (2, RulesetDiff(("c",), ("a",)))
    assert other.hash == watched.current.ruleset.hash
    assert isinstance(bad, ReloadRefused)
    assert bad.why is DriftReason.PROBLEMS
    assert bad.problems == Loader(REGISTRIES, {}).load_file(watched.path).problems
    assert bad.hash == other.hash


def test_concurrent_reload_requests_share_reloads(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a"))

    with ThreadPoolExecutor(32) as pool:
        answers = [
            one.result(TIMEOUT) for one in [pool.submit(watched.reloader.reload_now, TIMEOUT) for _ in range(200)]
        ]

    assert all(isinstance(answer, Reloaded) for answer in answers)
    assert len(watched.taken) < 200


def test_a_reload_requested_during_a_write_times_out(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a"))
    with watched.path.open("w") as file:
        file.write(TOP)
        file.flush()
        began = time.monotonic()
        answer = watched.reloader.reload_now(0.6)
        assert time.monotonic() - began < file_watch.HELD_SECONDS
        assert isinstance(answer, ReloadRefused)
        assert answer.why is DriftReason.UNSETTLED
        file.write(RULE.format("b"))
    until(lambda: watched.names == ("b",))


def test_a_slow_requested_reload_times_out(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a"))
    go_on = threading.Event()

    def slow(_: Ruleset) -> None:
        go_on.wait(TIMEOUT)

    watched.prepare = slow

    answer = watched.reloader.reload_now(0.3)
    go_on.set()

    assert isinstance(answer, ReloadRefused)
    assert answer.why is DriftReason.TIMEOUT
    until(lambda: watched.taken == [("a",)])


def test_a_stop_answers_waiting_and_later_reload_requests(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a"))
    go_on, inside = threading.Event(), threading.Event()

    def slow(_: Ruleset) -> None:
        inside.set()
        go_on.wait(TIMEOUT)

    watched.prepare = slow
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(watched.reloader.reload_now, TIMEOUT)
        assert inside.wait(TIMEOUT)
        second = pool.submit(watched.reloader.reload_now, TIMEOUT)
        until(lambda: len(watched.reloader._waiting) == 2)
        stopped = pool.submit(watched.reloader.stop)
        until(lambda: watched.reloader._stopping)
        late = watched.reloader.reload_now(TIMEOUT)
        go_on.set()
        stopped.result(TIMEOUT)

    assert isinstance(first.result(), Reloaded)
    for answer in (second.result(), late):
        assert isinstance(answer, ReloadRefused)
        assert answer.why is DriftReason.STOPPING


def test_a_file_that_differs_from_the_running_rules_is_reported_repeatedly(
    watch: Callable[..., WatchedFile], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(drift_tracker, "REMIND_SECONDS", 0.3)
    watched = watch(rules("a"))
    watched.path.write_text(BAD)

    until(lambda: len(watched.said("rules file is not what runs")) >= 2)

    line = watched.said("rules file is not what runs")[0]
    assert line["why"] == "problems"
    assert line["problem"].startswith(f"{watched.path}:3:")
    assert len(watched.said("rules not reloaded; the running rules stay")) == 1
    watched.path.write_text(rules("a"))
    until(lambda: watched.why() is None)
    told = len(watched.said("rules file is not what runs"))
    threading.Event().wait(0.7)
    assert len(watched.said("rules file is not what runs")) == told


def test_an_edit_before_the_first_poll_is_found(watch: Callable[..., WatchedFile], tmp_path: Path) -> None:
    watched = WatchedFile(tmp_path / "rules.yaml")
    watched.path.write_text(rules("a"))
    current = CurrentRuleset(Loader(REGISTRIES, {}).load_file(watched.path).require())
    watched.path.write_text(rules("b"))
    reloader = Reloader(watched.path, Loader(REGISTRIES, {}), current, lambda _: None, lambda *_: None)

    reloader.start()

    until(lambda: [rule.name for rule in current.ruleset.rules] == ["b"])
    reloader.stop()


def test_warnings_are_listed_but_do_not_refuse_a_reload(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a"))
    watched.path.write_text("targets: {unused: {url: 'http://127.0.0.1:9'}}\n" + BAD.replace("name: bad", "name: 007"))

    answer = watched.reloader.reload_now(TIMEOUT)
    drift = watched.reloader.drift()

    assert isinstance(answer, ReloadRefused)
    assert answer.problems == Loader(REGISTRIES, {}).load_file(watched.path).problems
    assert {problem.level for problem in answer.problems} == {Level.ERROR, Level.WARNING}
    assert drift
    assert {problem.level for problem in drift.problems} == {Level.ERROR}


def test_the_report_of_thousands_of_mistakes_is_short(watch: Callable[..., WatchedFile]) -> None:
    watched = watch(rules("a"))
    watched.path.write_text(TOP + "  - {name: x, stopp: true}\n" * 5000)

    answer = watched.reloader.reload_now(TIMEOUT)

    assert isinstance(answer, ReloadRefused)
    assert len(answer.problems) == MAX_PROBLEMS + 1  # the last problem counts the others
    assert len(watched.said("rules file has a problem")) == MAX_LOGGED
    assert watched.said("rules not reloaded; the running rules stay")[0]["problems"] == len(answer.problems)


def test_a_removed_working_directory_does_not_stop_reloads(watch: Callable[..., WatchedFile], tmp_path: Path) -> None:
    (tmp_path / "cwd").mkdir()
    with contextlib.chdir(tmp_path):
        watched = watch(rules("a"), path=tmp_path / "rules.yaml")
        os.chdir("cwd")
        (tmp_path / "cwd").rmdir()
        watched.path.write_text(rules("b"))

        until(lambda: watched.names == ("b",))
    assert watched.refused == []

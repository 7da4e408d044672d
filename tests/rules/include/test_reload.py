"""Rules in several files are reloaded together, after any way of saving, adding and removing files."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.operate.drift import drift
from router.rules.compile.loader import Loader
from router.rules.reload.drift import DriftReason, Reloaded
from tests.conftest import until
from tests.rules.reload.test_reloader import TIMEOUT, WatchedFile, watch
from tests.rules.reload.ways_of_saving import WAYS, Save

__all__ = ["watch"]  # used as a fixture

MAIN = "include: [teams/?.yaml]\nsources: {s: {verify: none}}\n"
RULE = "rules: [{{name: {}, source: s, actions: [append: out/x.jsonl]}}]\n"
Watch = Callable[..., WatchedFile]


@pytest.fixture
def several(watch: Watch, tmp_path: Path) -> WatchedFile:
    """Watch a main file that includes two files."""
    (tmp_path / "teams").mkdir()
    (tmp_path / "teams" / "a.yaml").write_text(RULE.format("a"))
    (tmp_path / "teams" / "b.yaml").write_text(RULE.format("b"))
    file = watch(MAIN)
    assert file.names == ("a", "b")
    return file


def team(file: WatchedFile, name: str) -> Path:
    """The path of an included file."""
    return file.path.parent / "teams" / name


@pytest.mark.parametrize("save", WAYS, ids=lambda save: save.__name__)
def test_every_way_of_saving_an_included_file_triggers_a_reload(several: WatchedFile, save: Save) -> None:
    save(team(several, "b.yaml"), RULE.format("b2"))

    until(lambda: several.names == ("a", "b2"))
    until(lambda: several.is_quiet)
    assert several.names == ("a", "b2")
    assert several.why() is None


def test_a_new_file_that_matches_is_loaded(several: WatchedFile) -> None:
    team(several, "c.yaml").write_text(RULE.format("c"))

    until(lambda: several.names == ("a", "b", "c"))
    until(lambda: [change.added for change in several.changes] == [("c",)])


def test_the_rules_of_a_removed_file_are_removed(several: WatchedFile) -> None:
    team(several, "a.yaml").unlink()

    until(lambda: several.names == ("b",))
    until(lambda: [change.removed for change in several.changes] == [("a",)])


def test_a_glob_that_no_longer_matches_keeps_the_running_rules(several: WatchedFile) -> None:
    team(several, "a.yaml").unlink()
    until(lambda: several.names == ("b",))
    team(several, "b.yaml").unlink()

    until(lambda: several.was_refused_for(DriftReason.GONE))
    assert several.names == ("b",)
    assert "include: teams/?.yaml matches no file any more" in str(several.refused[-1].problems[0])

    team(several, "c.yaml").write_text(RULE.format("c"))
    until(lambda: several.names == ("c",))
    until(lambda: several.why() is None)


def test_moving_the_folder_of_included_files_away_keeps_the_running_rules(several: WatchedFile) -> None:
    away = several.path.parent / "away"
    team(several, "").rename(away)
    until(lambda: several.why() is DriftReason.GONE)
    assert several.names == ("a", "b")

    away.rename(team(several, ""))
    until(lambda: several.why() is None)
    assert several.names == ("a", "b")


def test_removing_a_file_that_is_included_by_name_keeps_the_running_rules(several: WatchedFile) -> None:
    several.path.write_text(MAIN.replace("[teams/?.yaml]", "[teams/a.yaml, teams/b.yaml]"))
    until(lambda: several.current.ruleset.text.text.startswith("include: [teams/a.yaml"))
    team(several, "b.yaml").unlink()

    until(lambda: several.why() is DriftReason.GONE)
    assert several.names == ("a", "b")


def test_an_include_line_can_be_removed_together_with_its_files(several: WatchedFile) -> None:
    for name in ("a.yaml", "b.yaml"):
        team(several, name).unlink()
    several.path.write_text("sources: {s: {verify: none}}\n" + RULE.format("alone"))

    until(lambda: several.names == ("alone",))


def test_several_changed_files_are_loaded_together_or_not_at_all(several: WatchedFile) -> None:
    team(several, "b.yaml").write_text("rules: [")
    team(several, "a.yaml").write_text(RULE.format("a2"))
    until(lambda: several.was_refused_for(DriftReason.PROBLEMS))
    assert several.names == ("a", "b")
    assert [problem.file for problem in several.refused[-1].problems] == [str(team(several, "b.yaml"))]

    team(several, "b.yaml").write_text(RULE.format("b2"))
    until(lambda: several.names == ("a2", "b2"))
    assert ("a2", "b") not in several.taken


def test_a_reload_waits_until_a_file_is_completely_written(several: WatchedFile) -> None:
    text = RULE.format("c") + "  \n"
    descriptor = os.open(team(several, "c.yaml"), os.O_WRONLY | os.O_CREAT, 0o644)
    os.write(descriptor, text[:20].encode())
    seen = time.monotonic() + 0.6
    until(lambda: time.monotonic() > seen)
    assert (several.names, several.refused) == (("a", "b"), [])

    os.write(descriptor, text[20:].encode())
    os.close(descriptor)

    until(lambda: several.names == ("a", "b", "c"))
    assert several.refused == []


def test_rule_tests_and_dotfiles_are_not_loaded_as_rules(several: WatchedFile) -> None:
    several.path.write_text(MAIN.replace("?", "*"))
    team(several, "a.cases.yaml").write_text("nonsense: [")
    team(several, ".b.yaml.swp").write_text("nonsense: [")
    team(several, ".c.yaml").write_text("nonsense: [")

    assert isinstance(several.reloader.reload_now(TIMEOUT), Reloaded)
    assert several.names == ("a", "b")


def test_a_file_that_others_can_write_is_refused(several: WatchedFile) -> None:
    team(several, "b.yaml").chmod(0o666)

    until(lambda: several.was_refused_for(DriftReason.WRITABLE))
    assert several.names == ("a", "b")
    assert several.refused[-1].problems[0].file == str(team(several, "b.yaml"))

    team(several, "b.yaml").chmod(0o644)
    until(lambda: several.why() is None)


def test_a_folder_that_others_can_write_is_refused(several: WatchedFile) -> None:
    team(several, "").chmod(0o777)

    until(lambda: several.was_refused_for(DriftReason.WRITABLE))
    assert "can replace files in the folder" in several.refused[-1].problems[0].message

    team(several, "").chmod(0o755)
    until(lambda: several.why() is None)


def test_a_link_to_a_pipe_is_refused(several: WatchedFile) -> None:
    os.mkfifo(team(several, "c.yaml"))

    until(lambda: several.why() is DriftReason.UNREADABLE)
    assert several.names == ("a", "b")


def test_a_folder_is_watched_with_all_its_files(watch: Watch, tmp_path: Path) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    (folder / "a.yaml").write_text("sources: {s: {verify: none}}\n" + RULE.format("a"))
    file = WatchedFile(folder).start()
    try:
        (folder / "b.yaml").write_text(RULE.format("b"))
        until(lambda: file.names == ("a", "b"))
        (folder / "events.db").write_text("not a rule")
        assert isinstance(file.reloader.reload_now(TIMEOUT), Reloaded)

        for name in ("a.yaml", "b.yaml"):
            (folder / name).unlink()
        until(lambda: file.why() is DriftReason.GONE)
        assert file.names == ("a", "b")
    finally:
        file.reloader.stop()


def test_status_compares_all_files_while_no_daemon_runs(several: WatchedFile) -> None:
    ruleset = Loader(REGISTRIES, {}).load_file(several.path).require()
    note = {"file": str(several.path), "hash": ruleset.hash}
    assert drift(note, running=False, now=0) is None

    team(several, "b.yaml").write_text(RULE.format("b3"))

    found = drift(note, running=False, now=0)
    assert found is not None
    assert found["why"] == DriftReason.CHANGED.value

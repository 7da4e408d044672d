"""`check` of rules in several files, of one included file alone, and of a folder."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import run_in_process

MAIN = """
include: [{files: teams/*.yaml, only: {actions: [append]}}]
sources: {s: {verify: none}}
rules: [{name: main, source: s, actions: [append: main.jsonl]}]
"""
GOOD = "rules: [{name: pay, source: s, actions: [append: pay.jsonl]}]\n"
BAD = "rules: [{name: pay, source: t, actions: [forward: 'http://127.0.0.1:9']}]\n"


@pytest.fixture
def check(tmp_path: Path) -> Callable[..., Any]:
    """Run `check` in a folder of rules."""
    (tmp_path / "teams").mkdir()
    (tmp_path / "rules.yaml").write_text(MAIN)
    (tmp_path / "teams" / "pay.yaml").write_text(GOOD)
    return lambda *arguments, folder=".": run_in_process("check", *arguments, folder=tmp_path / folder)


def test_the_main_file_counts_what_it_includes(check: Callable[..., Any]) -> None:
    assert check().stdout == "rules.yaml: fine, 2 rules, 1 source, 1 included file\n"


@pytest.mark.parametrize(
    ("folder", "file", "main"), [(".", "teams/pay.yaml", "rules.yaml"), ("teams", "pay.yaml", "../rules.yaml")]
)
def test_one_included_file_is_checked_as_a_part_of_its_rules(
    check: Callable[..., Any], tmp_path: Path, folder: str, file: str, main: str
) -> None:
    done = check(file, folder=folder)
    assert (done.returncode, done.stdout) == (0, f"{file}: fine, included by {main}\n")

    (tmp_path / "teams" / "pay.yaml").write_text(BAD)
    done = check(file, folder=folder)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        f'{file}:1:29: rules[0] "pay".source: undefined source "t"; known: s',
        f'{file}:1:42: rules[0] "pay".actions[0]: action "forward" may not be used in this file: '
        "only.actions of include[0] allows append",
    ]


def test_errors_in_other_files_are_notes_and_do_not_fail_the_check(check: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "teams" / "other.yaml").write_text("rules: [")

    done = check("teams/pay.yaml")

    assert done.returncode == 0
    assert "rules.yaml:1:1: note: errors in other files: 1; `webhook-router check rules.yaml` lists them" in done.stderr


def test_the_main_file_can_be_given_by_a_flag(check: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").rename(tmp_path / "hooks.yaml")
    assert "missing sources" in check("teams/pay.yaml").stderr  # no flag names the file that includes it

    assert check("--included-by", "hooks.yaml", "teams/pay.yaml").returncode == 0
    (tmp_path / "alone.yaml").write_text(GOOD)
    done = check("--included-by", "hooks.yaml", "alone.yaml")
    assert (done.returncode, done.stderr) == (
        1,
        "hooks.yaml:1:1: alone.yaml is not included here; include: names teams/*.yaml\n",
    )


def test_a_folder_is_checked_by_its_name(check: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a.yaml").write_text("sources: {s: {verify: none}}\n" + GOOD)

    assert check("d").stdout == "d: fine, 1 rule, 1 source, 1 included file\n"


def test_check_upgrade_also_reads_included_files(check: Callable[..., Any], tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text(MAIN.replace("[append]", "[forward]"))
    (tmp_path / "teams" / "pay.yaml").write_text(BAD.replace("source: t", "source: s"))

    done = check("--upgrade")

    assert done.returncode == 0
    assert "teams/pay.yaml:1:51: note: rules[0].actions[0].forward: changed since 0.1.0" in done.stderr

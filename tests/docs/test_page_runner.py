"""The reader and runner of the documentation notice wrong documentation."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.markdown_page import Block, blocks
from tests.docs.page_runner import PageRunner
from tests.docs.transcript_match import IdMap, Step, steps

ONE, TWO = "01a21084-c67e-7000-8a19-dcb49f535295", "01a21084-c67e-7001-bc40-f5ec633ecb93"
THIS, THAT = "0193a000-0000-7000-8000-000000000001", "0193a000-0000-7000-8000-000000000002"


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[PageRunner]:
    walk = PageRunner(tmp_path / "walk")
    yield walk
    walk.abandon()


def block(language: str, text: str, prose: str = "", **marks: str) -> Block:
    return Block(
        "page.md", 1, "", language, text, {name.replace("_", " "): value for name, value in marks.items()}, prose
    )


@pytest.mark.parametrize(
    ("documented", "shown"),
    [
        ("all is well", "all is well\n"),
        ("took 3 ms, at 2026-01-01T00:00:00Z", "took 4711 ms, at 2026-11-25T02:24:24.604Z"),
        ("store  …, 2 rules", "store    /tmp/x.db, 2 rules"),
        ("first\n…\nlast", "first\nlast"),
        ("first\n…\nlast", "first\nsecond\nthird\nlast"),
        ("\n  spaced", "  spaced   \n\n"),
    ],
)
def test_ids_times_and_gaps_may_differ_from_the_documentation(documented: str, shown: str) -> None:
    assert IdMap().agree(documented, shown)


@pytest.mark.parametrize(
    ("documented", "shown"),
    [
        ("all is well", "all is not well"),
        ("all is well", "all is well\nor is it"),
        ("2 rules", "3 rules"),
        ("first\n…\nlast", "first"),
        (f"{ONE} {TWO}", f"{THIS} none"),
        (f"{ONE} {ONE}", f"{THIS} {THAT}"),
        ("", "a word"),
    ],
)
def test_any_other_difference_from_the_documentation_is_an_error(documented: str, shown: str) -> None:
    assert not IdMap().agree(documented, shown)


def test_an_id_of_this_run_may_contain_the_number_of_a_port(walk: PageRunner) -> None:
    walk.take(block("console", f"$ echo 01a21084-c67e-7000-90''00-8a19dcb49f52\n{ONE}\n"))
    walk.take(block("console", f"$ printf %s {ONE} | cut -c20-23 | tr 0 x\n9xxx\n"))


def test_a_documented_id_maps_to_the_id_of_this_run() -> None:
    names = IdMap()

    assert names.agree(f"event {ONE}\ndelivery {TWO}", f"event {THIS}\ndelivery {THAT}")

    assert names.into(f"show {TWO}") == f"show {THAT}"
    assert names.agree(f"event {ONE}", f"event {THIS}")
    assert not names.agree(f"event {ONE}", f"event {THAT}")


def test_a_transcript_is_split_into_commands_and_output() -> None:
    assert steps("$ one \\\n  more\nout\n$ two\n") == [Step("one \\\n  more", "out\n"), Step("two", "")]


def test_a_page_is_read_with_its_comments_and_text(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("## A\nWrite `x`:\n\n<!-- file: x -->\n```yaml\na: 1\n```\ntext\n```sh\nls\n```\n")

    first, second = blocks(page)

    assert (first.section, first.language, first.text, first.marks) == ("A", "yaml", "a: 1\n", {"file": "x"})
    assert "`x`" in first.prose
    assert (second.marks, second.prose) == ({}, "text\n")


def test_a_fence_that_is_not_closed_is_an_error(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```sh\nls\n")

    with pytest.raises(ValueError, match=r"page\.md:1"):
        blocks(page)


@pytest.mark.parametrize(
    "wrong",
    [
        block("sh", "false\n"),
        block("sh", "false | cat\n"),
        block("sh", "true\n", ends="1"),
        block("sh", "webhook-router serve\n", keeps_running=""),
        block("console", "$ echo one\ntwo\n"),
        block("console", "$ false\n"),
        block("yaml", "a: 1\n", prose="somewhere", file="x.yaml"),
        block("sh", "apt-get install x\n", not_run=""),
    ],
    ids=lambda wrong: f"{wrong.language} {wrong.text[:20].strip()} {dict(wrong.marks)}",
)
def test_a_block_with_another_output_than_documented_fails(wrong: Block, walk: PageRunner) -> None:
    with pytest.raises(AssertionError, match="page.md:1"):
        walk.take(wrong)


def test_folder_and_variables_persist_between_blocks(walk: PageRunner) -> None:
    walk.take(block("sh", "mkdir in && cd in\nexport NAME=value\nOTHER=none\n"))
    walk.take(block("text", "kept\n", prose="write `x`", file="x"))

    walk.take(block("console", "$ cat x; echo $NAME $OTHER; printenv OTHER || basename $PWD\nkept\nvalue none\nin\n"))

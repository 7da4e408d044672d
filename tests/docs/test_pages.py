"""Every command and example of the documentation is run in order, as a reader does."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
import pytest
import yaml

from router.cli.main import cli
from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.rules.compile.loader import Loader
from tests.cases import each
from tests.docs.markdown_page import MARKS, Block, blocks
from tests.docs.page_runner import ROOT, PageRunner

PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCKS = {path.name: blocks(path) for path in PAGES}
#: Languages whose blocks are not run: configuration of other programs, answers, and forms of input.
SHOWN = ("", "nginx", "ini", "text", "diff", "mermaid")
_OWN_MARKS = (
    "run-command",
    "curl-command",
    "test-command",
    "idempotent-script",
)  #: comments for tests/docs/test_everything_is_documented.py and others


def _section(page: str, name: str) -> Sequence[Block]:
    found = [block for block in BLOCKS[page] if block.section == name]
    assert found, f"{page} has no section {name!r} with blocks"
    return found


def _walks() -> Iterator[Sequence[Block]]:
    """The blocks of each section with commands or files. A section that goes on is a part of the one before."""
    for found in BLOCKS.values():
        walks: list[list[Block]] = []
        section = None
        for block in found:
            if block.section != section and "goes on" not in block.marks:
                walks.append([])
            if "after" in block.marks:
                walks[-1] += _section(*block.marks["after"].split(", "))
            section = block.section
            walks[-1].append(block)
        yield from (walk for walk in walks if any(block.language in ("sh", "console") for block in walk))


WALKS = list(_walks())


@pytest.fixture
def walk(tmp_path: Path) -> Iterator[PageRunner]:
    """A reader in an empty folder."""
    walk = PageRunner(tmp_path / "walk")
    yield walk
    walk.abandon()


@pytest.mark.parametrize("found", WALKS, ids=lambda found: f"{found[-1].page}: {found[-1].section}")
def test_every_documented_command_works(found: Sequence[Block], walk: PageRunner) -> None:
    for block in found:
        walk.take(block)
    walk.leave()


@each("page", BLOCKS)
def test_every_block_has_a_known_language_and_marks(page: str) -> None:
    for block in BLOCKS[page]:
        assert set(block.marks) <= {*MARKS, *_OWN_MARKS}, f"{block}: {set(block.marks)}"
        assert block.language in ("sh", "console", "yaml", "json", *SHOWN) or "file" in block.marks, (
            f"{block}: nothing runs or loads {block.language}; mark it as a file, or as text"
        )


@pytest.mark.parametrize("block", [b for found in BLOCKS.values() for b in found if b.language == "json"], ids=str)
def test_json_blocks_are_valid_json(block: Block) -> None:
    json.loads(block.text)


@pytest.mark.parametrize("block", [b for found in BLOCKS.values() for b in found if b.language == "yaml"], ids=str)
def test_yaml_blocks_parse_and_rules_load(block: Block, tmp_path: Path) -> None:
    if "\n---\n" in block.text:
        return  # several files, which tests/docs/test_rules_doc.py runs
    node = yaml.compose(block.text)
    keys = {str(key.value) for key, _ in node.value} if isinstance(node, yaml.MappingNode) else set()
    text = block.text
    if "rules" not in keys and "sources" not in keys:
        return  # a part of a rules file, or the file of another program
    if "rules" not in keys:
        text += 'rules: [{name: all, source: "*", actions: [append: all.jsonl]}]\n'

    if "sources" not in keys and "include" not in keys:
        if "file" in block.marks:
            return  # an included file, which the test of its page checks
        text = f"sources: {{s: {{verify: none}}}}\n{text}"
    for other in BLOCKS[block.page]:
        if "/" in (name := other.marks.get("file", "")) and name.endswith(".yaml"):  # this file may include it
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).write_text(other.text)

    loaded = Loader(REGISTRIES, {}, require_secrets=False).load(text, block.page, tmp_path)

    assert [str(problem) for problem in loaded.problems if problem.level is Level.ERROR] == []


def _commands(group: click.Group, prefix: str = "") -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _commands(command, f"{prefix}{name} ")
        else:
            yield prefix + name, command


COMMANDS = dict(_commands(cli))


def _named_commands(path: Path) -> Iterator[str]:
    """Each `webhook-router …` of a page, also in text, tables, and blocks that are not run."""
    text = path.read_text().replace("\\\n", " ")
    for fenced in re.findall(r"^```(?:sh|console)\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        yield from re.findall(r"(?:^|[$;|&(] ?)webhook-router ([^#\n;|&)]+)", fenced, re.MULTILINE)
    yield from re.findall(r"`webhook-router ([^`]+)`", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL))


@each("path", PAGES, ids=lambda path: path.name)
def test_every_named_command_and_flag_exists(path: Path) -> None:
    for line in _named_commands(path):
        words = line.split()
        names = [name for name in COMMANDS if words[: len(name.split())] == name.split()]
        command = COMMANDS[names[0]] if names else cli
        assert names or words[0] in ("--version", "--help", "COMMAND", "…"), f"{path.name}: webhook-router {line}"
        flags = {flag for parameter in command.params for flag in parameter.opts} | {"--help", "-h"}
        used = {word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)}
        assert used <= flags, f"{path.name}: webhook-router {line}"


@each("path", PAGES, ids=lambda path: path.name)
def test_quoted_figures_are_in_the_named_result_files(path: Path) -> None:
    for statement in re.split(r"\n\n|\n(?=[-|])", path.read_text()):
        names = re.findall(r"`(bench/results/\w+\.txt)`", statement)
        measured = "".join((ROOT / name).read_text() for name in names)
        for figure in re.findall(r"\b\d{1,3}(?:,\d{3})+\b|\b\d+\.\d+(?= ms)", statement) if names else ():
            assert re.search(rf"(?<![\d.,]){re.escape(figure)}(?!\d)", measured), (
                f"{path.name}: {figure} is not in {names}"
            )

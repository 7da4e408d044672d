"""Reads a page of the documentation: its sections, and their fenced blocks with the text before each.

HTML comments right above a fence, which readers don't see, tell the tests about its block:

- `<!-- file: NAME -->`: the reader writes the block to that file. The text above must say so.
- `<!-- keeps running -->`: the last command doesn't return, and the reader continues in another terminal.
- `<!-- ends: N -->`: the last command ends with exit code N.
- `<!-- not run: REASON -->`: the tests can't run the block.
- `<!-- in a clone -->`: the reader works in a clone of the repository, from this block to the end of the section.
- `<!-- after: PAGE, SECTION -->`: the reader has followed that section before this block.
- `<!-- stopped -->`: the reader has stopped the running programs before this block.
- `<!-- goes on -->`: the section of this block continues the one before it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markdown_it import MarkdownIt

MARKS = ("file", "keeps running", "ends", "not run", "in a clone", "after", "stopped", "goes on")


@dataclass(frozen=True, slots=True)
class Block:
    """One fenced block."""

    page: str
    line: int  #: the line of the opening fence
    section: str  #: the second-level heading above it
    language: str
    text: str
    marks: Mapping[str, str]  #: the names and values in the comments above it
    prose: str  #: the text since the block or heading before it

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> Sequence[Block]:
    """Every fenced block of a page, in order. Raises ValueError if a fence is not closed."""
    text = path.read_text()
    lines = text.splitlines()
    found: list[Block] = []
    section, prose, heading = "", "", ""
    marks: dict[str, str] = {}
    for token in MarkdownIt("commonmark").parse(text):
        match token.type:
            case "heading_open":
                heading = token.tag
            case "heading_close":
                heading = ""
            case "inline" if heading == "h2":
                section, marks, prose = token.content, {}, ""
            case "inline":
                marks, prose = {}, f"{prose}{token.content}\n"
            case "html_block":
                marks |= dict(re.findall(r"^ *<!-- (/?[a-z -]+)(?:: (.+))? -->$", token.content, re.MULTILINE))
            case "fence":
                first, after = token.map or (0, 0)
                if lines[after - 1].strip() != token.markup:
                    raise ValueError(f"{path.name}:{first + 1}: the fence is not closed")
                found.append(Block(path.name, first + 1, section, token.info, token.content, marks, prose))
                marks, prose = {}, ""
    return found

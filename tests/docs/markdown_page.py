"""A page of the documentation as its reader meets it: sections, and in them fenced blocks with what stands before them.

What a block needs to be told to the tests stands in HTML comments right above its fence, which no reader sees:

- `<!-- file: NAME -->`: the reader writes the block to that file. The text above has to say so.
- `<!-- keeps running -->`: the last command doesn't return; the reader goes on in another terminal.
- `<!-- ends: N -->`: the last command ends with exit code N.
- `<!-- not run: REASON -->`: it can't be run on any machine that has the tests.
- `<!-- in a clone -->`: the reader stands in a clone of the repository, from this block to the end of the section.
- `<!-- after: PAGE, SECTION -->`: the reader has gone through that section before this block.
- `<!-- stopped -->`: the reader has stopped what runs, before this block.
- `<!-- goes on -->`: the section of this block goes on where the one before it ended.
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
    line: int  #: of the opening fence
    section: str  #: the heading of second level above it
    language: str
    text: str
    marks: Mapping[str, str]  #: what the comments above it say
    prose: str  #: the text between it and the block or heading before

    def __str__(self) -> str:
        return f"{self.page}:{self.line}"


def blocks(path: Path) -> Sequence[Block]:
    """Every fenced block of a page, in order. ValueError: a fence is not closed."""
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

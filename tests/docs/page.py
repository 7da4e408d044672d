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
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

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
    found: list[Block] = []
    section, prose = "", ""
    marks: dict[str, str] = {}
    opened: tuple[int, str, str] | None = None  # line, indent, language
    text: list[str] = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        fence = re.match(r"( *)```(\S*)\s*$", line)
        if opened is not None:
            if fence and not fence[2] and fence[1] == opened[1]:
                body = textwrap.dedent("".join(f"{each}\n" for each in text))
                found.append(Block(path.name, opened[0], section, opened[2], body, marks, prose))
                opened, text, marks, prose = None, [], {}, ""
            else:
                text.append(line)
        elif fence:
            opened = number, fence[1], fence[2]
        elif comment := re.match(r" *<!-- (/?[a-z -]+)(?:: (.+))? -->$", line):
            marks[comment[1]] = comment[2] or ""
        elif line.startswith("## "):
            section, marks, prose = line.removeprefix("## "), {}, ""
        elif line.strip():
            marks, prose = {}, f"{prose}{line}\n"
    if opened is not None:
        raise ValueError(f"{path.name}:{opened[0]}: the fence is not closed")
    return found

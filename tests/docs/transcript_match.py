"""Compares a documented transcript with the output at a terminal."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

_UUID = r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_TIME = r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:Z|[+-]\d\d:?\d\d)?"
_CLOCK = r"\d\d:\d\d:\d\d(?:\.\d+)?"
_SPAN = r"\b\d+(?:\.\d+)? ?(?:µs|ms|s)\b"
_TOKEN = re.compile(
    rf"(?P<uuid>{_UUID})|(?P<time>{_TIME})|(?P<clock>{_CLOCK})|(?P<span>{_SPAN})|(?P<any>…)|(?P<gap>  +)"
)


@dataclass(frozen=True, slots=True)
class Step:
    """A command of a transcript, and its documented output."""

    command: str
    output: str


def steps(text: str) -> Sequence[Step]:
    """The commands of a `console` block. They begin with `$ `, and continue after a backslash at the end of a line."""
    found: list[list[str]] = []
    goes_on = False
    for line in text.splitlines():
        if line.startswith("$ "):
            found.append([line.removeprefix("$ "), ""])
        elif not found:
            raise ValueError(f"a transcript begins with a command ($ …), not with {line!r}")
        elif goes_on:
            found[-1][0] += f"\n{line}"
        else:
            found[-1][1] += f"{line}\n"
            continue
        goes_on = line.endswith("\\")
    return [Step(command, output) for command, output in found]


class IdMap:
    """Maps each documented id to the id of this run that was shown in its first place."""

    def __init__(self) -> None:
        self._actual: dict[str, str] = {}

    def into(self, command: str) -> str:
        """A documented command with the ids of this run."""
        return re.sub(_UUID, lambda found: self._actual.get(found[0], found[0]), command)

    def agree(self, documented: str, shown: str, *, part: bool = False) -> bool:
        """Whether the output agrees with the documentation, apart from ids, times and the widths of tables.

        `…` stands for any text in a line, and a line with `…` alone for any number of lines. With `part` more output may
        stand before and after. If the output agrees, its new ids are kept.
        """
        fresh: dict[str, str] = {}  # documented id: name of its group in the pattern
        lines = [self._line(line, fresh) for line in _normalized(documented).splitlines()]
        pattern = "".join(r"(?:.*\n)*?" if line is None else line + r"\n" for line in lines)
        text = _normalized(shown) + "\n"
        found = re.search(f"(?m:^){pattern}", text) if part else re.fullmatch(pattern or r"\n?", text)
        if found is None:
            return False
        self._actual |= {name: found[group] for name, group in fresh.items()}
        return True

    def _line(self, line: str, fresh: dict[str, str]) -> str | None:
        if line.strip() == "…":
            return None
        done, pattern = 0, ""
        for token in _TOKEN.finditer(line):
            pattern += re.escape(line[done : token.start()]) + self._token(token, fresh)
            done = token.end()
        return pattern + re.escape(line[done:])

    def _token(self, token: re.Match[str], fresh: dict[str, str]) -> str:
        name = token[0]
        if token.lastgroup != "uuid":
            return {"time": _TIME, "clock": _CLOCK, "span": _SPAN, "any": ".*", "gap": "  +"}[str(token.lastgroup)]
        if name in self._actual:
            return self._actual[name]
        if name in fresh:
            return f"(?P={fresh[name]})"
        fresh[name] = f"id{len(fresh)}"
        return f"(?P<{fresh[name]}>{_UUID})"


def _normalized(text: str) -> str:
    """A text without colours and without blanks at the ends of lines."""
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text.replace("\r\n", "\n"))
    return "\n".join(line.rstrip() for line in text.strip("\n").splitlines())

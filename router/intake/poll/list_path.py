"""A path into an answer. In XML a single element is not a list; `[*]` then means this element."""

from collections.abc import Sequence
from dataclasses import dataclass

from router.payload.body import Format
from router.rules.match.jsonpath import Path, compile_path


@dataclass(frozen=True, slots=True)
class ListPath:
    """Reads values."""

    whole: Path
    #: the parts between each two `[*]`, to walk through XML; empty when the path has other steps than names
    parts: Sequence[Path] = ()

    def read(self, payload: object, format_: Format) -> list[object]:
        """The values, in the order of the answer. Raises EvaluationError."""
        if format_ is not Format.XML or not self.parts:
            return self.whole.read(payload)
        values = self.parts[0].read(payload)
        for part in self.parts[1:]:
            values = [value for one in _elements(values) for value in part.read(one)]
        return values


def list_path(text: str) -> ListPath:
    """Compile a path. Raises PathError."""
    whole = compile_path(text)
    if "[*]" not in text or ".." in text or "?" in text:
        return ListPath(whole)
    first, *others = text.split("[*]")
    return ListPath(whole, [compile_path(first), *(compile_path("$" + part) for part in others)])


def _elements(values: Sequence[object]) -> list[object]:
    return [element for one in values for element in (one if isinstance(one, list) else [one])]

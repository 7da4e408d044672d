"""The notes of an import: parts that now mean something else, and parts that could not be translated."""

from dataclasses import dataclass, field

from router.cli.importers.adnanh.hooks import Place


class CantCarry(Exception):
    """A part of a hook has no equivalent here, so the imported hook must not run."""

    def __init__(self, place: Place, reason: str) -> None:
        super().__init__(reason)
        self.place = place
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Note:
    """One thing to know about a hook."""

    hook: str
    place: Place
    text: str
    lost: bool = False  #: it has no equivalent, so the hook is switched off

    def __str__(self) -> str:
        return f"{self.place}: {self.hook}: {self.text}"


@dataclass(slots=True)
class Notes:
    """Collects the notes of one hook."""

    hook: str
    found: list[Note] = field(default_factory=list)

    def add(self, place: Place, text: str, *, lost: bool = False) -> str:
        """Add a note, and return its text for the comment beside the part."""
        note = Note(self.hook, place, text, lost)
        if note not in self.found:
            self.found.append(note)
        return text

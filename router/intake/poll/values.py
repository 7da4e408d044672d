"""Reads a cursor or the URL of a next page from an answer."""

from collections.abc import Mapping
from dataclasses import dataclass

from router.domain.errors import EvaluationError, PayloadError
from router.intake.poll.list_path import ListPath
from router.payload.body import Format

LONGEST = 8192  #: characters of a cursor or a URL; servers refuse longer request lines


@dataclass(frozen=True, slots=True)
class ValueReader:
    """Reads values with a path into the answer, or from a header."""

    text: str  #: as the file has it
    path: ListPath | None = None
    header: str | None = None

    def values(self, payload: object, headers: Mapping[str, str], format_: Format) -> list[str | int | float]:
        """The values, in the order of the answer, without null, false and empty text. Raises PayloadError."""
        if self.header is not None:
            found: list[object] = [headers[self.header]] if self.header in headers else []
        else:
            assert self.path is not None
            try:
                found = self.path.read(payload, format_)
            except EvaluationError as error:
                raise PayloadError(f"{self.text} can't be read: {error}") from None
        return [self._checked(value) for value in found if value is not None and value is not False and value != ""]

    def _checked(self, value: object) -> str | int | float:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise PayloadError(f"{self.text} is neither text nor a number")
        if isinstance(value, str) and (len(value) > LONGEST or not value.isprintable()):
            raise PayloadError(f"{self.text} is longer than {LONGEST:,} characters, or holds control characters")
        return value


def greatest(values: list[str | int | float]) -> str | int | float:
    """The greatest of numbers, or of texts by code point. Raises PayloadError if they are mixed."""
    if all(isinstance(value, str) for value in values) or not any(isinstance(value, str) for value in values):
        return max(values)  # of one kind
    raise PayloadError("the cursor has both texts and numbers, so none is the greatest")


def as_cursor(value: str | int | float) -> str:
    """A value in the form for a query or a header."""
    return value if isinstance(value, str) else repr(value) if isinstance(value, float) else str(value)


def like(one: str | float, text: str) -> str | int | float | None:
    """A cursor's text as a value of the same kind as `one`; None if it is of another kind."""
    if isinstance(one, str):
        return text
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        return None

"""Functions that hold when all, or any, of several functions hold: quicker than a loop for the few that rules have."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class _Fallible(Protocol):
    @property
    def fallible(self) -> bool: ...


P = TypeVar("P", bound=_Fallible)


def infallible_first(parts: Sequence[P]) -> tuple[P, ...]:
    """The order in which parts are judged."""
    return tuple(sorted(parts, key=lambda part: part.fallible))


T = TypeVar("T")


def every_judge(judges: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    """All of them, in order; most rules have few, and for those a loop would cost more than they do."""
    if len(judges) == 1:
        return judges[0]
    if len(judges) == 2:
        a, b = judges
        return lambda subject: a(subject) and b(subject)
    if len(judges) == 3:
        a, b, c = judges
        return lambda subject: a(subject) and b(subject) and c(subject)

    def every(subject: T) -> bool:
        for judge in judges:  # noqa: SIM110 - a generator would cost more than the loop
            if not judge(subject):
                return False
        return True

    return every


def some_judge(judges: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    def some(subject: T) -> bool:
        for judge in judges:  # noqa: SIM110 - a generator would cost more than the loop
            if judge(subject):
                return True
        return False

    return judges[0] if len(judges) == 1 else some

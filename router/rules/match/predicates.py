"""Combines several predicates into one that holds if all, or any, of them hold."""

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar


class _MayRaise(Protocol):
    @property
    def may_raise(self) -> bool: ...


P = TypeVar("P", bound=_MayRaise)


def safe_first(parts: Sequence[P]) -> tuple[P, ...]:
    """The parts in the order of judging: those that never raise come first."""
    return tuple(sorted(parts, key=lambda part: part.may_raise))


T = TypeVar("T")


def all_of(predicates: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    """Holds if all of them hold. Up to three run without a loop, which would cost more than they do."""
    if len(predicates) == 1:
        return predicates[0]
    if len(predicates) == 2:
        a, b = predicates
        return lambda subject: a(subject) and b(subject)
    if len(predicates) == 3:
        a, b, c = predicates
        return lambda subject: a(subject) and b(subject) and c(subject)

    def every(subject: T) -> bool:
        for predicate in predicates:  # noqa: SIM110 - a generator would cost more than the loop
            if not predicate(subject):
                return False
        return True

    return every


def any_of(predicates: Sequence[Callable[[T], bool]]) -> Callable[[T], bool]:
    """Holds if at least one of them holds."""

    def some(subject: T) -> bool:
        for predicate in predicates:  # noqa: SIM110 - a generator would cost more than the loop
            if predicate(subject):
                return True
        return False

    return predicates[0] if len(predicates) == 1 else some

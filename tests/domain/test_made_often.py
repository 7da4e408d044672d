"""Data classes that are made for each event have a quick constructor, and are otherwise ordinary frozen classes."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from router.domain.deliveries import Claim, Delivery, PlannedDelivery, Settlement
from router.domain.events import Appended, Event, ParsedEvent
from router.domain.made_often import made_often
from router.domain.outcomes import Outcome, Sent
from router.domain.reply import Reply
from router.domain.request import Inbound
from router.http.contract import Pending
from router.http.target import Target
from router.plugins.scheme import Verified
from router.rules.ruleset import Plan

MADE_OFTEN = (
    Inbound, Verified, Event, ParsedEvent, Plan, PlannedDelivery, Appended, Pending, Reply, Target, Claim, Delivery,
    Outcome, Sent, Settlement,
)  # fmt: skip


@made_often
@dataclass(frozen=True, slots=True)
class Fact:
    """A data class with each kind of field."""

    name: str
    size: int = 3
    tags: list[str] = field(default_factory=list)
    hidden: str = field(default="", repr=False, compare=False)
    doubled: int = field(default=0, kw_only=True)

    def __post_init__(self) -> None:
        object.__setattr__(self, "doubled", 2 * self.size)


@pytest.mark.parametrize("made", MADE_OFTEN)
def test_the_fast_constructor_sets_fields_without_a_call_for_each(made: type[Any]) -> None:
    constructor: Callable[..., None] = made.__init__

    assert "__setattr__" not in constructor.__code__.co_names


def test_defaults_factories_and_post_init_still_work() -> None:
    first, second = Fact("a"), Fact("b", 5, hidden="x")

    assert (first.name, first.size, first.tags, first.hidden, first.doubled) == ("a", 3, [], "", 6)
    assert (second.size, second.doubled) == (5, 10)
    assert first.tags is not second.tags
    assert not hasattr(first, "__dict__")


def test_copies_comparison_and_repr_still_work() -> None:
    fact = Fact("a", hidden="secret")

    assert replace(fact, size=4) == Fact("a", 4)
    assert fact == Fact("a")
    assert repr(fact) == f"{Fact.__qualname__}(name='a', size=3, tags=[], doubled=6)"
    assert hash(Appended("x")) == hash(Appended("x"))


@pytest.mark.parametrize("given", [(), ("a", 1, [], "", 2)])
def test_wrong_arguments_are_an_error(given: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError):
        Fact(*given)

"""Tables from values to the numbers of the rules that ask for them."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from router.runtime.pacing import paced

RuleNumbers = list[int]
"""Numbers of rules."""


def by_value(entries: Iterable[tuple[Any, int]]) -> dict[Any, RuleNumbers]:
    """The rules by value, from pairs of a value and a rule."""
    ids: defaultdict[Any, RuleNumbers] = defaultdict(list)
    for value, number in paced(entries):
        ids[value].append(number)
    return dict(ids)

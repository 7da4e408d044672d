"""Tables from the values of one field to rule numbers, one table for each kind of key."""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

import re2

from router.rules.match.index_keys import IndexKey
from router.rules.match.operators.networks import address_in
from router.rules.match.operators.patterns import MAX_PATTERN_MEMORY
from router.rules.match.values import decimal, scalar_key
from router.runtime.pacing import paced, yield_turn

RuleNumbers = list[int]
"""Numbers of rules."""

_FILTERED = 5_000  #: patterns in one filter, whose automaton has a memory limit


class Values:
    """All tables of one field."""

    __slots__ = (
        "_cidr",
        "_decimals",
        "_fold",
        "_folded",
        "_folded_items",
        "_folded_patterns",
        "_folded_prefixes",
        "_folded_suffixes",
        "_items",
        "_listed",
        "_patterns",
        "_prefixes",
        "_ranges",
        "_scalars",
        "_suffixes",
        "_text_kinds",
        "_text_ranges",
        "_texts",
        "numbers",
        "present",
    )  # fmt: skip

    def __init__(self, *, decimals: bool = False) -> None:
        self._decimals = decimals
        self._listed: defaultdict[str, list[tuple[Any, int]]] = defaultdict(list)
        self.numbers: RuleNumbers = []  #: the rules filed here
        self.present: RuleNumbers = []  #: the rules that need only some value
        self._texts: dict[str, RuleNumbers] = {}
        self._scalars: dict[tuple[bool, Any], RuleNumbers] = {}
        self._make()

    def add(self, entries: Iterable[tuple[IndexKey, int]]) -> None:
        """File rules under their keys."""
        for key, number in paced(entries):
            self._listed[key.kind].append((key.value, number))
            self.numbers.append(number)
        self._make()

    def _make(self) -> None:
        listed = self._listed
        self.present = [number for _, number in listed["present"]]
        self._texts = _by_value(listed["text"])
        self._scalars = _by_value(listed["scalar"])
        self._items = {**_by_value((scalar_key(text), number) for text, number in listed["item"])}
        for key, ids in _by_value(listed["scalar_item"]).items():
            self._items[key] = [*self._items.get(key, ()), *ids]
        self._folded = _by_value(listed["folded_text"])
        self._folded_items = _by_value(listed["folded_item"])
        self._prefixes = _by_length(listed["prefix"])
        self._suffixes = _by_length(listed["suffix"])
        self._folded_prefixes = _by_length(listed["folded_prefix"])
        self._folded_suffixes = _by_length(listed["folded_suffix"])
        self._patterns = Patterns(listed["pattern"]) if listed["pattern"] else None
        self._folded_patterns = Patterns(listed["folded_pattern"]) if listed["folded_pattern"] else None
        self._ranges = Ranges(listed["range"]) if listed["range"] else None
        self._text_ranges = Ranges(listed["text_range"], "", _AFTER_ALL) if listed["text_range"] else None
        self._cidr = Networks(listed["cidr"]) if listed["cidr"] else None
        self._fold = any(listed[kind] for kind in ("folded_text", "folded_prefix", "folded_suffix", "folded_pattern"))
        self._text_kinds = self._fold or any(
            listed[k] for k in ("prefix", "suffix", "pattern", "cidr", "range", "text_range")
        )

    def look_up(self, value: Any, *, form: bool, found: RuleNumbers) -> None:
        """Add the numbers of the rules that this value may satisfy to `found`."""
        if self.present:
            found += self.present
        kind = type(value)
        if kind is str:
            ids = self._texts.get(value)
            if ids is not None:
                found += ids
            if self._text_kinds:
                self._look_up_text(value, form=form, found=found)
        elif kind is list:
            if self._items or self._folded_items:
                self._look_up_list(value, found)
        elif kind is not dict:
            ids = self._scalars.get((kind is bool, value))
            if ids is not None:
                found += ids
            if self._ranges is not None and (kind is int or kind is float):
                self._ranges.look_up(value, found)

    def _look_up_text(self, text: str, *, form: bool, found: RuleNumbers) -> None:
        _look_up_prefixes(self._prefixes, text, found)
        _look_up_suffixes(self._suffixes, text, found)
        if self._patterns is not None:
            self._patterns.look_up(text, found)
        if self._cidr is not None:
            self._cidr.look_up(text, found)
        if self._ranges is not None and (form or self._decimals):
            number = decimal(text)
            if number is not None:
                self._ranges.look_up(number, found)
        if self._text_ranges is not None:
            self._text_ranges.look_up(text, found)
        if self._fold:
            text = text.casefold()
            found += self._folded.get(text, ())
            _look_up_prefixes(self._folded_prefixes, text, found)
            _look_up_suffixes(self._folded_suffixes, text, found)
            if self._folded_patterns is not None:
                self._folded_patterns.look_up(text, found)

    def _look_up_list(self, items: list[Any], found: RuleNumbers) -> None:
        for item in items:
            if type(item) is list or type(item) is dict:
                continue
            found += self._items.get(scalar_key(item), ())
            if self._folded_items and type(item) is str:
                found += self._folded_items.get(item.casefold(), ())


def _by_value(entries: Iterable[tuple[Any, int]]) -> dict[Any, RuleNumbers]:
    ids: defaultdict[Any, RuleNumbers] = defaultdict(list)
    for value, number in paced(entries):
        ids[value].append(number)
    return dict(ids)


_ByLength = list[tuple[int, dict[str, RuleNumbers]]]


def _by_length(entries: Iterable[tuple[str, int]]) -> _ByLength:
    """Texts by length, the short ones first."""
    lengths: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    for text, number in paced(entries):
        lengths[len(text)].append((text, number))
    return [(length, _by_value(lengths[length])) for length in sorted(lengths)]


def _look_up_prefixes(filed: _ByLength, text: str, found: RuleNumbers) -> None:
    size = len(text)
    for length, ids in filed:
        if length > size:
            return
        found += ids.get(text[:length], ())


def _look_up_suffixes(filed: _ByLength, text: str, found: RuleNumbers) -> None:
    size = len(text)
    for length, ids in filed:
        if length > size:
            return
        found += ids.get(text[size - length :], ())


class Patterns:
    """Regular expressions, found by the literal parts that a text needs to match them.

    RE2's filter searches all those parts in one pass. A single automaton of all the expressions would exceed its memory
    with some thousand counted repeats. The rules' conditions judge the expressions that pass.
    """

    def __init__(self, entries: Iterable[tuple[str, int]]) -> None:
        self._filters: list[tuple[Any, list[RuleNumbers]]] = []
        self._unfiltered: RuleNumbers = []
        by_pattern = list(_by_value(entries).items())
        for start in range(0, len(by_pattern), _FILTERED):
            self._add(by_pattern[start : start + _FILTERED])

    def _add(self, part: list[tuple[str, RuleNumbers]]) -> None:
        options = re2.Options()
        options.log_errors = False
        options.max_mem = MAX_PATTERN_MEMORY
        made = re2.Filter()
        try:
            for pattern, _ in paced(part):
                made.Add(pattern, options)
            made.Compile()
        except re2.error:  # too large together
            if len(part) == 1:
                self._unfiltered += part[0][1]
                return
            self._add(part[: len(part) // 2])
            self._add(part[len(part) // 2 :])
            return
        self._filters.append((made, [ids for _, ids in part]))

    def look_up(self, text: str, found: RuleNumbers) -> None:
        """Add the rules whose pattern may match the text."""
        found += self._unfiltered
        for made, ids in self._filters:
            for place in made.Match(text, potential=True) or ():
                found += ids[place]


class Networks:
    """Networks, by version and prefix length."""

    def __init__(self, entries: Iterable[tuple[Any, int]]) -> None:
        self._by_mask: defaultdict[tuple[int, int], defaultdict[int, RuleNumbers]] = defaultdict(
            lambda: defaultdict(list)
        )
        for network, number in paced(entries):
            mask = int(network.netmask)
            self._by_mask[network.version, mask][int(network.network_address)].append(number)

    def look_up(self, text: str, found: RuleNumbers) -> None:
        """Add the rules whose network contains the address that the text is."""
        address = address_in(text)
        if address is None:
            return
        value = int(address)
        for (version, mask), networks in self._by_mask.items():
            if version == address.version:
                found += networks.get(value & mask, ())


class _AfterAll(str):
    """Stands for a text that comes after every other."""

    __slots__ = ()

    def __lt__(self, _: str) -> bool:
        return False

    def __le__(self, other: str) -> bool:
        return other is self

    def __gt__(self, other: str) -> bool:
        return other is not self

    def __ge__(self, _: str) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return other is self

    def __hash__(self) -> int:
        return id(self)


_AFTER_ALL = _AfterAll()
_INFINITY = float("inf")
_OPEN_ENDS = (-_INFINITY, _INFINITY, "", _AFTER_ALL)


class Ranges:
    """Closed intervals of numbers, or of texts, as a tree.

    Each node has the intervals that contain its centre, sorted by both ends.
    """

    __slots__ = ("by_high", "by_low", "centre", "highs", "left", "lows", "right")

    def __init__(
        self,
        entries: Sequence[tuple[tuple[Any, Any], int]],
        least: Any = -_INFINITY,
        most: Any = _INFINITY,
    ) -> None:
        """Intervals by number of their rule; `least` and `most` stand for an end that is left out."""
        ends = [(least if a is None else a, most if b is None else b, n) for (a, b), n in entries]
        self.build([(low, high, number) for low, high, number in ends if low <= high])  # the others contain no value

    def build(self, intervals: list[tuple[Any, Any, int]]) -> None:
        yield_turn()
        ends = sorted(end for low, high, _ in intervals for end in (low, high) if end not in _OPEN_ENDS)
        self.centre: Any = ends[len(ends) // 2] if ends else intervals[0][0] if intervals else 0
        around = [entry for entry in intervals if entry[0] <= self.centre <= entry[1]]
        by_low, by_high = sorted(around, key=lambda e: e[0]), sorted(around, key=lambda e: e[1])
        self.lows, self.by_low = [e[0] for e in by_low], [e[2] for e in by_low]
        self.highs, self.by_high = [e[1] for e in by_high], [e[2] for e in by_high]
        self.left = self._side([entry for entry in intervals if entry[1] < self.centre])
        self.right = self._side([entry for entry in intervals if entry[0] > self.centre])

    @staticmethod
    def _side(intervals: list[tuple[Any, Any, int]]) -> "Ranges | None":
        if not intervals:
            return None
        side = Ranges.__new__(Ranges)
        side.build(intervals)
        return side

    def look_up(self, value: Any, found: RuleNumbers) -> None:
        """Add the rules whose interval contains the number."""
        node: Ranges | None = self
        while node is not None:
            if value < node.centre:
                found += node.by_low[: bisect_right(node.lows, value)]
                node = node.left
            elif value > node.centre:
                found += node.by_high[bisect_left(node.highs, value) :]
                node = node.right
            else:
                found += node.by_low
                return

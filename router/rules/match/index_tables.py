"""The index of one field: tables from its values to the rules that may match, one for each kind of key."""

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from router.rules.match.index_keys import IndexKey
from router.rules.match.index_networks import Networks
from router.rules.match.index_patterns import Patterns
from router.rules.match.index_ranges import AFTER_ALL, Ranges
from router.rules.match.index_values import RuleNumbers, by_value
from router.rules.match.values import decimal, scalar_key
from router.runtime.pacing import paced


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
        self._texts = by_value(listed["text"])
        self._scalars = by_value(listed["scalar"])
        self._items = {**by_value((scalar_key(text), number) for text, number in listed["item"])}
        for key, ids in by_value(listed["scalar_item"]).items():
            self._items[key] = [*self._items.get(key, ()), *ids]
        self._folded = by_value(listed["folded_text"])
        self._folded_items = by_value(listed["folded_item"])
        self._prefixes = _by_length(listed["prefix"])
        self._suffixes = _by_length(listed["suffix"])
        self._folded_prefixes = _by_length(listed["folded_prefix"])
        self._folded_suffixes = _by_length(listed["folded_suffix"])
        self._patterns = Patterns(listed["pattern"]) if listed["pattern"] else None
        self._folded_patterns = Patterns(listed["folded_pattern"]) if listed["folded_pattern"] else None
        self._ranges = Ranges(listed["range"]) if listed["range"] else None
        self._text_ranges = Ranges(listed["text_range"], "", AFTER_ALL) if listed["text_range"] else None
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


_ByLength = list[tuple[int, dict[str, RuleNumbers]]]


def _by_length(entries: Iterable[tuple[str, int]]) -> _ByLength:
    """Texts by length, the short ones first."""
    lengths: defaultdict[int, list[tuple[str, int]]] = defaultdict(list)
    for text, number in paced(entries):
        lengths[len(text)].append((text, number))
    return [(length, by_value(lengths[length])) for length in sorted(lengths)]


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

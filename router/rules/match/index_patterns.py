"""The index of regular expressions: finds those that may match a text."""

from collections.abc import Iterable
from typing import Any

import re2

from router.rules.match.index_values import RuleNumbers, by_value
from router.rules.match.operators.patterns import MAX_PATTERN_MEMORY
from router.runtime.pacing import paced

_FILTERED = 5_000  #: patterns in one filter, whose automaton has a memory limit


class Patterns:
    """Regular expressions, found by the literal parts that a text needs to match them.

    RE2's filter searches all those parts in one pass. A single automaton of all the expressions would exceed its memory
    with some thousand counted repeats. The rules' conditions judge the expressions that pass.
    """

    def __init__(self, entries: Iterable[tuple[str, int]]) -> None:
        self._filters: list[tuple[Any, list[RuleNumbers]]] = []
        self._unfiltered: RuleNumbers = []
        by_pattern = list(by_value(entries).items())
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

"""Finds the rules that may match an event, without looking at the others.

Each rule is filed under the rarest key that its condition needs: a field, and what one of its values must look like.
The index looks up an event's values; the conditions then judge the rules that it finds. So the index may give a rule
too many, but never one too few. Rules without a key are candidates for every event.

The cost of an event grows with the number of fields and of rules found, not with the number of all rules. Plain paths
(`$.a.b`) form a trie that is followed along the names in the payload.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from router.domain.errors import EvaluationError
from router.rules.match.conditions import Condition
from router.rules.match.fields import AnyField, FieldValues, HeaderField, PayloadField, QueryField
from router.rules.match.index_keys import MAX_KEYS, AllOf, IndexKey, IndexNeed, index_need
from router.rules.match.index_tables import Values
from router.rules.match.index_values import RuleNumbers
from router.runtime.pacing import paced

# Costs of looking up a key. The rarest key of a rule wins; among equally rare ones, the cheapest.
_COST = {
    "text": 0.0, "scalar": 0.0, "folded_text": 0.2, "prefix": 0.3, "suffix": 0.3, "folded_prefix": 0.5,
    "folded_suffix": 0.5, "item": 0.2, "scalar_item": 0.2, "folded_item": 0.4, "cidr": 0.5, "range": 1.0,
    "text_range": 1.0, "pattern": 2.0, "folded_pattern": 3.0, "present": 8.0,
}  # fmt: skip


_FEW = 8  #: up to this number of plain paths, following each path is quicker than the trie
_MISSING = object()


class Index:
    """The index of the rules of one set of sources. Immutable; any thread may use it."""

    def __init__(self, rules: Sequence[tuple[int, Condition]]) -> None:
        """Index rules, given as (number, condition) in the order of their numbers."""
        needs = [(number, index_need(condition)) for number, condition in paced(rules)]
        chooser = _Chooser(one for _, one in needs if one is not None)
        filed: defaultdict[AnyField, list[tuple[IndexKey, int]]] = defaultdict(list)
        self.residual: tuple[int, ...] = ()  #: rules without a key
        residual = []
        for number, one in paced(needs):
            keys = chooser.choose(one)[1] if one is not None else ()
            for key in dict.fromkeys(keys):
                filed[key.field].append((key, number))
            if not keys:
                residual.append(number)
        self.residual = tuple(residual)
        names = _Branch()
        self._headers: dict[str, Values] = {}
        self._query: dict[str, Values] = {}
        self._others: list[tuple[AnyField, Values]] = []
        for selector, entries in filed.items():
            self._file(selector, entries, names)
        few = names.paths()
        self._few = few if len(few) <= _FEW else ()
        self._names = None if len(few) <= _FEW else names

    def _file(self, selector: AnyField, entries: list[tuple[IndexKey, int]], names: "_Branch") -> None:
        if isinstance(selector, HeaderField):
            self._headers.setdefault(selector.name, Values(decimals=True)).add(entries)
        elif isinstance(selector, QueryField):
            self._query.setdefault(selector.name, Values(decimals=True)).add(entries)
        elif isinstance(selector, PayloadField) and selector.compiled.names is not None:
            names.at(selector.compiled.names).add(entries)
        else:
            values = Values()
            values.add(entries)
            self._others.append((selector, values))

    def candidates(self, reads: FieldValues) -> RuleNumbers:
        """The numbers of the rules that may hold or raise for the event, without `residual`; in any order."""
        found: RuleNumbers = []
        parsed = reads.parsed
        if self._headers:
            _look_up_names(self._headers, parsed.headers.by_name, found)
        if self._query:
            _look_up_names(self._query, parsed.query, found)
        if self._names is not None:
            self._names.look_up(parsed.payload, form=parsed.form, found=found)
        for path, values in self._few:
            value = parsed.payload
            for name in path:
                value = value.get(name, _MISSING) if type(value) is dict else _MISSING
            if value is not _MISSING:
                values.look_up(value, form=parsed.form, found=found)
        for selector, values in self._others:
            try:
                selected = reads[selector]
            except EvaluationError:
                found += values.numbers  # each of them raises too, and must report it
                continue
            for value in selected if len(selected) < _MANY else _distinct(selected):
                values.look_up(value, form=parsed.form, found=found)
        return found


_MANY = 200  #: values of one field from which dropping repeated ones pays


def _distinct(values: list[Any]) -> Iterable[Any]:
    """The values without repeated scalars, and with one mapping for all: no key looks into mappings."""
    kinds = set(map(type, values))
    if not kinds & {bool, list, dict}:
        return set(values)
    found: list[Any] = []
    if dict in kinds:
        found.append({})
    found += [value for value in values if type(value) is list]
    found += {value for value in values if type(value) is bool}
    found += {value for value in values if type(value) not in (bool, list, dict)}
    return found


def _look_up_names(filed: "Mapping[str, Values]", given: Mapping[str, list[str]], found: RuleNumbers) -> None:
    for name in filed if len(filed) < len(given) else given:
        values, texts = filed.get(name), given.get(name)
        if values is not None and texts:
            for text in texts:
                values.look_up(text, form=False, found=found)


class _Chooser:
    """Chooses for each rule the keys under which the fewest other rules are filed."""

    def __init__(self, needs: Iterable[IndexNeed]) -> None:
        self._uses: Counter[IndexKey] = Counter()
        self._fields: Counter[AnyField] = Counter()
        for one in paced(needs):
            for key in _leaves(one):
                self._uses[_counted_as(key)] += 1
                self._fields[key.field] += 1

    def choose(self, one: IndexNeed) -> tuple[float, tuple[IndexKey, ...]]:
        """The cost of a need and the keys to file the rule under; no keys if they would be too many."""
        if isinstance(one, IndexKey):
            # Among equal keys, prefer the field that most rules read: it is read for the event anyway.
            rarely_read = 0.1 / self._fields[one.field]
            return self._uses[_counted_as(one)] + _COST[one.kind] + rarely_read, (one,)
        if isinstance(one, AllOf):
            options = [option for part in one.needs if (option := self.choose(part))[1]]
            return min(options, key=lambda option: option[0], default=(0.0, ()))
        parts = [self.choose(part) for part in one.needs]
        keys = tuple(key for _, chosen in parts for key in chosen)
        if len(keys) > MAX_KEYS or not all(chosen for _, chosen in parts):
            return 0.0, ()
        return sum(cost for cost, _ in parts), keys


def _counted_as(key: IndexKey) -> IndexKey:
    """The key to count by: ranges overlap, so all ranges of a field count as one key."""
    return key._replace(value=None) if key.kind in ("range", "text_range") else key


def _leaves(one: IndexNeed) -> Iterable[IndexKey]:
    stack = [one]
    while stack:
        top = stack.pop()
        if isinstance(top, IndexKey):
            yield top
        else:
            stack += top.needs


class _Branch:
    """A node of the trie of plain paths."""

    __slots__ = ("below", "values")

    def __init__(self) -> None:
        self.values: Values | None = None
        self.below: dict[str, _Branch] = {}

    def at(self, names: Sequence[str]) -> "Values":
        """The values at a path; creates them if need be."""
        branch = self
        for name in names:
            branch = branch.below.setdefault(name, _Branch())
        if branch.values is None:
            branch.values = Values()
        return branch.values

    def paths(self) -> list[tuple[tuple[str, ...], Values]]:
        """All paths that have values."""
        found: list[tuple[tuple[str, ...], Values]] = []
        stack: list[tuple[tuple[str, ...], _Branch]] = [((), self)]
        while stack:
            path, branch = stack.pop()
            if branch.values is not None:
                found.append((path, branch.values))
            stack += [((*path, name), below) for name, below in branch.below.items()]
        return found

    def look_up(self, payload: Any, *, form: bool, found: RuleNumbers) -> None:
        """Look up the payload's values at all paths of the trie."""
        stack: list[tuple[_Branch, Any]] = [(self, payload)]
        while stack:
            branch, value = stack.pop()
            values, below = branch.values, branch.below
            if values is not None:
                values.look_up(value, form=form, found=found)
            if below and type(value) is dict:
                shorter = below if len(below) < len(value) else value
                stack += [(below[name], value[name]) for name in shorter if name in value and name in below]

"""The operators that judge one value, by name: each compiles its operand into a predicate.

A new operator is one function, in a module of its kind, and one line in `OPERATORS`.
"""

from collections.abc import Callable

from router.rules.match.operators.equality import equals, in_list
from router.rules.match.operators.length import length
from router.rules.match.operators.networks import cidr
from router.rules.match.operators.numbers import COMPARISONS
from router.rules.match.operators.operand import Flags, Predicate
from router.rules.match.operators.patterns import glob, regex
from router.rules.match.operators.texts import contains, prefix, suffix
from router.rules.yaml.nodes import Node

OPERATORS: dict[str, Callable[[Node, Flags], Predicate]] = {
    "equals": equals,
    "in": in_list,
    "prefix": prefix,
    "suffix": suffix,
    "contains": contains,
    "regex": regex,
    "glob": glob,
    **COMPARISONS,
    "cidr": cidr,
    "length": length,
}

FOLDING = frozenset({"equals", "in", "prefix", "suffix", "contains", "regex", "glob"})
"""The operators that `ignore_case` changes."""

NUMERIC = frozenset(COMPARISONS)
"""The operators that read decimals in text fields."""

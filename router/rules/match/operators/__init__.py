"""The operators that judge one value, by name: each compiles its operand into a predicate.

A new operator is one function, in a module of its kind, and one line in `OPERATORS`.
"""

from router.rules.match.operators.equality import equals, in_list
from router.rules.match.operators.length import length
from router.rules.match.operators.networks import cidr
from router.rules.match.operators.operand import Operator, one_of
from router.rules.match.operators.ordered import COMPARISONS
from router.rules.match.operators.patterns import glob, regex
from router.rules.match.operators.texts import contains, prefix, suffix

OPERATORS: dict[str, Operator] = {
    "equals": equals,
    "in": in_list,
    "prefix": prefix,
    "suffix": suffix,
    "contains": one_of(contains),
    "regex": one_of(regex),
    "glob": one_of(glob),
    **COMPARISONS,
    "cidr": one_of(cidr),
    "length": length,
}

FOLDING = frozenset({"equals", "in", "prefix", "suffix", "contains", "regex", "glob"})
"""The operators that `ignore_case` changes."""

LISTED = frozenset({"prefix", "suffix", "contains", "regex", "glob", "cidr"})
"""The operators whose operand may be a list. The value must then match one of its entries."""

ORDERED = frozenset(COMPARISONS)
"""The operators that compare; with a number they read decimals in text fields."""

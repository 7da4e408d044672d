"""Warns of conditions that no event can satisfy.

The constraints that conditions put on one field are compared: two values at once, missing and present, two types. A
warning is given only when it is certain, and only for usual slips: a copied line, a bound on the wrong side, a method
that the source does not accept.
"""

from router.rules.compile.contradictions.search import cannot_hold
from router.rules.compile.contradictions.warnings import warn_of_conjunction, warn_of_map

__all__ = ["cannot_hold", "warn_of_conjunction", "warn_of_map"]

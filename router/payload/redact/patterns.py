"""Which parts of a payload the paths may select, known from their keys alone.

JSON may repeat a key, and readers differ in which value they take. Rules take the last. So a value behind an earlier
one is replaced when a path might select something in it.
"""

from collections.abc import Sequence

from router.domain.items import PlaceKey

Pattern = Sequence[frozenset[PlaceKey] | None]
"""For each level, the keys that a path may take; None: any key. At its end everything below may be selected."""

EVERYTHING = None
Reach = tuple[Pattern, ...] | None
"""What the paths may select below a value: the rests of their patterns. None: everything."""


def below(reach: Reach, key: PlaceKey) -> Reach:
    """What the paths may select below this key. Empty: nothing."""
    if reach is EVERYTHING:
        return EVERYTHING
    rests: list[Pattern] = []
    for pattern in reach:
        if not pattern or ((pattern[0] is None or key in pattern[0]) and len(pattern) == 1):
            return EVERYTHING
        if pattern[0] is None or key in pattern[0]:
            rests.append(pattern[1:])
    return tuple(rests)

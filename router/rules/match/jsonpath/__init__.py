"""JSONPath: parsed by jsonpath-ng, run as closures over plain lists.

The grammar is jsonpath-ng's extended parser, with negation of any expression in filters and with names in any script,
less what the library answers wrongly or unsafely. A path gives each place of a payload once, in document order, so
that its cost grows with the payload and no faster; what a filter adds to that is counted (`limits`).
"""

from router.rules.match.jsonpath.compile import Accessor, Path, compile_path
from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.limits import FREE_STEPS, count_item, sharing_work
from router.rules.match.jsonpath.parse import MAX_LENGTH

__all__ = ["FREE_STEPS", "MAX_LENGTH", "Accessor", "Path", "PathError", "compile_path", "count_item", "sharing_work"]

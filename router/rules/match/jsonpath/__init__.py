"""JSONPath: jsonpath-ng parses a path, and closures over plain lists follow it.

The grammar is that of jsonpath-ng's extended parser. Added are names in any script, and `!(…)` around any expression
of a filter. Refused is what the library answers wrongly or unsafely (`vet`). A path gives each place of a payload once,
in document order, so its cost grows linearly with the payload; the work that filters add has a limit (`limits`).
"""

from router.rules.match.jsonpath.compile import Accessor, Path, compile_path
from router.rules.match.jsonpath.error import PathError
from router.rules.match.jsonpath.limits import FREE_STEPS, count_item, sharing_work
from router.rules.match.jsonpath.parse import MAX_LENGTH
from router.rules.match.jsonpath.places import FindItems, compile_item_path, compile_items

__all__ = [
    "FREE_STEPS",
    "MAX_LENGTH",
    "Accessor",
    "FindItems",
    "Path",
    "PathError",
    "compile_item_path",
    "compile_items",
    "compile_path",
    "count_item",
    "sharing_work",
]

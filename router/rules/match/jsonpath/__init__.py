"""JSONPath: jsonpath-ng parses a path, and closures follow it through plain lists.

The grammar is that of jsonpath-ng's extended parser. We add names in any script, and `!(…)` around any expression of a
filter. We refuse paths that the library follows wrongly or unsafely (`vet`). A path gives each place of a payload once,
in document order, so its cost grows linearly with the payload. The work of filters is limited (`limits`).
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

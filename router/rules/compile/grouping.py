"""Compiles `latest_by`, `wait` and `max_wait`, or `once_by` and `within`, of an action."""

from router.domain.units import as_duration
from router.rules.compile.field_key import load_field
from router.rules.compile.scope import Scope
from router.rules.grouping import Grouping, LatestBy, OnceBy
from router.rules.match.fields import AnyField
from router.rules.yaml.models import keys, read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import GroupOptions

GROUP_KEYS = tuple(keys(GroupOptions))
_MAX_WAITS = 10  #: max_wait by default, as a multiple of `wait`: long enough for a burst, and still bounded
_NEEDS = {"wait": "latest_by", "max_wait": "wait", "within": "once_by"}


def load_grouping(node_path: NodePath, scope: Scope) -> Grouping | None:
    """How the action's deliveries are grouped; None if they are not, and after an error."""
    given = {key: node_path.at(key).data for key in GROUP_KEYS if node_path.has(key)}
    if not given:
        return None
    options = read(node_path, GroupOptions, given)
    for key, needed in _NEEDS.items():
        if key in given and needed not in given:
            node_path.key_error(key, f"{key} needs {needed} in this action; add it, or remove {key}")
    if "latest_by" in given and "once_by" in given:
        node_path.key_error(
            "once_by",
            "latest_by and once_by exclude each other: one delivers the newest, the other the first; keep one",
        )
    if "once_by" in given and "within" not in given:
        node_path.key_error("once_by", "once_by needs within: how long it skips further ones, such as within: 10m")
    latest, once = _field(node_path, "latest_by", scope), _field(node_path, "once_by", scope)
    if options is None:
        return None
    wait, most = options.wait or 0.0, options.max_wait or _MAX_WAITS * (options.wait or 0.0)
    if most < wait:
        at = node_path.at("max_wait")
        at.error(f"expected at least wait, which is {as_duration(wait)}; found {at.found()}")
    if latest is not None:
        return LatestBy(latest, round(wait * 1000), round(most * 1000))
    return OnceBy(once, round(options.within * 1000)) if once is not None and options.within else None


def _field(node_path: NodePath, key: str, scope: Scope) -> AnyField | None:
    if not node_path.has(key):
        return None
    at = node_path.at(key)
    text = at.data
    return load_field(at, text, scope) if isinstance(text, str) and text else None

"""What filters read from each item: an attribute such as `author.name`, and texts in lower case."""

from collections.abc import Callable
from typing import Any

import jinja2

from router.templates.budget import CHANGED_PER_STEP, MAX_DIGITS, TooMuchWork
from router.templates.environment import RenderContext


def attribute_getter(
    c: RenderContext, attribute: Any, change: Callable[[Any], Any] | None = None, default: Any = None
) -> Callable[[Any], Any]:
    """The function that reads the attribute of an item, charges the read, and changes the value."""
    steps, path = attribute_steps(c, attribute), _path(attribute)

    def get(item: Any) -> Any:
        c.budget.charge(steps)
        found = _value_at(c, item, path, default)
        return change(found) if change else found

    return get


def attributes_getter(
    c: RenderContext, attributes: Any, change: Callable[[Any], Any] | None = None
) -> Callable[[Any], list[Any]]:
    """Like attribute_getter, for several attributes separated by commas."""
    steps = attribute_steps(c, attributes)
    paths = [_path(one) for one in (attributes.split(",") if isinstance(attributes, str) else [attributes])]

    def get(item: Any) -> list[Any]:
        c.budget.charge(steps)
        found = [_value_at(c, item, path) for path in paths]
        return [change(value) for value in found] if change else found

    return get


def _path(attribute: Any) -> list[Any]:
    """The keys and indices of an attribute such as `commits.0.id`; empty for None, which means the item itself."""
    if isinstance(attribute, str):
        return [int(part) if part.isdigit() else part for part in attribute.split(".")]
    return [] if attribute is None else [attribute]


def _value_at(c: RenderContext, value: Any, path: list[Any], default: Any = None) -> Any:
    for part in path:
        value = c.environment.getitem(value, part)
        if default is not None and isinstance(value, jinja2.Undefined):
            value = default
    return value


def attribute_steps(c: RenderContext, attribute: Any) -> int:
    """The steps of one read of the attribute. Raises TooMuchWork for an index with too many digits."""
    if not isinstance(attribute, str):
        return 5
    c.budget.charge(10 + len(attribute) // 2)
    # Python needs long to read a longer number.
    if any(len(part) > MAX_DIGITS for part in attribute.replace(",", ".").split(".") if part.isdigit()):
        raise TooMuchWork(f"attribute: a number of more than {MAX_DIGITS} digits is too large")
    return 5 * (1 + attribute.count(".") + attribute.count(","))


def ignoring_case(c: RenderContext, case_sensitive: bool) -> Callable[[Any], Any] | None:
    """The function that makes texts lower case before they are compared; None when case counts."""
    if case_sensitive:
        return None

    def lower(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        c.budget.charge_text(len(value), "lower case", CHANGED_PER_STEP)
        return value.lower()

    return lower

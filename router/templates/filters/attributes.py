"""What filters read of each item: an attribute such as `author.name`, and texts without their case."""

from collections.abc import Callable
from typing import Any

from jinja2 import filters as jinja

from router.templates.environment import RenderContext
from router.templates.work import DEAR, MAX_DIGITS, TooMuchWork, Work


def attribute_getter(
    c: RenderContext, attribute: Any, change: Callable[[Any], Any] | None = None, default: Any = None
) -> Callable[[Any], Any]:
    steps = attribute_steps(c, attribute)
    get = jinja.make_attrgetter(c.environment, attribute, change, default)
    return charging(c.work, steps, get)


def attribute_steps(c: RenderContext, attribute: Any) -> int:
    if not isinstance(attribute, str):
        return 5
    c.work.charge(10 + len(attribute) // 2)
    # Python writes no number of more digits, and needs long to read one.
    if any(len(part) > MAX_DIGITS for part in attribute.replace(",", ".").split(".") if part.isdigit()):
        raise TooMuchWork(f"attribute: a number of more than {MAX_DIGITS} digits is too large")
    return 5 * (1 + attribute.count(".") + attribute.count(","))


def charging(work: Work, steps: int, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def paid(item: Any) -> Any:
        work.charge(steps)
        return function(item)

    return paid


def ignoring_case(c: RenderContext, case_sensitive: bool) -> Callable[[Any], Any] | None:
    """What makes texts alike that differ in case."""
    if case_sensitive:
        return None

    def lower(value: Any) -> Any:
        if not isinstance(value, str):
            return value
        c.work.text(len(value), "lower case", DEAR)
        return value.lower()

    return lower

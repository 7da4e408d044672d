"""What filters read of each item: an attribute such as `author.name`, and texts without their case."""

from collections.abc import Callable
from typing import Any

from jinja2 import filters as jinja

from router.templates.budget import CHANGED_PER_STEP, MAX_DIGITS, RenderBudget, TooMuchWork
from router.templates.environment import RenderContext


def attribute_getter(
    c: RenderContext, attribute: Any, change: Callable[[Any], Any] | None = None, default: Any = None
) -> Callable[[Any], Any]:
    """The function that reads the attribute of an item, and charges the read."""
    steps = attribute_steps(c, attribute)
    get = jinja.make_attrgetter(c.environment, attribute, change, default)
    return charging(c.budget, steps, get)


def attribute_steps(c: RenderContext, attribute: Any) -> int:
    """The steps of one read of the attribute. Raises TooMuchWork for an index with too many digits."""
    if not isinstance(attribute, str):
        return 5
    c.budget.charge(10 + len(attribute) // 2)
    # Reading a longer number takes Python long.
    if any(len(part) > MAX_DIGITS for part in attribute.replace(",", ".").split(".") if part.isdigit()):
        raise TooMuchWork(f"attribute: a number of more than {MAX_DIGITS} digits is too large")
    return 5 * (1 + attribute.count(".") + attribute.count(","))


def charging(budget: RenderBudget, steps: int, function: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """The function, with these steps charged for each call."""

    def charged(item: Any) -> Any:
        budget.charge(steps)
        return function(item)

    return charged


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

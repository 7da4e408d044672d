"""The list of filters, which the other modules of this package fill."""

from collections.abc import Callable
from typing import Any

import jinja2

Filter = Callable[..., Any]
FILTERS: dict[str, Filter] = {}


def template_filter(*names: str) -> Callable[[Filter], Filter]:
    """Offer a function to templates under these names."""

    def register(function: Filter) -> Filter:
        for name in names:
            FILTERS[name] = jinja2.pass_context(function)
        return function

    return register

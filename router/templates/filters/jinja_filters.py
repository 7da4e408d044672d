"""Calls Jinja's own filters, by the registry that it documents."""

from typing import Any

import jinja2

from router.templates.environment import RenderContext

_JINJA = jinja2.Environment(autoescape=False)  # noqa: S701 - its filters are called, and it renders nothing


def jinja_filter(c: RenderContext, name: str, value: Any, *args: Any, **kwargs: Any) -> Any:
    """The result of Jinja's filter of this name. The caller has charged its work."""
    return _JINJA.call_filter(name, value, args, kwargs, context=c)

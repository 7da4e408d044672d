"""A filter with wrong arguments is refused when the rules load. The error lists its arguments."""

import inspect

import pytest

from router.domain.errors import TemplateError
from router.templates import compile_template
from router.templates.filters import FILTERS


def test_the_context_is_not_listed_as_an_argument() -> None:
    """Jinja passes the context; a template can't."""
    strict = [
        name
        for name, function in FILTERS.items()
        if all(one.kind is not one.VAR_KEYWORD for one in inspect.signature(function).parameters.values())
    ]
    assert len(strict) > 40
    for name in strict:
        with pytest.raises(TemplateError, match=r"can't be given these arguments; it takes \(") as caught:
            compile_template(f"{{{{ payload.a | {name}(no_such_argument=1) }}}}", secrets=())
        listed = str(caught.value).partition("it takes (")[2]
        assert not listed.startswith(("c,", "c)")), name

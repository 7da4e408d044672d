"""Templates that do as much work as possible with a small payload, for every filter, test and operator.

They are generated from the sandbox's lists, so that new filters are tried too.
"""

import inspect
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from router.templates.filters import FILTERS
from router.templates.tests import TESTS

PAYLOAD: dict[str, Any] = {
    "text": "a" * 20_000,
    "words": "ab " * 6_000,
    "odd": "Ǆ\u0130ß\U0001f600" * 3_000,
    "digits": "9" * 20_000,
    "lines": "\n\r\x0b\u2028" * 5_000,
    "dashes": "-" * 10_000 + " ",
    "markup": "<" * 20_000,
    "format": "%900d" * 2_000,
    "wide": "%99999999d",
    "path": "a." * 8_000,
    "commas": "0," * 8_000,
    "numbers": list(range(5_000)),
    "texts": ["a" * 30 + str(i) for i in range(500)],
    "same": ["a" * 1_000] * 20,
    "lists": [[[0] * 20] * 10] * 20,
    "objects": [{"a": "A" * 10, "b": {"c": i}, "": i} for i in range(500)],
    "mapping": {"k" * 20 + str(i): i for i in range(500)},
    "large": 2**63 - 1,
    "least": -(2**63),
    "million": 30_000_000,
    "minus": -30_000_000,
    "one": 1,
    "float": 1.7e308,
    "zero": 0,
    "empty": "",
    "nothing": [],
    "upper": "upper",
    "join": "join",
}
BODY = json.dumps(PAYLOAD).encode()
VALUES = (
    "text",
    "words",
    "odd",
    "numbers",
    "texts",
    "objects",
    "lists",
    "mapping",
    "large",
    "digits",
    "lines",
    "format",
)
ARGUMENTS = (
    *("million", "minus", "large", "one", "zero", "text", "odd", "empty", "nothing", "numbers", "lists", "mapping"),
    *("path", "commas", "float", "markup"),
)
KINDS: dict[str, tuple[str, ...]] = {
    "map": (
        "'upper'",
        "'join', payload.text",
        "'center', payload.million",
        "'default', payload.text, true",
        "attribute=payload.path",
    ),
    **dict.fromkeys(
        ("select", "reject"), ("'in', payload.numbers", "'eq', payload.lists", "'in', payload.text", "payload.upper")
    ),
    **dict.fromkeys(
        ("selectattr", "rejectattr"), ("'a', 'in', payload.text", "'b.c', 'in', payload.numbers", "payload.path")
    ),
}
OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in")
SHAPES = {
    "a chain of set": "{% set x = payload.text %}" + "{% set x = x ~ x %}" * 40 + "{{ x }}",
    "a chain of lists": "{% set x = payload.numbers %}" + "{% set x = x + x %}" * 40 + "{{ x }}",
    "lists in lists": "{% set x = payload.numbers %}" + "{% set x = [x, x] %}" * 40 + "{{ x }}",
    "lists in lists compared": "{% set x = payload.numbers %}"
    + "{% set x = [x, x] %}" * 40
    + "{{ x == [x[0], x[1]] }}",
    "lists in lists sorted": "{% set x = payload.numbers %}" + "{% set x = [x, x] %}" * 40 + "{{ x | sort | length }}",
    "mappings in mappings": "{% set x = payload.mapping %}" + "{% set x = {'a': x, 'b': x} %}" * 40 + "{{ x }}",
    "large numbers": "{% set x = payload.large %}" + "{% set x = x * x %}" * 40 + "{{ x }}",
    "loops in loops": "{% for a in payload.numbers %}" * 5 + "{{ a }}" + "{% endfor %}" * 5,
    "loops without output": "{% for a in payload.numbers %}" * 5 + "{% if a == a %}{% endif %}" + "{% endfor %}" * 5,
    "a loop with a condition": "{% for a in payload.numbers if a in payload.numbers %}{% endfor %}",
    "a loop over a range": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "a loop that looks around": "{% for a in payload.numbers %}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{% endfor %}"
    * 50,
    "much literal text": "{% for a in payload.numbers %}" + "x" * 5_000 + "{% endfor %}",
    "much of the payload": "{% for a in payload.numbers %}{{ payload.text }}{% endfor %}",
    "all of the payload": "{% for a in payload.numbers %}{{ payload }}{% endfor %}",
    "a block that is set": "{% set x = payload.text %}" + "{% set x %}{{ x }}{{ x }}{% endset %}" * 40 + "{{ x }}",
    "a block with a filter": "{% filter center(payload.million) %}{% for a in payload.numbers %}x{% endfor %}{% endfilter %}",
    "lines of every kind": "{{ payload.lines | replace('\\n', '') | indent(5000, true, true) | length }}",
    "a slice": "{% for a in payload.numbers %}{% if payload.text[1:][::-1] == 'a' %}{% endif %}{% endfor %}",
    "lazy lists of large texts": "{{ [payload.numbers | map('default', payload.text, true)] }}",
    "lazy lists as text": "{{ payload.numbers | map('default', payload.text, true) }}",
    "lazy lists in a format": "{{ '%s' % [payload.numbers | map('default', payload.text, true)] }}",
    "wide formats": "{{ payload.wide % payload.one }}",
    "many formats": "{{ payload.format % payload.one }}",
    "repeated in place": "{{ [[payload.text] * payload.million] * payload.million }}",
    "repeated in turn": "{{ ([[[payload.text] * 1000] * 1000] * 1000) | tojson }}",
    "joined again and again": "{{ payload.lists | sum(start=[]) | sum(start=[]) | length }}",
}


@dataclass(frozen=True)
class Hostile:
    """A template, and the filter, test or operator that it tries."""

    about: str
    text: str


def hostile() -> Iterator[Hostile]:
    """All hostile templates: each filter and test on each value, with bad arguments."""
    yield from _calls("| ", FILTERS)
    yield from _calls("is ", TESTS)
    for operator in OPERATORS:
        for left in (*VALUES, "million", "minus", "wide", "float"):
            for right in (*VALUES, "million", "minus", "float"):
                yield Hostile(operator, f"{{{{ payload.{left} {operator} payload.{right} }}}}")
    for name, text in SHAPES.items():
        yield Hostile(name, text)


def _calls(sign: str, functions: Mapping[str, Callable[..., Any]]) -> Iterator[Hostile]:
    for name, function in functions.items():
        if not name.isidentifier():
            continue  # an operator, which a named test covers
        for arguments in dict.fromkeys(_arguments(name, function)):
            for value in VALUES:
                written = f"{sign}{name}({arguments})"
                after = " | list" if sign == "| " else ""
                yield Hostile(sign + name, f"{{{{ payload.{value} {written} }}}}")
                if after and value in ("numbers", "texts"):
                    yield Hostile(sign + name, f"{{{{ payload.{value} | map('string') {written} | list }}}}")
                    yield Hostile(
                        sign + name,
                        f"{{% for a in payload.numbers %}}{{% set x = payload.{value} {written} %}}{{% endfor %}}",
                    )


def _arguments(name: str, function: Callable[..., Any]) -> Iterator[str]:
    """The arguments of the call: none, one bad argument, or only bad ones."""
    yield from KINDS.get(name, ())
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        yield ""
        return
    parameters = parameters[2 if hasattr(function, "jinja_pass_arg") else 1 :]
    plain = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    needed = [p for p in plain if p.default is inspect.Parameter.empty]
    if not needed:
        yield ""
    for bad in ARGUMENTS:
        for parameter in plain:
            others = [f"{p.name}=payload.one" for p in needed if p is not parameter]
            yield ", ".join([f"{parameter.name}=payload.{bad}", *others])
        yield ", ".join(f"{p.name}=payload.{bad}" for p in plain)
    if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters) and name not in KINDS:
        yield from ("payload.million", "payload.text", "*payload.numbers")

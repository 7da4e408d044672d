"""Templates read what they name and nothing else."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.errors import RenderError, TemplateError
from router.model import Headers
from router.templates import Context, as_json, compile_template, compile_tree, render_tree
from router.templates.values import FirstValues as _FirstValues

VALUES = Context(
    {
        "payload": {
            "ref": "refs/heads/main",
            "items": [1, 2],
            "flag": True,
            "none": None,
            "number": 7,
            "ratio": 1.5,
            "nested": {"a b": "c", "keys": "mine"},
            "commits": [{"id": "x"}, {"id": "y"}],
            "big": "x" * 1_000_000,
            "many": ["y"] * 100,
        },
        "headers": _FirstValues(Headers((("X-Github-Event", "push"), ("X-Github-Event", "second")))),
        "query": {"a": "1"},
        "event": {"id": "e1"},
        "source": "github",
        "delivery": {"attempt": 1},
        "secrets": {"chat": "https://chat.example/T0"},
    }
)


def _render(text: str) -> str:
    return compile_template(text, secrets=["chat"]).render(VALUES)


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("plain $ text", "plain $ text"),
        ("{{ payload.ref }}", "refs/heads/main"),
        ("a {{ payload.ref }} b\n", "a refs/heads/main b\n"),
        ("{{ payload.items }}", "[1,2]"),  # the field, not a method
        ("{{ payload.nested.keys }}", "mine"),
        ("{{ payload.nested['a b'] }}", "c"),
        ("{{ payload.flag }}", "true"),
        ("{{ payload.number }}/{{ payload.ratio }}", "7/1.5"),
        ("{{ payload.nested }}", '{"a b":"c","keys":"mine"}'),
        ("{{ payload.commits[-1].id }}", "y"),
        ("{{ payload.none | default('none') }}", "none"),
        ("{{ payload.no.such.field | default('none') }}", "none"),
        ("{{ payload.ref | replace('refs/heads/', '') }}", "main"),
        ("{{ payload.commits | map(attribute='id') | join(', ') }}", "x, y"),
        ("{% for c in payload.commits %}{{ loop.index }}{{ c.id }} {% endfor %}", "1x 2y "),
        ("{% if payload.nothing is defined %}yes{% else %}no{% endif %}", "no"),
        ("{{ headers['x-GITHUB-event'] }}", "push"),
        ("{{ query.a }}{{ event.id }}{{ source }}{{ delivery.attempt }}", "1e1github1"),
        ("{{ secrets.chat }}", "https://chat.example/T0"),
        ("{{ payload.nested | tojson }}", '{"a b":"c","keys":"mine"}'),
        ("{{ 1 + 2 * 3 }}", "7"),
        ("{{ " + " + ".join(["1"] * 45) + " }}", "45"),
        ("{{ payload.ref" + " | upper" * 40 + " }}", "REFS/HEADS/MAIN"),
        ("{{ payload.ref" + " ~ 'x'" * 500 + " }}", "refs/heads/main" + "x" * 500),
        ("{% for a in [1] %}" * 9 + "x" + "{% endfor %}" * 9, "x"),
        ("{{ " + "(" * 45 + "1" + " + 1)" * 45 + " }}", "46"),
        ("{{ payload.number ** 30 }}", "22539340290692258087863249"),
    ],
)
def test_a_template_renders(text: str, result: str) -> None:
    assert _render(text) == result


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ payload.repository.id }}", "payload.repository.id is missing"),
        ("{{ payload.none }}", "payload.none is missing"),
        ("{{ payload.commits[5].id }}", "payload.commits[5].id is missing"),
        ("{{ payload.ref.upper }}", "payload.ref.upper is missing"),
        ("{{ payload.__class__ }}", "payload.__class__ is missing"),
        ("{{ ''.__class__ }}", "__class__ is missing"),
        ("{% set x = payload.nested %}{{ x.pop }}", "pop is missing"),
        ("{% for c in payload.commits %}{{ c.nope }}{% endfor %}", "nope is missing"),
        ("{{ headers['X-None'] }}", "headers['X-None'] is missing"),
        ("{{ payload.no + 1 }}", "payload.no is missing"),
        ("{{ 'x' * 1000000000 }}", "moderate size"),
        ("{{ 9 ** 999999999 }}", "moderate size"),
        ("{{ '%99999999d' % 1 }}", "moderate size"),
        ("{{ payload.big | replace('x', payload.big) }}", "too large"),
        ("{{ payload.many | join(payload.big) }}", "too large"),
        ("{% for a in payload.many %}{{ payload.big }}{% endfor %}", "longer than"),
        ("{{ payload.ref / 2 }}", "TypeError"),
        ("{% for i in range(999999999) %}{% endfor %}", "OverflowError"),
        ("{{ payload[payload.ref] }}", "what a computed key names is missing"),
        ("{{ payload[secrets.chat] }}", "what a computed key names is missing"),
        ("{{ payload.items | map(attribute=payload.ref) | list }}", "what a computed key names is missing"),
        ("{% for item in payload.items %}{{ item['sub'] }}{% endfor %}", "sub is missing"),
        ("{{ '\\ud800' }}", "half a surrogate pair"),
        ("{{ [payload.number ** 60] }}", "beyond 64 bits"),
    ],
)
def test_a_template_that_fails_names_the_field_and_no_value(text: str, message: str) -> None:
    with pytest.raises(RenderError) as caught:
        _render(text)

    assert message in str(caught.value)
    assert "refs/heads" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ payload.ref", "not a template"),
        ("{% if x %}", "not a template"),
        ("{{ foo.bar }}", 'a field of the payload is "payload.foo"'),
        ("{{ payloads.x }}", 'did you mean "payload"?'),
        ("{{ env.HOME }}", "can't read the environment"),
        ("{{ headers.X-Github-Event }}", "write headers['X-Name']"),
        ("{{ headers.X-Github-Event | upper }}", "write headers['X-Name']"),
        ("{{ payload.x-y }}", "payload.x-y is a subtraction; write payload['x-y']"),
        ("{{ payload" + ".a" * 900 + " }}", "nested too deeply"),
        ("{{ payload.a" + " | upper" * 3000 + " }}", "nested too deeply"),
        ("{{ 1" + " + 1" * 20_000 + " }}", "nested too deeply"),
        ("{{ " + "not " * 5000 + "1 }}", "nested too deeply"),
        ("{% for a in payload.b %}" * 21 + "{% endfor %}" * 21, "nested too deeply"),
        ("{{ " + "9" * 5000 + " }}", "too many digits"),
        ("{{ self }}", 'unknown name "self"'),
        ("{{ secrets.chta }}", 'undefined secret "chta"; did you mean "chat"?'),
        ("{{ secrets }}", "name the secret"),
        ("{{ secrets[payload.ref] }}", "name the secret"),
        ("{{ payload.ref | shout }}", 'unknown filter "shout"'),
        ("{{ payload.ref | attr('x') }}", 'unknown filter "attr"'),
        ("{% if payload.ref is nice %}{% endif %}", 'unknown test "nice"'),
        ("{{ payload.ref.upper() }}", "can't call functions or methods"),
        ("{% include 'x' %}", "not available"),
        ("{% macro m() %}{% endmacro %}", "not available"),
        ("{% for event in payload.events %}{{ event.id }}{% endfor %}", "another name"),
        ("{{ _read }}", "the router's own"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "template"),
    ],
)
def test_a_wrong_template_is_refused_when_the_rules_load(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(text, secrets=["chat"])

    assert message in str(caught.value)


def test_in_json_a_single_expression_keeps_its_type() -> None:
    tree = compile_tree(
        {"n": "{{ payload.number }}", "t": "n={{ payload.number }}", "l": ["{{ payload.items }}", 5, None, True]},
        secrets=[],
    )

    assert render_tree(tree, VALUES) == {"n": 7, "t": "n=7", "l": [[1, 2], 5, None, True]}


def test_in_json_a_missing_field_is_an_error_too() -> None:
    with pytest.raises(RenderError, match="payload.no is missing"):
        render_tree(compile_tree({"n": "{{ payload.no }}"}, secrets=[]), VALUES)


def test_what_filters_make_is_json_too() -> None:
    tree = compile_tree({"l": "{{ payload.items | map('string') }}", "r": "{{ range(2) }}"}, secrets=[])

    assert as_json(render_tree(tree, VALUES)) == b'{"l":["1","2"],"r":[0,1]}'


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{{ payload.number ** 60 }}", "beyond 64 bits"),
        ("{{ payload.items | map(attribute='no') }}", "what a computed key names is missing"),
        ("{{ payload.items | map(attribute='no') | list }}", "what a computed key names is missing"),
    ],
)
def test_what_json_cannot_hold_is_a_failure_of_the_template(text: str, message: str) -> None:
    tree = compile_tree({"n": text}, secrets=[])

    with pytest.raises(RenderError, match=message):
        as_json(render_tree(tree, VALUES))


def test_code_is_made_once_and_only_when_needed() -> None:
    template = compile_template("{{ payload.ref }}", secrets=[])
    assert "_code" not in vars(template)

    template.render(VALUES)

    assert vars(template)["_code"] is template._code


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(payload=_json)
def test_no_payload_makes_a_template_fail_otherwise_than_by_its_own_error(payload: Any) -> None:
    values = Context({**VALUES.values, "payload": payload})
    for text in (
        "{{ payload.a.b }}",
        "{{ payload }}",
        "{{ payload | length }}",
        "{{ payload[0] | upper }}",
        "{{ payload.a + 1 }}",
    ):
        try:
            compile_template(text, secrets=[]).render(values)
        except RenderError:
            continue

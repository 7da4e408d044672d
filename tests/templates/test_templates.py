"""Templates can read only the values that they name, and have limits."""

import asyncio
import json
import re
import threading
import tracemalloc
from pathlib import Path
from typing import Any

import jinja2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.domain.errors import RenderError, TemplateError
from router.domain.headers import Headers
from router.templates import (
    Context,
    TooMuchWork,
    as_json,
    compile_template,
    compile_tree,
    render_tree,
    render_without_blocking,
)
from router.templates.budget import RenderBudget
from router.templates.filters import FILTERS
from router.templates.running import RenderThread, new_budget
from router.templates.tests import TESTS
from router.templates.values import FirstValues
from tests.cases import each
from tests.conftest import number_of_examples
from tests.templates.hostile_templates import BODY, SHAPES, Hostile, hostile

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
            "wide": "%99999999d",
            "amount": 1234567,
            "texts": ["b", "A", "c", "B"],
            "price": "1234.5",
        },
        "headers": FirstValues(Headers((("X-Github-Event", "push"), ("X-Github-Event", "second")))),
        "query": {"a": "1"},
        "event": {"id": "e1"},
        "source": "github",
        "delivery": {"attempt": 1},
        "secrets": {"chat": "https://chat.example/T0"},
    }
)


def _render(text: str) -> str:
    return compile_template(text, secrets=["chat"]).render(VALUES)


@each(
    ("text", "result"),
    [
        ("plain $ text", "plain $ text"),
        ("{{ payload.ref }}", "refs/heads/main"),
        ("a {{ payload.ref }} b\n", "a refs/heads/main b\n"),
        ("{{ payload.items }}", "[1,2]"),  # a field of this name, not the method
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
        ("{{ '%.2f' % (payload.amount / 100) }}", "12345.67"),
        ("{{ '%.2f' | format(payload.amount / 100) }}", "12345.67"),
        ("{{ '%s: %d%% (%5.1f)' % (payload.ref, payload.number, payload.ratio) }}", "refs/heads/main: 7% (  1.5)"),
        ("{{ '%s' % payload.items }}", "[1,2]"),
        ("{{ '%s' % payload.flag }}", "true"),
        ("{{ '%(a)s-%(b)03d' | format(a=payload.ref, b=payload.number) }}", "refs/heads/main-007"),
        ("{{ '%x' % 255 }}", "ff"),
        ("{{ payload.number % 4 }}", "3"),
        ("{{ (payload.amount / 100) | number(2, ',') }}", "12,345.67"),
        ("{{ payload.price | number(2, '.', ',') }}", "1.234,50"),
        ("{{ 1.005 | number(2) }}", "1.01"),
        ("{{ -0.001 | number(2) }}", "0.00"),
        ("{{ 12.5 | round(2) }} {{ 12.5 | number(2) }} {{ 7 | number }}", "12.5 12.50 7"),
        ("{{ payload.ref * 2 }}", "refs/heads/mainrefs/heads/main"),
        ("{{ payload.ref[5:10] }}{{ payload.ref[::-1] }}{{ payload.items[:1] }}", "headsniam/sdaeh/sfer[1]"),
        ("{% if 1 < payload.number <= 7 and 'main' in payload.ref and 3 not in payload.items %}y{% endif %}", "y"),
        ("{{ payload.texts | sort | join }}{{ payload.texts | sort(true, true) | join }}", "AbBccbBA"),
        ("{{ payload.texts | unique | join }}{{ payload.texts | min }}{{ payload.texts | max }}", "bAcAc"),
        ("{% for k, v in payload.commits | groupby('id') %}{{ k }}{{ v | length }}{% endfor %}", "x1y1"),
        ("{{ [[1], [2]] | sum(start=[]) }}{{ payload.items | sum }}", "[1,2]3"),
        ("{{ payload.nested | dictsort }}", '[["a b","c"],["keys","mine"]]'),
        ("{{ (payload.nested | dictsort)[0][1] }}", "c"),
        ("{{ payload.many | batch(60) | map('length') | list }}", "[60,40]"),
        ("{{ payload.items | slice(2) | list }}", "[[1],[2]]"),
        ("{{ 'ab' | center(6) }}|{{ 'a\nb' | indent(2) }}|{{ 'aa bb' | wordwrap(2) }}", "  ab  |a\n  b|aa\nbb"),
        ("{{ '<a>' | e }}{{ 2048 | filesizeformat }}{{ 'a b' | wordcount }}", "&lt;a&gt;2.0 kB2"),
        ("{{ [payload.texts | map('lower')] }}", '[["b","a","c","b"]]'),
        ("{{ payload.texts | map('lower') ~ '!' }}", "['b', 'a', 'c', 'b']!"),
        ("{{ payload.items ~ true ~ payload.number }}", "[1, 2]True7"),
        ("{{ payload.number is odd }}{{ 7 is divisibleby(7) }}{{ 1 is in payload.items }}", "truetruetrue"),
        ("{% filter upper %}{{ payload.texts | join }}{% endfilter %}", "BACB"),
        ("{% set x | lower %}{{ payload.texts | join }}{% endset %}{{ x }}", "bacb"),
        ("{% autoescape true %}{{ '<' }}{% endautoescape %}", "&lt;"),
        ("{% with a = payload.number %}{{ a }}{% endwith %}", "7"),
        ("{% for a in payload.items %}{{ loop.length }}{{ loop.last }}{% else %}none{% endfor %}", "2false2true"),
        ("{% for a in payload.texts if a != 'c' %}{{ a }}{% endfor %}", "bAB"),
    ],
)
def test_a_template_renders(text: str, result: str) -> None:
    assert _render(text) == result


@each(
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
        ("{{ payload.ref * 1000000000 }}", "too large"),
        ("{{ payload.items * 1000000000 }}", "too large"),
        ("{{ payload.number ** 999999999 }}", "too large"),
        ("{{ payload.wide % 1 }}", "a width of more than 1000"),
        ("{{ payload.ref | center(30000000) }}", "center: a text of more than"),
        ("{{ payload.number | round(-30000000) }}", "round takes places from"),
        ("{{ payload.wide is odd }}", "odd takes numbers"),
        ("{{ payload.wide is divisibleby(payload.number) }}", "divisibleby takes numbers"),
        ("{{ payload.big | replace('x', payload.big) }}", "too large"),
        ("{{ payload.many | join(payload.big) }}", "too large"),
        ("{% for a in payload.many %}{{ payload.big }}{% endfor %}", "longer than"),
        ("{{ payload.ref / 2 }}", "/ takes numbers; | int or | float makes a number of a text"),
        ("{% for i in range(payload.number * 999999999) %}{% endfor %}", "OverflowError"),
        ("{{ payload[payload.ref] }}", "what a computed key names is missing"),
        ("{{ payload[secrets.chat] }}", "what a computed key names is missing"),
        ("{{ payload.items | map(attribute=payload.ref) | list }}", "what a computed key names is missing"),
        ("{% for item in payload.items %}{{ item['sub'] }}{% endfor %}", "sub is missing"),
        ("{{ '\\ud800' }}", "half a surrogate pair"),
        ("{{ [payload.number ** 60] }}", "beyond 64 bits"),
    ],
)
def test_the_error_of_a_template_names_the_field_and_no_value(text: str, message: str) -> None:
    with pytest.raises(RenderError) as caught:
        _render(text)

    assert message in str(caught.value)
    assert "refs/heads" not in str(caught.value)


@each(
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
        ("{{ _read }}", 'unknown name "_read"'),
        ("{{ payload.ref | _read }}", 'unknown filter "_read"'),
        ("{{ payload.ref | map('_read') | list }}", 'unknown filter "_read"'),
        ("{{ payload.ref | map('shout') | list }}", 'unknown filter "shout"'),
        ("{{ payload.ref | select('nice') | list }}", 'unknown test "nice"'),
        ("{{ payload.ref | map | list }}", "map takes the name"),
        ("{{ payload.ref | selectattr | list }}", "selectattr takes the name"),
        ("{{ payload.ref | safe }}", "not available in rules"),
        ("{{ payload.ref | random }}", "a retry would send something else"),
        ("{{ 'x' * 1000000000 }}", "would fail at every event: *: a text of more than"),
        ("{{ 9 ** 999999999 }}", "would fail at every event: **: the result is too large"),
        ("{% for i in range(999999999) %}{% endfor %}", "would fail at every event"),
        ("{{ payload.x | default(1 / 0) }}", "would fail at every event: division by zero"),
        ("{{ 7 | round('two') }}", "would fail at every event: round takes places"),
        ("{{ 'a' | round }}", "would fail at every event: round takes a number"),
        ("{{ '%99999999d' % 1 }}", "a width of more than 1000"),
        ("{{ '%99999999d' % payload.number }}", "a width of more than 1000"),
        ("{{ '%*d' % (payload.number, 1) }}", 'the format has "%*"'),
        ("{{ '%d%%%' % payload.number }}", 'the format has "%"'),
        ("{{ '%r' % payload.ref }}", 'the format has "%r"'),
        ("{{ '%.2f %s' % payload.number }}", "the format takes 2 values, and is given 1"),
        ("{{ '%.2f' % (payload.number, 2) }}", "the format takes 1 value, and is given 2"),
        ("{{ 'none' % payload.number }}", "the format takes 0 values, and is given 1"),
        ("{{ '%.2f' | format }}", "the format takes 1 value, and is given 0"),
        ("{{ '%.2f' | format(payload.number, 1) }}", "the format takes 1 value, and is given 2"),
        ("{{ '%(a)s %s' | format(a=1) }}", "mixes"),
        ("{{ '%d' % 'x' }}", "would fail at every event"),
        ("{{ payload.ref | upper(1) }}", "| upper can't be given these arguments; it takes ()"),
        ("{{ payload.ref | truncate(wide=1) }}", "it takes (length=255, killwords=False"),
        ("{{ payload.number is divisibleby }}", "is divisibleby can't be given these arguments"),
        ("{{ payload.ref | map('upper', 1) | list }}", "can't be given these arguments"),
        ("{{ payload.number - 'x' }}", "- takes numbers"),
        ("{{ 'x' / payload.number }}", "/ takes numbers"),
        ("{{ payload.number // [1] }}", "// takes numbers"),
        ("{{ [1] ** payload.number }}", "** takes numbers"),
        ("{{ payload.number % 'x' }}", "% takes numbers"),
        ("{% set ns.x = 1 %}", "not available"),
        ("{{ dict(a=1) }}", "can't call functions"),
        ("{{ lipsum() }}", "can't call functions"),
        ("{% for a in payload.x recursive %}{{ loop(a) }}{% endfor %}", "can't call functions"),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", "template"),
    ],
)
def test_a_wrong_template_is_refused_when_the_rules_load(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_template(text, secrets=["chat"])

    assert message in str(caught.value)


def test_a_single_expression_in_json_keeps_its_type() -> None:
    tree = compile_tree(
        {"n": "{{ payload.number }}", "t": "n={{ payload.number }}", "l": ["{{ payload.items }}", 5, None, True]},
        secrets=[],
    )

    assert render_tree(tree, VALUES) == {"n": 7, "t": "n=7", "l": [[1, 2], 5, None, True]}


def test_a_missing_field_in_json_is_an_error() -> None:
    with pytest.raises(RenderError, match="payload.no is missing"):
        render_tree(compile_tree({"n": "{{ payload.no }}"}, secrets=[]), VALUES)


def test_filter_results_keep_their_json_type() -> None:
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
def test_a_value_json_cannot_hold_fails_the_template(text: str, message: str) -> None:
    tree = compile_tree({"n": text}, secrets=[])

    with pytest.raises(RenderError, match=message):
        as_json(render_tree(tree, VALUES))


def test_a_template_is_compiled_once_on_first_use() -> None:
    template = compile_template("{{ payload.ref }}", secrets=[])
    assert "_code" not in vars(template)

    template.render(VALUES)

    assert vars(template)["_code"] is template._code


PARSED = json.loads(BODY)


def _bounded(case: Hostile, budget: RenderBudget) -> int:
    """The number of characters that a hostile template makes, or 0 if it is refused or stopped."""
    values = Context({**VALUES.values, "payload": PARSED}, budget)
    try:
        made = compile_template(case.text, secrets=[]).render(values)
    except (TemplateError, RenderError):
        return 0
    return len(made)


BY_SUBJECT: dict[str, list[Hostile]] = {}
for _case in hostile():
    BY_SUBJECT.setdefault(_case.about, []).append(_case)


@pytest.mark.parametrize("about", sorted(BY_SUBJECT))
def test_the_work_of_every_filter_test_and_operator_is_limited(about: str) -> None:
    """Without limits on steps, characters and bytes, some of these templates take minutes or gigabytes."""
    cases = BY_SUBJECT[about]
    for case in cases[:: max(1, len(cases) // number_of_examples(30))]:
        budget = RenderBudget(inline=True)
        budget.longest_text = 100_000

        assert _bounded(case, budget) <= 100_000, case.text


@pytest.mark.parametrize("shape", SHAPES)
def test_the_work_of_every_kind_of_template_is_limited(shape: str) -> None:
    budget = RenderBudget(len(BODY))
    budget.left = number_of_examples(budget.left)
    tracemalloc.start()
    try:
        made = _bounded(Hostile(shape, SHAPES[shape]), budget)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert made <= budget.longest_text
    assert most < 60_000_000


def test_the_error_for_too_much_work_names_fields_and_limit_and_no_value() -> None:
    with pytest.raises(TooMuchWork) as caught:
        _render("{{ payload.ref | center(payload.number * 9000000) }}")

    assert str(caught.value) == (
        "too much work in a template of payload.number, payload.ref: "
        "center: a text of more than 2097152 characters is too large"
    )


def test_all_templates_of_an_attempt_share_one_limit() -> None:
    budget = RenderBudget()
    tree = compile_tree(
        ["{% for a in payload.many %}{% for b in payload.many %}{{ a }}{% endfor %}{% endfor %}"] * 99, secrets=[]
    )

    with pytest.raises(TooMuchWork, match="more than 1000000 steps"):
        render_tree(tree, Context(VALUES.values, budget))


def test_a_template_may_write_a_whole_large_event() -> None:
    payload = {"text": "x" * 9_000_000, "items": [{"a": i} for i in range(100_000)]}
    budget = RenderBudget(len(json.dumps(payload)))

    made = compile_template("{{ payload.text }}{{ payload | tojson }}", secrets=[]).render(
        Context({"payload": payload}, budget)
    )

    assert len(made) > 19_000_000


def test_a_long_list_is_sorted_in_pieces_in_the_same_order_as_by_python() -> None:
    rows = [{"k": i * 7919 % 101, "i": i} for i in range(5_000)]
    for reverse in ("false", "true"):
        template = f"{{{{ payload | sort({reverse}, attribute='k') | map(attribute='i') | list }}}}"

        made = compile_template(template, secrets=[]).native(Context({"payload": rows}))

        assert made == [row["i"] for row in sorted(rows, key=lambda row: row["k"], reverse=reverse == "true")]


def test_a_long_rendering_goes_to_a_thread_and_a_short_one_does_not() -> None:
    def where(text: str) -> str:
        threads: list[str] = []

        def render() -> None:
            values = Context(VALUES.values, new_budget(0))
            compile_template(text, secrets=[]).render(values)
            threads.append(threading.current_thread().name)

        asyncio.run(render_without_blocking(render))
        return threads[0]

    assert where("{{ payload.ref | upper }}") == threading.main_thread().name
    assert where("{% for a in payload.many %}{% for b in payload.many %}{{ a }}{% endfor %}{% endfor %}") == "render"


def test_the_number_of_queued_renderings_is_limited() -> None:
    begun, go_on = threading.Event(), threading.Event()
    thread = RenderThread("one", 1)

    def wait() -> None:
        begun.set()
        go_on.wait(60)

    first = thread.submit(wait)
    assert begun.wait(60)
    waiting, refused = thread.submit(int), thread.submit(int)
    go_on.set()

    assert first.result(60) is None
    assert waiting.result(60) == 0
    with pytest.raises(RenderError, match="too many renderings wait"):
        refused.result(60)


def test_a_filter_of_a_later_jinja_is_refused_until_it_is_listed() -> None:
    jinja = jinja2.Environment(autoescape=True)
    jinja.filters["later"] = str
    left_out = set(jinja.filters) - set(FILTERS)
    assert {"attr", "later", "random", "safe", "xmlattr"} < left_out
    for name in left_out:
        with pytest.raises(TemplateError, match=f'unknown filter "{name}"'):
            compile_template(f"{{{{ payload.x | {name} }}}}", secrets=[])


def test_the_documented_recipes_give_the_documented_result() -> None:
    page = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
    section = page.split("## Recipes\n")[1].split("\n## ")[0]
    payload = json.loads(section.split("`")[1].replace("\n", " "))
    rows = re.findall(r"^\| `(\{.+?)` \| `(.*?)` \|$", section, re.MULTILINE)

    assert len(rows) > 10
    for text, result in rows:
        template = compile_template(text.replace("\\|", "|"), secrets=[])
        assert template.render(Context({"payload": payload})) == result, text


@pytest.mark.parametrize(("heading", "listed"), [("Filters", FILTERS), ("Tests", TESTS)])
def test_the_documented_lists_are_complete(heading: str, listed: dict[str, object]) -> None:
    page = (Path(__file__).parents[2] / "docs" / "templates.md").read_text()
    section = page.split(f"## {heading}\n")[1].split("\n## ")[0]
    rows = [line.split("|")[1] for line in section.replace("\\|", "/").splitlines() if line.startswith("| `")]

    assert sorted(name for row in rows for name in re.findall(r"`([^`(]+)[^`]*`", row)) == sorted(listed)


_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(payload=_json)
def test_any_payload_renders_or_raises_the_template_error(payload: Any) -> None:
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

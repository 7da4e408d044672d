"""Templates can read the documented attributes of `loop`, whatever its class in Jinja."""

import jinja2.runtime
import pytest

from router.domain.errors import RenderError, TemplateError
from router.templates import Context, compile_template, environment

EVERY = "{% for x in payload %}{{ loop.index }} {{ loop.index0 }} {{ loop.first }} {{ loop.last }} {{ loop.length }} \
{{ loop.revindex }} {{ loop.revindex0 }}; {% endfor %}"


def _render(text: str) -> str:
    return compile_template(text, secrets=()).render(Context({"payload": ["a", "b"]}))


def test_every_documented_attribute_can_be_read() -> None:
    assert _render(EVERY) == "1 0 true false 2 2 1; 2 1 false true 2 1 0; "


def test_a_loop_of_another_class_can_be_read(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {
        name: part for name, part in vars(jinja2.runtime.LoopContext).items() if name not in ("__dict__", "__weakref__")
    }
    another = type("Another", (), parts)
    monkeypatch.setattr(jinja2.runtime, "LoopContext", another)
    monkeypatch.setattr(environment, "_LOOP", environment.loop_class())

    assert environment._LOOP is another
    assert _render(EVERY) == "1 0 true false 2 2 1; 2 1 false true 2 1 0; "


@pytest.mark.parametrize("missing", ["class", "attribute"])
def test_an_attribute_that_the_loop_lacks_is_missing(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    if missing == "class":
        monkeypatch.setattr(environment, "_LOOP", None)
    else:
        monkeypatch.delattr(jinja2.runtime.LoopContext, "revindex")

    with pytest.raises(RenderError, match="revindex is missing"):
        _render("{% for x in payload %}{{ loop.revindex }}{% endfor %}")


@pytest.mark.parametrize("name", ["_iterable", "__class__", "cycle", "changed", "previtem", "depth"])
def test_other_attributes_of_a_loop_can_not_be_read(name: str) -> None:
    with pytest.raises((RenderError, TemplateError)):
        _render("{% for x in payload %}{{ loop.NAME }}{% endfor %}".replace("NAME", name))

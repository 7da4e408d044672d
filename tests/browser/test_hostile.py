"""Hostile text is shown as text, whatever its origin: it runs nothing, loads nothing and keeps the layout."""

import contextlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

import pytest

from tests.browser.scene import Scene
from tests.browser.views import show_fleet
from tests.browser.window import Window, control

if TYPE_CHECKING:
    from playwright.sync_api import Browser

TAGS = """</td></pre></textarea></title><script>alert(1)</script><img src=x onerror=alert(2)><iframe src=//192.0.2.9>"""
QUOTES = """"'><b onmouseover=alert(3) style="position:fixed;inset:0">' autofocus onfocus=alert(4) x=\""""
LINKS = """javascript:alert(5) <a href="javascript:alert(6)">go</a> <form action=//192.0.2.9><meta http-equiv=refresh content=0>"""
TEMPLATE = "{{ 7*7 }}{% raw %}${7*7}<%= 7*7 %>__proto__"
DIRECTION = "pay \u202e100\u2066\u200f\ufeff"
CONTROLS = "bell\x07 esc\x1b[31m nul\x00 del\x7f"
LONG = "unbroken" * 3_000
BAD = "\u202e\u2066\x07\x1b\x00"  #: shown as escapes
ALL = [TAGS, QUOTES, LINKS, TEMPLATE, DIRECTION, CONTROLS, LONG]
NAME = "<script>alert(7)<b onclick=alert(8)>\\\"'{{ 7*7 }}&amp; " + "W" * 60
TARGET = "a_target.may-have-a-name-of-64-characters_too.which-is-rather-a"
RULES = """\
version: 1
sources:
  github: {{verify: none, path: "/in/{{rest}}"}}
  plain: {{verify: none, parse: text}}
  Names_may_be_as.long-as-sixty-four-characters-and-hold_no_space: {{verify: none}}
targets:
  ci: {{url: "{ci}"}}
  a_target.may-have-a-name-of-64-characters_too.which-is-rather-a: {{url: "{billing}"}}
rules:
  - name: "%s"
    source: github
    match:
      $['<img src=x onerror=alert(9)>']: {{not: "<script>alert(10)</script>"}}
    allow_unverified: true
    actions:
      - {{name: sent, forward: {{target: ci}}, order_by: $.all}}
      - name: also
        forward: {{target: a_target.may-have-a-name-of-64-characters_too.which-is-rather-a}}
        retry: {{attempts: 1}}
      - {{name: run, command: [sh, -c, 'printf "%%s" "$1"; printf "%%s" "$1" >&2; exit 3', sh, "{{{{ payload.all[0] }}}}"]}}
""" % NAME.replace("{", "{{").replace("}", "}}")  # noqa: UP031 - the text has braces
# Elements that no view has, and attributes with code.
_FOREIGN = """() => [...document.querySelectorAll("*")].filter(e => e.matches("img, iframe, meta[http-equiv], base, object, b")
  || (e.tagName === "SCRIPT" && !e.src.startsWith(location.origin + "/assets/"))
  || [...e.attributes].some(a => a.name.startsWith("on")
    || (/href|src|action/.test(a.name) && /^\\s*javascript:/i.test(a.value)))
  || !/^\\/(?!\\/)/.test(e.getAttribute("action") ?? "/")).map(e => e.outerHTML.slice(0, 200))"""


@pytest.fixture(scope="module")
def scene(chromium: "Browser", tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """A daemon whose rules, senders and targets are hostile."""
    with contextlib.closing(Scene(tmp_path_factory.mktemp("hostile"), RULES)) as made:
        made.ci.answer = made.billing.answer = json.dumps(ALL[:-1], ensure_ascii=False).encode()
        yield made


@pytest.fixture(scope="module")
def events(scene: Scene) -> list[str]:
    """Events with hostile bodies, headers, paths and queries, as JSON, as text, and as bytes that are not text."""
    headers = {f"X-{number}": quote(text[:900], safe="<>\"'/;:=(){}%$*&@ ") for number, text in enumerate(ALL)}
    headers |= {"X-!#$%&'*+.^_`|~": TAGS, "Content-Type": f"application/json; x={QUOTES}"}
    path = (
        "/in/"
        + quote((TAGS + QUOTES).replace("/", "|"), safe="!$&'()*+,;=:@~")
        + "?"
        + urlencode({TAGS: QUOTES, "q": DIRECTION + CONTROLS})
    )
    bodies = [
        json.dumps({"all": ALL, **{text[:900]: text for text in ALL}}, ensure_ascii=False).encode(),
        json.dumps(TAGS).encode(),
        ("[" * 150 + "]" * 150).encode(),
        b'{"all": ["\\ud800 \\udfff \\u0000 \\u202e"], "\\udc00": "\\ud800<script>alert(11)</script>"}',
        b'{"all": [' + b"9" * 300 + b", 0." + b"0" * 400 + b'1, 1e-999, -0.0, 1E+40], "1e999": 1e300}',
        b'{"all": "<b>", "all": "</b>", "__proto__": {"constructor": null}, "": ""}',
    ]
    answers = [scene.daemon.post(path, body, headers) for body in bodies]
    texts = [(TAGS + CONTROLS + DIRECTION).encode(), b"\xff\xfe\x00<script>\x80\xed\xa0\x80" * 40, LONG.encode(), b""]
    answers += [scene.daemon.post("/hooks/plain", text, {**headers, "Content-Type": "text/plain"}) for text in texts]
    assert [answer.status for answer in answers] == [202] * len(answers), answers
    found = [str(answer.json["id"]) for answer in answers]
    scene.settled(found[0])
    return found


def look(window: Window, path: str) -> str:
    """Open a view in a narrow window, check that no hostile text became markup, and return its text."""
    window.page.set_viewport_size({"width": 360, "height": 740})
    window.go(path)
    assert window.page.evaluate(_FOREIGN) == [], path
    assert window.overflow() == 0, path
    text = window.main()
    assert not set(BAD) & set(text), path
    return text


def test_hostile_values_of_senders_targets_and_rules_are_shown_as_text(
    scene: Scene, window: Window, events: list[str]
) -> None:
    deliveries = scene.deliveries(event=events[0])

    name = urlencode({"rule": NAME})
    scene.ask("POST", f"/api/targets/{TARGET}/pause", {})
    for path in (
        "/", "/events", f"/events?{name}", "/deliveries", "/targets", "/nodes", "/rules", "/rules/try", "/try",
        f"/deliveries/all/replay/confirm?{name}", f"/deliveries/all/cancel/confirm?{name}&state=dead",
        f"/events/all/reroute?{name}", *(f"/events/{one}" for one in events),
    ):  # fmt: skip
        look(window, path)
    scene.ask("POST", f"/api/targets/{TARGET}/resume")
    for path in (f"/events/{events[0]}?body=text", f"/events/{events[0]}?rules=then", f"/events/{events[0]}/copy"):
        look(window, path)
    shown = {one["action"]: look(window, f"/deliveries/{one['id']}") for one in deliveries}

    assert "<script>alert(1)</script><img src=x onerror=alert(2)>" in look(window, f"/events/{events[0]}?body=text")
    assert "<script>alert(7)<b onclick=alert(8)>" in look(window, "/rules")
    assert "</textarea></title><script>alert(1)</script>" in shown["run"]
    assert "{{ 7*7 }}{% raw %}${7*7}" in shown["also"]


def test_a_hostile_node_name_is_shown_as_text(window: Window) -> None:
    window.page.set_viewport_size({"width": 360, "height": 740})
    for text in ALL:
        show_fleet(window, text)
        assert window.page.evaluate(_FOREIGN) == []
        assert window.overflow() == 0
        assert not set(BAD) & set(window.main())


def test_hostile_values_in_urls_are_shown_as_text(window: Window, events: list[str]) -> None:
    together = " ".join(ALL[:-1])
    for path, name in (
        ("/events", "rule"), ("/events", "source"), ("/events", "since"), ("/events", "after"), ("/deliveries", "target"),
        ("/deliveries", "done"), ("/deliveries", "state"), ("/find", "id"), (f"/events/{events[0]}", "body"),
        ("/sign-in", "to"), ("/sign-in", "code"), ("/rules/try", "file"), ("/", "span"), ("/events", "done"),
        ("/events", "unmatched"), ("/events/all/reroute", "rule"), ("/deliveries/all/replay/confirm", "target"),
        (f"/events/{events[0]}", "rules"), (f"/events/{events[0]}/copy", "to"), (f"/events/{events[0]}", "done"),
    ):  # fmt: skip
        look_at_fields(window, f"{path}?{urlencode({name: together}, errors='replace')}")
    look_at_fields(window, "/deliveries?" + urlencode({"done": LONG[:2_000], "rule": LONG[:2_000]}))
    look_at_fields(window, "/" + quote(together))


def look_at_fields(window: Window, path: str) -> None:
    """Like `look`, for views that show the text of the address in a field."""
    window.page.set_viewport_size({"width": 360, "height": 740})
    window.go(path)
    assert window.page.evaluate(_FOREIGN) == [], path
    assert window.overflow() == 0, path


def test_hostile_values_in_a_form_are_shown_as_text(window: Window, events: list[str]) -> None:
    together = " ".join(ALL)
    window.page.set_viewport_size({"width": 360, "height": 740})
    for path, field in (
        ("/targets/pause", "target"), ("/targets/pause", "for"), ("/targets/resume", "target"), ("/deliveries/all/replay", "id"),
        ("/deliveries/all/cancel", "query"), ("/deliveries/all/replay/confirm", "query"), ("/events/all/reroute", "query"),
        ("/events/all/reroute", "position"), ("/try", "source"), ("/rules/try", "file"), ("/sign-in", "to"), ("/sign-in", "token"),
    ):  # fmt: skip
        window.go("/try")
        window.submit(path, {"target": TARGET, "state": "dead", field: together})
        assert window.page.evaluate(_FOREIGN) == [], f"{path} {field}"
        assert window.overflow() == 0, f"{path} {field}"


def test_hostile_values_in_a_tried_event_are_shown_as_text(window: Window) -> None:
    page = window.page
    page.set_viewport_size({"width": 360, "height": 740})
    for payload in (json.dumps({"all": ALL}, ensure_ascii=False), TAGS + CONTROLS):
        window.go("/try")
        page.fill("#payload", payload)
        page.fill("#headers", f"X-A: {TAGS}\n{QUOTES}: {LINKS}")
        page.fill("[name=content_type]", "application/json; " + QUOTES)
        window.follow("main >> " + control("Try"))
        assert page.evaluate(_FOREIGN) == []
        assert window.overflow() == 0

    window.go("/rules/try")
    running = page.input_value("#text")
    changed = running.replace("order_by: $.all", "order_by: $.all[1]").replace("WWW", "<img src=x onerror=alert(12)>")
    for text in (
        changed,
        f"version: 1\nsources: {{{json.dumps(TAGS)}: {json.dumps(QUOTES)}}}\n",
        TAGS + LINKS + CONTROLS,
        LONG,
    ):
        page.fill("#text", text)
        window.follow(control("Check and compare"))
        assert page.evaluate(_FOREIGN) == []
        assert window.overflow() == 0

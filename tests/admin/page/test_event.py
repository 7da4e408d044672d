"""The view of an event: its body, the explanation, and copies for export."""

import html
import re
import shlex

import pytest

from router.operate.export_event import as_case, as_curl
from tests.admin.conftest import Admin
from tests.admin.page.conftest import Browser

HOSTILE = "</pre></textarea><script>alert(1)</script>'\"&<img src=x onerror=alert(1)>"
NESTED = """
sources: {github: {verify: none}}
rules:
  - name: nested
    source: github
    match:
      any:
        - {$.ref: main, $.kind: {in: [a, b]}}
        - not: {$.draft: true}
      none: [{$.skip: true}]
    actions: [append: out.jsonl]
"""


@pytest.fixture
def page(browser: Browser) -> Browser:
    """A signed-in browser."""
    return browser.sign_in()


def words(text: str) -> str:
    """The visible text of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_a_body_is_shown_as_a_tree_with_exact_numbers_or_as_text(admin: Admin, page: Browser) -> None:
    event = admin.receive(b'{"ref":"main","n":12345678901234567890123,"one":1.0,"n":2,"deep":{"list":[1,2]}}')

    shown = words(page.go(f"/events/{event}"))

    assert '"n" : 12345678901234567890123 the rules see 1.2345678901234568e+22 this key is repeated' in shown
    assert '"one" : 1.0' in shown
    assert "<details" in page.text
    assert '"n":12345678901234567890123,"one":1.0' in words(page.go(f"/events/{event}?body=text"))


def test_the_download_has_the_whole_body_and_browsers_do_not_display_it(admin: Admin, page: Browser) -> None:
    body = b'<script>alert(1)</script>\x00\xff\r\n{"ref": 1}'
    event = admin.receive(body, headers=(("Content-Type", "text/html"),))
    cookie = "; ".join(f"{name}={value}" for name, value in page.cookies.items())

    sent = admin.client.simulate_get(
        f"/events/{event}/body", headers={"Host": "127.0.0.1:8081", "Cookie": cookie}, remote_addr="127.0.0.1"
    )

    assert sent.content == body
    assert sent.headers["content-type"] == "application/octet-stream"
    assert sent.headers["content-disposition"] == f'attachment; filename="event-{event}.body"'
    assert sent.headers["content-security-policy"] == "sandbox"
    assert sent.headers["x-content-type-options"] == "nosniff"


def test_copies_equal_the_output_of_the_export_command(admin: Admin, page: Browser) -> None:
    body = b'{"ref": "main", "repo": "' + HOSTILE.replace('"', "").encode() + b'"}'
    event = admin.receive(body, headers=(("X-A", HOSTILE),))
    stored = admin.store.event(event)
    assert stored is not None

    shown = page.go(f"/events/{event}/copy?to=http://127.0.0.1:9/x%20'")

    curl, case = (html.unescape(text) for text in re.findall(r"<pre[^>]*>(.*?)</pre>", shown, re.DOTALL))
    assert curl == as_curl(stored, "http://127.0.0.1:9/x '").text
    assert case == as_case(stored, admin.ruleset).text
    assert shlex.split(curl)[0] == "curl"
    assert "<script>alert" not in shown and "<img" not in shown
    assert page.go(f"/events/{event}/copy/case") == case
    assert page.headers["content-disposition"].endswith(f'event-{event}.cases.yaml"')
    assert page.go(f"/events/{event}/copy/curl") == as_curl(stored, "http://127.0.0.1:8080").text
    page.go(f"/events/{event}/copy/other")
    assert page.status == 404


def test_a_long_copy_is_offered_as_a_download(admin: Admin, page: Browser) -> None:
    event = admin.receive({"ref": "x" * 100_000})

    assert len(page.go(f"/events/{event}/copy")) < 20_000
    assert len(page.go(f"/events/{event}/copy/curl")) > 100_000


def test_conditions_are_shown_with_their_values_and_nested(admin: Admin, page: Browser) -> None:
    admin.ruleset = admin.daemon.loader.load(NESTED, "rules.yaml", admin.folder).require()
    event = admin.receive({"ref": "main", "kind": "c", "draft": False})

    shown = words(page.go(f"/events/{event}"))

    assert "matched nested" in shown
    assert "holds: at least one of these" in shown
    assert 'holds: $.ref equals "main" found "main"' in shown
    assert 'fails: $.kind in ["a", "b"] found "c"' in shown
    assert "holds: not all of these" in shown
    assert "fails: $.draft equals true found false" in shown
    assert "holds: none of these" in shown
    assert "fails: $.skip equals true found nothing there" in shown


def test_an_event_can_be_explained_by_its_recorded_rules(admin: Admin, page: Browser) -> None:
    event = admin.receive({"ref": "main"})
    other = "sources: {github: {verify: none}}\nrules: [{name: late, source: github, actions: [append: x]}]"
    admin.ruleset = admin.daemon.loader.load(other, "rules.yaml", admin.folder).require()

    now, then = words(page.go(f"/events/{event}")), words(page.go(f"/events/{event}?rules=then"))

    assert "matched late" in now and "deploy main" in now
    assert "The running rules give a different result" in now
    assert "matched deploy main" in then and "matched late" not in then

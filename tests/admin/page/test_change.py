"""The view that tries a change of the rules: problems at their lines, the plan, a download, and an unchanged file."""

import html
import re
import threading
from pathlib import Path

import pytest

from router.admin.app import admin_app
from router.admin.auth.access import AccessCheck
from router.admin.page.site import Site
from router.admin.page.views import change
from router.domain.deliveries import IncludedText, RulesetText
from router.operate.try_rules import RulesFileText, placed, rules_files
from router.rules.compile.loader import Loader
from tests.admin.conftest import RULES, TOKEN, Admin
from tests.admin.page.conftest import Browser

YAML = {"Content-Type": "application/yaml"}
READ_TOKEN = "a-token-that-may-only-read-0123456789"
LINE = 'append: {path: deploys.jsonl, line: "{{ payload.repo }}"}'
HOSTILE = "</textarea><script>alert(1)</script>"


@pytest.fixture
def page(browser: Browser) -> Browser:
    """A signed-in browser that has opened the view."""
    browser.sign_in()
    browser.go("/rules/try")
    return browser


def words(text: str) -> str:
    """The visible text of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", "", text)).split())


def text_in(shown: str) -> str:
    """The text in the text area. As in a browser, one line break after the tag does not count."""
    found = re.search(r"<textarea[^>]*>\n(.*?)</textarea>", shown, re.DOTALL)
    assert found is not None
    return html.unescape(found.group(1))


def test_the_running_rules_text_can_be_edited(page: Browser) -> None:
    assert text_in(page.text) == RULES


def test_problems_are_marked_at_their_lines(page: Browser) -> None:
    edited = RULES.replace("match: {$.ref: main}", "match: {$.ref: {equal: main}}").replace(
        "source: github\n", "source: gitlab\n", 1
    )

    shown = page.post("/rules/try#result", text=edited.replace("\n", "\r\n"))

    line = edited[: edited.index("equal:")].count("\n") + 1
    assert "does not load" in shown
    column = edited.splitlines()[line - 1].index("equal") + 1
    assert f'data-line="{line}" data-column="{column}">rules.yaml:{line}:{column}</a>' in shown
    assert "match: {$.ref: {<mark>equal</mark>: main}}" in html.unescape(shown)
    assert 'unknown operator "equal"; did you mean "equals"?' in words(shown)
    assert "<mark>gitlab</mark>" in shown
    assert text_in(shown) == edited
    assert "What it would do" not in shown


def test_the_page_shows_the_same_plan_as_the_command(admin: Admin, page: Browser) -> None:
    for n in range(4):
        admin.receive({"ref": "main", "repo": "a", "n": n})
    old = admin.receive({"ref": "main", "repo": "old"}, age=2 * 86_400_000)

    shown = page.post(
        "/rules/try#result", text=RULES.replace("path: /build", "path: /other").replace("$.a: 1", "$.n: 2")
    )

    assert "It loads, without a warning" in shown
    assert "Compared on 4 events of the last day" in words(shown)
    assert "4 deliveries change: deploy main/build" in words(shown)
    assert "<del><code>http://127.0.0.1:9/build</code></del>" in shown
    assert "<ins><code>http://127.0.0.1:9/other</code></ins>" in shown
    assert "1 delivery come: check/forward" in words(shown)
    assert old not in shown


def test_a_plan_reads_the_newest_events(admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "PLANNED_EVENTS", 3)
    ids = [admin.receive({"ref": "main", "n": n}, age=1000 - n) for n in range(5)]

    shown = page.post("/rules/try#result", text=RULES.replace("path: /build", "path: /other"))

    assert "Compared on 3 events, the newest, since" in words(shown)
    assert "webhook-router plan looks at all" in words(shown)
    assert [one in shown for one in ids] == [False, False, True, True, True]


def test_a_plan_ends_at_its_time_limit(admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "PLAN_SECONDS", 0.0)
    admin.receive({"ref": "main"})

    assert "The time ran out before an event could be compared" in words(page.post("/rules/try#result", text=RULES))


def test_only_one_text_is_tried_at_a_time(admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("router.admin.page.rules_work.WAIT_SECONDS", 0.01)
    held = threading.Thread(target=admin.daemon.checking.acquire)
    held.start()
    held.join()

    page.post("/rules/try#result", text=RULES)

    assert page.status == 503
    assert "another check or plan" in page.text


def test_trying_a_text_changes_no_file_and_no_store(admin: Admin, page: Browser) -> None:
    file = admin.daemon.rules
    file.write_text(RULES)

    page.post("/rules/try#result", text=RULES.replace("/build", "/other"))

    assert file.read_text() == RULES
    assert "/build" in admin.daemon.ruleset().text.text


def test_the_edited_text_can_be_downloaded(page: Browser) -> None:
    form = page.form("/rules/try#result")

    sent = page.send("POST", "/rules/try/download", {**form.fields, "text": "a: 1\r\n" + HOSTILE}, {})

    assert sent == "a: 1\n" + HOSTILE
    assert page.headers["content-disposition"] == 'attachment; filename="rules.yaml"'
    assert page.headers["content-security-policy"] == "sandbox"


def test_a_text_keeps_its_line_ends(admin: Admin, page: Browser) -> None:
    text = RULES.replace("\n", "\r\n")
    admin.ruleset = admin.daemon.loader.load(text.encode(), "rules.yaml", admin.folder).require()
    form = page.form("/rules/try#result")

    sent = page.send("POST", "/rules/try/download", {**form.fields, "text": text}, {})

    assert sent == text


def test_hostile_text_of_the_rules_is_escaped(page: Browser) -> None:
    for text in (
        HOSTILE,
        f"sources: {{a: {HOSTILE}}}",
        f"rules: '{HOSTILE}\u202e\x07",
        f"{HOSTILE}: [",
        "\ud800",
        "\x00",
    ):
        shown = page.post("/rules/try#result", text=text.encode("utf-8", "replace").decode())

        assert page.status == 200
        assert "does not load" in shown
        assert "<script>alert" not in shown


def test_text_of_senders_is_escaped_in_a_plan(admin: Admin, page: Browser) -> None:
    admin.receive({"ref": "main", "repo": HOSTILE + "\u202e\x1b[31m"})

    shown = page.post("/rules/try#result", text=RULES.replace("append: deploys.jsonl", LINE))

    assert "1 delivery change: deploy main/append" in words(shown)
    assert "<script>alert" not in shown
    assert "\u202e" not in shown and "\x1b" not in shown


def test_a_large_text_is_refused_before_it_is_read(page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    form = page.form("/rules/try#result")
    page.send("POST", "/rules/try", {**form.fields, "text": "# " + "x" * 300_000 + "\n" + RULES}, {})
    assert page.status == 200

    page.send("POST", "/rules/try", {**form.fields, "text": "x" * (change.LARGEST_FORM + 1)}, {})
    assert (page.status, "larger than 6.0 MiB" in page.text) == (413, True)

    page.cookies.clear()
    page.send("POST", "/rules/try", {**form.fields, "text": "x" * 300_000}, {})
    assert page.status == 413


def test_the_page_says_that_a_file_is_too_large_to_edit(page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(change, "LARGEST_TEXT", 100)

    page.go("/rules/try")

    assert (page.status, "too much to edit here" in page.text) == (413, True)


def test_the_read_only_token_may_try_a_text(admin: Admin, browser: Browser) -> None:
    access = AccessCheck(TOKEN.encode(), ("127.0.0.1",), closed=False, read_token=READ_TOKEN.encode())
    admin.client = type(admin.client)(admin_app(admin.daemon, access, Site(admin.daemon, access)))
    browser.sign_in(READ_TOKEN, "/rules/try")

    shown = browser.post("/rules/try#result", text=RULES)
    assert "It loads." in shown
    assert "Warnings and notes are hidden from" in shown


def test_the_read_only_token_can_not_find_out_which_files_exist(admin: Admin, browser: Browser) -> None:
    access = AccessCheck(TOKEN.encode(), ("127.0.0.1",), closed=False, read_token=READ_TOKEN.encode())
    admin.client = type(admin.client)(admin_app(admin.daemon, access, Site(admin.daemon, access)))
    (admin.folder / "is-there").write_text("a-planted-secret")
    asking = "sources: {a: {verify: {scheme: github, secret: s}}}\nsecrets: {s: {file: NAME}}\nrules: []\n"
    paths = [str(admin.folder / name) for name in ("is-there", "is-gone")]
    texts = [asking.replace("NAME", path) for path in paths]

    browser.sign_in(READ_TOKEN, "/rules/try")
    pages = [browser.post("/rules/try#result", text=text).replace("is-there", "is-gone") for text in texts]
    answers = [
        admin.ask(
            "POST", "/api/rules/check", text.encode(), token=token, headers=YAML, query="require_secrets=true"
        ).json
        for text in texts
        for token in (READ_TOKEN, TOKEN)
    ]

    included = [
        admin.ask("POST", "/api/rules/check", f"include: [{path}]\n{RULES}".encode(), token=READ_TOKEN, headers=YAML)
        for path in paths
    ]

    assert pages[0] == pages[1]
    assert [answer.status for answer in included] == [403, 403]
    for path in paths:
        browser.go("/rules/try")
        browser.post("/rules/try#result", text=f"include: [{path}]\n{RULES}")
        assert (browser.status, "try new entries" in browser.text) == (403, True)
    assert answers[0] == answers[2]
    assert answers[1] != answers[3]


def test_files_that_the_running_rules_do_not_include_are_never_read(admin: Admin, page: Browser) -> None:
    (admin.folder / "private.yaml").write_text("private: words")

    shown = page.post("/rules/try#result", text="include: [private.yaml]\n" + RULES)

    assert "words" not in shown
    assert "The running rules have no files of private.yaml" in words(shown)


@pytest.fixture
def of_files(admin: Admin) -> Admin:
    """An application with rules in two files."""
    (admin.folder / "more.yaml").write_text("rules:\n  - {name: more, source: github, actions: [append: more.jsonl]}\n")
    loader = Loader(admin.daemon.loader.registries, {"PLANTED": "x" * 20})
    admin.ruleset = loader.load("include: [more.yaml]\n" + RULES, "rules.yaml", admin.folder).require()
    return admin


def test_an_included_file_can_be_edited_by_itself(of_files: Admin, page: Browser) -> None:
    of_files.receive({"n": 1})
    shown = page.go("/rules/try?file=more.yaml")
    text = text_in(shown)
    assert "name: more" in text and "deploy main" not in text
    assert "The other 1" in words(shown).replace("the other 1", "The other 1")
    (of_files.folder / "more.yaml").write_text("broken: [")  # the view uses the running text, not the current file

    shown = page.post("/rules/try#result", text=text.replace("github", "gitlab"))
    assert 'data-line="2"' in shown and "more.yaml:2:" in shown
    assert "<mark>gitlab</mark>" in shown
    shown = page.post("/rules/try#result", text=text.replace("more.jsonl", "other.jsonl"))
    assert "1 delivery change: more/append" in words(shown)
    page.go("/rules/try?file=other.yaml")
    assert page.status == 404


def test_the_rules_of_a_folder_have_no_main_file() -> None:
    text = RulesetText("h", 'include: ["*.yaml"] # the rules are the files of a folder\n', "/rules", (
        IncludedText("*.yaml", "a.yaml", "", "/rules"),
    ))  # fmt: skip

    assert [file.label for file in rules_files(text, Path("/etc/rules"))] == ["rules/a.yaml"]


@pytest.mark.parametrize(
    ("text", "line", "column", "marked"),
    [
        ("a: 1\u2028b: [\n", 2, 4, "["),
        ("a: 1\x85b: two\n", 2, 4, "two"),
        ("\U0001f600: x\n", 1, 4, "x"),
        ("a: 1\n", 2, 1, ""),
        ("a: 1", 1, 5, ""),
        ("a" * 5_000 + ": wrong", 1, 5_003, "wrong"),
    ],
)
def test_the_page_marks_the_places_that_the_parser_reports(text: str, line: int, column: int, marked: str) -> None:
    from router.domain.errors import Problem

    [found] = placed([Problem("r", line, column, "", "m")], RulesFileText("r", text, None), text)

    [shown] = [one for one in found.lines if one.number == line]
    assert shown.marked == marked
    assert len(shown.before) + len(shown.marked) + len(shown.after) < 200

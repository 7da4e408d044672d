"""The views of the overview, the rules and the nodes: their numbers, charts and links."""

import html
import json
import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from router.admin.page import chart
from router.domain.activity import Bucket
from router.domain.deliveries import State
from router.domain.polls import PollResult, PollState
from router.domain.summaries import Depth
from router.store.fleet import NodeFacts, NodeState
from router.store.sqlite.store import SqliteStore
from tests.admin.conftest import NOW, Admin
from tests.admin.page.conftest import Browser

HOSTILE = "</title><script>alert(1)</script>"


@pytest.fixture
def page(browser: Browser) -> Browser:
    """A signed-in browser."""
    return browser.sign_in()


def words(text: str) -> str:
    """The visible text of a page, on one line."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", text)).split())


def test_the_chart_and_its_table_have_the_same_numbers(
    admin: Admin, page: Browser, settle: Callable[..., None]
) -> None:
    for n in range(3):
        admin.receive({"ref": "main", "repo": n})
    settle(State.DEAD)

    shown = page.go("/")

    assert "3 events, 6 deliveries, of which 3 dead; a bar is 60m" in words(shown)
    svg = re.search(r"<svg.*?</svg>", shown, re.DOTALL)
    assert svg is not None
    assert re.search(r'<path class="events" d="M\d+ 40v-40h8v40z"', svg[0])
    assert re.search(r'<path class="dead" d="M\d+ 84v-20h8v20z"', svg[0])
    assert "<title>3 events, 6 deliveries, 3 dead</title>" in svg[0]
    assert 'role="img" aria-label="Events and deliveries of the last 24h: 3 events' in svg[0]
    table = shown[shown.index("The numbers as a table") :]
    assert [int(text) for text in re.findall(r"<td>(\d+)</td>", table)[:3]] == [3, 6, 3]


@pytest.mark.parametrize(("span", "bars"), [("1h", 30), ("24h", 24), ("7d", 28), ("", 24), (HOSTILE, 24)])
def test_the_time_span_is_in_the_url(admin: Admin, page: Browser, span: str, bars: int) -> None:
    made = chart.chart_of(admin.store, span, NOW)

    assert len(made.bars) == bars
    shown = page.go(f"/?span={span if span in chart.SPANS else 'x'}")
    assert re.findall(r'<a href="/\?span=(\w+)" aria-current="true">', shown) == [made.span]
    assert made.bars[-1].bucket.begins_at <= NOW < made.bars[-1].ends_at


def test_small_bars_stay_visible_beside_large_ones() -> None:
    path = chart._path([0, 1, 1_000_000], 1_000_000, 0)

    assert path == "M11 40v-1h8v1zM21 40v-40h8v40z"


def test_estimated_numbers_are_marked(admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        SqliteStore, "activity", lambda _, bounds: [Bucket(at, 12_345, 9, 0, is_exact=False) for at in bounds]
    )

    assert "about 12,345 events, 9 deliveries" in words(page.go("/"))


def test_a_bar_links_to_its_events(admin: Admin, page: Browser) -> None:
    event = admin.receive({"ref": "main"})
    page.go("/")
    address = re.search(r'<a href="(/events\?since=[^"]+)"', page.text)
    assert address is not None

    page.go(html.unescape(address[1]))

    assert page.status == 200
    assert event in page.text


def test_each_concern_links_to_its_cure(admin: Admin, page: Browser, settle: Callable[..., None]) -> None:
    admin.receive({"ref": "main", "repo": "a"})
    settle(State.DEAD)

    shown = page.go("/")

    assert "1 delivery dead: given up. Read their errors, fix the cause, then replay them" in words(shown)
    assert '<a href="/deliveries?state=dead" aria-describedby="what-1">Look' in shown
    assert "All is well" not in shown


def test_nodes_are_listed_with_their_lease_and_rules(
    admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert 'id="nodes"' not in page.go("/")
    facts = NodeFacts("one", "host-a", 42, "1.2.3", ("intake", "delivery"), ())
    living = NodeState(1, facts, admin.ruleset.hash, NOW - 60_000, NOW - 2_000, NOW + 13_000, lives=True)
    lost = NodeState(2, replace(facts, name=HOSTILE), "f" * 64, NOW - 90_000, NOW - 30_000, NOW - 15_000, lives=False)
    monkeypatch.setattr(SqliteStore, "nodes", lambda _: (living, lost))

    shown = page.go("/")

    assert "one host-a, process 42 lives intake, delivery 1.2.3" in words(shown)
    assert f"Node {HOSTILE} is lost: silent for 30s." in html.unescape(shown)
    assert '<a href="/nodes" aria-describedby="what-1">Look' in shown
    assert "<script>alert" not in shown
    shown = page.go("/nodes")
    assert shown.index("one <") < shown.index(html.escape(HOSTILE))
    assert "<script>alert" not in shown


def test_the_overview_stays_small_with_many_problems(
    admin: Admin, page: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    for n in range(12):
        admin.receive({"ref": "main", "n": n})
    long = "a-target-with-a-long-name-as-people-have-them-"
    facts = NodeFacts(
        "a-node-with-a-long-name-0123", "host-with-a-name.example", 42, "1.2.3", ("intake", "delivery"), ()
    )
    node = NodeState(1, facts, "f" * 64, NOW - 60_000, NOW - 2_000, NOW + 13_000, lives=False)
    depths = [Depth(f"{long}{n:03}", 1000, 1000, 1000, 1000, NOW - 3_600_000, 0) for n in range(300)]
    breakers = {f"{long}{n:03}": {"state": "open", "since": NOW, "until": NOW + 60_000} for n in range(300)}
    admin.store.put_note("breakers", json.dumps(breakers)).result(60)
    monkeypatch.setattr(SqliteStore, "depths", lambda _: depths)
    monkeypatch.setattr(SqliteStore, "nodes", lambda _: (node,) * 50)
    monkeypatch.setattr(
        SqliteStore,
        "activity",
        lambda _, bounds: [Bucket(at, 1_234_567, 2_345_678, 499, is_exact=False) for at in bounds],
    )

    size = len(page.go("/").encode())
    for address in re.findall(r'(?:href|src)="(/assets/[^"]+)"', page.text):
        size += len(page.go(address))

    assert 30_000 < size < 60_000


def test_each_rule_shows_the_number_of_its_matches(admin: Admin, page: Browser) -> None:
    admin.receive({"ref": "main", "repo": 1})
    last = admin.receive({"ref": "main", "repo": 2})
    unmatched = admin.receive({"ref": "other"})

    shown = page.go("/rules")

    assert "2 events of deploy main" in words(shown)
    assert f'<a href="/events/{last}">' in shown
    assert "0 events of check" in words(shown)
    assert "1 events that no rule matched" in words(shown)
    assert f'<a href="/events/{unmatched}">' in shown
    assert '<a href="/events?rule=deploy+main">2' in shown


def test_rules_in_several_files_show_each_text(admin: Admin, page: Browser) -> None:
    text: Any = "rules: [{name: more, source: github, actions: [append: more.jsonl]}]\n"
    (admin.folder / "more.yaml").write_text(text)
    loaded = admin.daemon.loader.load("include: [more.yaml]\n" + admin.ruleset.text.text, "rules.yaml", admin.folder)
    admin.ruleset = loaded.require()

    shown = page.go("/rules")

    assert html.escape(text.strip()) in shown
    assert '<a href="/rules/try?file=more.yaml">' in shown


def test_every_page_lists_the_keyboard_shortcuts(page: Browser) -> None:
    for path in ("/", "/events", "/rules/try"):
        assert '<dialog id="keys"' in page.go(path)
    assert "<dialog" not in page.go("/sign-in")


def test_polled_sources_are_shown_and_a_failing_one_is_a_concern(admin: Admin, page: Browser) -> None:
    good = PollState("feed", "s1", "t1", succeeded_at=NOW, polled_at=NOW - 3000, next_at=NOW + 5000, events=1234)
    bad = replace(good, source="jobs", series="s2", failures=3, failing_since=NOW - 60_000, error=HOSTILE)
    for state in (good, bad):
        admin.store.take_poll(PollResult("", state, now=NOW)).result(60)

    text = page.go("/")
    shown = words(text)

    assert "feed works 1,234 3s ago in 5s" in shown
    assert "jobs fails for 60s: </title>" in shown or "jobs fails for 1m: </title>" in shown
    assert "Source jobs fails for" in shown
    assert HOSTILE not in text

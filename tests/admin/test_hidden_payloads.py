"""With `show_payloads: false` the read-only token can't see payloads. The full token can."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from router.admin.api.endpoint import Endpoint
from router.admin.api.routes import ENDPOINTS
from router.admin.app import admin_app
from router.admin.auth.access import AccessCheck
from router.admin.page.site import Site
from router.admin.page.views import VIEWS
from router.daemon.registries import REGISTRIES
from router.domain.deliveries import Settlement, State
from router.domain.outcomes import Outcome, Sent
from router.operate.hiding import HIDDEN, SHOWN_AS_IT_IS, hiding
from router.rules.compile.loader import Loader
from router.store.contract import StoreReader
from router.store.sqlite.store import SqliteStore
from tests.admin.conftest import NOW, TOKEN, Admin
from tests.admin.page.conftest import Browser

READ_TOKEN = "a-token-that-may-only-read-0123456789"
RULES = """
sources:
  shop: {verify: none, path: "/hooks/{team}/shop", show_payloads: false}
  open: {verify: none}
targets:
  ci: {url: "http://127.0.0.1:9"}
rules:
  - name: paid
    match: {$.card: {prefix: plant}, headers.X-Kind: {exists: true}}
    source: ["shop", "open"]
    for_each: "$.items[*]"
    actions:
      - {forward: {target: ci, path: "/{{ payload.card }}"}, order_by: $.card}
      - {name: once, forward: {target: ci}, once_by: $.card, within: 1h}
    respond: {status: 200, body: "got {{ payload.card }}", headers: {X-Echo: "of the rules"}}
"""
BODY = {"card": "planted-card", "items": [{"planted-item": 1}]}


@dataclass
class Planted:
    """Two events, one from a source that hides its payloads."""

    admin: Admin
    hidden: str
    shown: str
    deliveries: list[str]  #: the ids of the deliveries of the hidden event


@pytest.fixture
def planted(tmp_path: Path) -> Iterator[Planted]:
    """Events of both sources, and attempts of their deliveries."""
    ruleset = Loader(REGISTRIES, {}).load(RULES, "rules.yaml", tmp_path).require()
    store = SqliteStore(tmp_path / "store.db")
    store.put_ruleset(ruleset.text, NOW).result(60)
    admin = Admin(store, ruleset, tmp_path)
    access = AccessCheck(TOKEN.encode(), ("127.0.0.1",), closed=False, read_token=READ_TOKEN.encode())
    admin.client = type(admin.client)(admin_app(admin.daemon, access, Site(admin.daemon, access)))
    given: dict[str, Any] = {
        "headers": (("Content-Type", "application/json"), ("X-Kind", "planted-header")),
        "query": "q=planted-query",
        "dedupe_key": '"planted-key"',
    }
    hidden = admin.receive(BODY, source="shop", path="/hooks/planted-team/shop", **given)
    shown = admin.receive(BODY, source="open", **given)
    sent = Sent("POST", "http://ci/planted-url", (("X-A", "planted-sent"),), 3, "planted-digest", "planted-start")
    for claim in store.claim({"ci": 9}, NOW + 1).result(60):
        outcome = replace(Outcome.failed("HTTP 410", 410, "planted-excerpt"), sent=sent)
        done = Settlement(claim.delivery.id, claim.token, outcome, State.DEAD, NOW + 2, NOW)
        store.settle([done]).result(60)
    deliveries = [one.id for one in store.deliveries() if one.event_id == hidden]
    yield Planted(admin, hidden, shown, deliveries)
    store.close()


def requests_of(endpoint: Endpoint, planted: Planted) -> Iterator[tuple[str, str]]:
    """Paths and queries that request everything from an endpoint."""
    ids = [planted.hidden, *planted.deliveries]
    for id_ in ids if endpoint.path_fields else [""]:
        path = endpoint.path.replace("{id}", id_).replace("{name}", "paid").replace("{target}", "ci")
        yield path, ""
        for query in ("body=true", "now=true", "limit=100", "source=shop", "header=X-Kind%3A%20planted-header"):
            yield path, query
        yield path, "where=" + quote("{$.card: planted-card}")
        yield path, "provider_id=planted-key"


@pytest.mark.parametrize("endpoint", [one for one in ENDPOINTS if one.method == "GET"], ids=lambda one: one.path)
def test_no_answer_of_the_api_contains_a_hidden_payload(planted: Planted, endpoint: Endpoint) -> None:
    for path, query in requests_of(endpoint, planted):
        answer = planted.admin.ask("GET", path, query=query, token=READ_TOKEN)
        rows = answer.json.get("items", [answer.json]) if isinstance(answer.json, dict) else [answer.json]
        of_hidden = [row for row in rows if planted.shown not in json.dumps(row)]
        assert "planted-" not in json.dumps(of_hidden), (path, query)


def test_hidden_texts_are_marked_and_shown_to_the_full_token(planted: Planted) -> None:
    ask, path = planted.admin.ask, f"/api/events/{planted.hidden}"

    event = ask("GET", path, token=READ_TOKEN, query="body=true").json
    whole = ask("GET", path, query="body=true").json

    assert event["hidden"] is True
    assert (event["body"], event["query"], event["dedupe_key"]) == (HIDDEN, HIDDEN, HIDDEN)
    assert event["headers"] == [["Content-Type", HIDDEN], ["X-Kind", HIDDEN]]
    assert (event["path"], event["size"]) == ("/hooks/{team}/shop", whole["size"])
    assert event["routing"]["matched"] == ["paid"]
    assert event["deliveries"][0]["order_key"] == HIDDEN
    assert (json.loads(whole["body"]), "hidden" in whole) == (BODY, False)
    assert whole["path"] == "/hooks/planted-team/shop"

    delivery = ask("GET", f"/api/deliveries/{planted.deliveries[0]}", token=READ_TOKEN).json
    [attempt] = delivery["attempts_made"]
    assert (delivery["item"], attempt["excerpt"], attempt["error"]) == (HIDDEN, HIDDEN, "HTTP 410")
    assert attempt["sent"]["url"] == attempt["sent"]["start"] == attempt["sent"]["sha256"] == HIDDEN


def test_an_explanation_of_a_hidden_payload_has_verdicts_without_values(planted: Planted) -> None:
    path = f"/api/events/{planted.hidden}/explain"

    found = planted.admin.get(path, token=READ_TOKEN)
    whole = planted.admin.get(path)

    assert (found["hidden"], found["matched"]) == (True, ["paid"])
    conditions = {one["path"]: one for one in found["explain"][0]["conditions"]}
    assert (conditions["$.card"]["verdict"], conditions["$.card"]["values"]) == ("holds", [HIDDEN])
    assert [one["rule"] for one in found["deliveries"]] == ["paid", "paid"]
    assert "forward" not in found["deliveries"][0]
    assert found["respond"]["body"] == HIDDEN
    assert "planted-card" in json.dumps(whole)


def test_a_search_skips_hidden_events_and_names_the_skipped_sources(planted: Planted) -> None:
    for query in (
        "where=" + quote("{$.card: planted-card}"),
        "header=X-Kind%3A%20planted-header",
        "provider_id=planted-key",
    ):
        for path in ("/api/events", "/api/deliveries"):
            found = planted.admin.get(path, query, token=READ_TOKEN)
            assert found["hidden_sources"] == ["shop"], (path, query)
            assert found["items"], (path, query)
            assert {one.get("source") or one["event"] for one in found["items"]} <= {"open", planted.shown}
            whole = planted.admin.get(path, query)
            assert "hidden_sources" not in whole
            assert len(whole["items"]) >= len(found["items"])
    assert "hidden_sources" not in planted.admin.get("/api/events", token=READ_TOKEN)


def test_a_stored_event_with_a_hidden_payload_can_not_be_tried(planted: Planted) -> None:
    asked = {"event": planted.hidden}

    assert planted.admin.ask("POST", "/api/rules/test", asked, token=READ_TOKEN).status == 403
    assert planted.admin.ask("POST", "/api/rules/test", asked).status == 200


@pytest.mark.parametrize("view", [one for one in VIEWS if "GET" in one.methods], ids=lambda one: one.path)
def test_no_view_of_the_page_contains_a_hidden_payload(planted: Planted, view: object) -> None:
    browser = Browser(planted.admin).sign_in(READ_TOKEN)
    path = view.path.replace("{form}", "case").replace("{operation}", "replay")  # type: ignore[attr-defined]

    for id_ in (planted.hidden, *planted.deliveries):
        for query in ("", "?body=text", "?rules=then", "?source=shop", f"?id={id_}", "?event=" + planted.hidden):
            text = browser.go(path.replace("{id}", id_) + query)
            assert "planted-" not in text.replace(planted.shown, ""), (path, query)


def test_the_page_says_that_a_payload_is_hidden(planted: Planted) -> None:
    browser = Browser(planted.admin).sign_in(READ_TOKEN)

    assert "hides its payloads from the read-only token" in browser.go(f"/events/{planted.hidden}")
    assert "planted-card" in browser.go(f"/events/{planted.shown}")
    assert "planted-card" in Browser(planted.admin).sign_in().go(f"/events/{planted.hidden}")


def test_events_of_a_source_that_left_the_rules_are_hidden(planted: Planted) -> None:
    planted.admin.ruleset = (
        Loader(REGISTRIES, {}).load(RULES.replace("shop", "store"), "rules.yaml", planted.admin.folder).require()
    )

    event = planted.admin.get(f"/api/events/{planted.hidden}", "body=true", token=READ_TOKEN)

    assert (event["hidden"], event["body"], event["path"]) == (True, HIDDEN, HIDDEN)


def test_every_read_of_the_store_hides_payloads_or_is_refused(planted: Planted) -> None:
    names = {name for name in vars(StoreReader) if not name.startswith("_")}
    names |= {name for base in StoreReader.__mro__ for name in vars(base) if not name.startswith("_")}
    view = hiding(planted.admin.store, lambda _: "/x")

    own = {name for name in vars(type(view)) if not name.startswith("_")}
    assert names - own - SHOWN_AS_IT_IS == {"ended", "close", "poll_of", "known_items"}
    for name in ("ended", "close", "poll_of", "known_items", "replay", "append", "prune", "backup"):
        with pytest.raises(AttributeError, match="not available to the read-only token"):
            getattr(view, name)

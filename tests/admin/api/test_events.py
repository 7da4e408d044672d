"""The API of events lists, shows, explains, replays and reroutes them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from router.admin.api import events, searches
from router.admin.api.cursor import encode
from router.daemon.registries import REGISTRIES
from router.domain.deliveries import State
from router.domain.ids import uuid7
from router.rules.compile.loader import Loader
from tests.admin.conftest import NOW, RULES, Admin

Settle = Callable[..., None]


def test_events_are_listed_newest_first_in_pages(admin: Admin) -> None:
    wanted = [admin.receive({"a": number}, age=(5 - number) * 1000) for number in range(5)]

    first = admin.get("/api/events", "limit=3")
    second = admin.get("/api/events", f"limit=3&cursor={first['next']}")

    assert [e["id"] for e in first["items"] + second["items"]] == wanted[::-1]
    assert second["next"] is None
    assert first["items"][-1]["deliveries"] == {}


def test_the_api_filters_events_like_the_command(admin: Admin) -> None:
    admin.receive({"a": 1}, age=3_600_000 * 3)
    admin.receive({"a": 1}, source="forms")

    for query, count in (("", 2), ("source=forms", 1), ("since=2h", 1), ("until=2h", 1), ("source=x", 0)):
        assert len(admin.get("/api/events", query)["items"]) == count, query
    for query in ("rul=x", "limit=0", "cursor=" + encode("deliveries", 1), "since="):
        assert admin.ask("GET", "/api/events", query=query).status == 400


def test_an_event_is_shown_with_its_deliveries_and_on_request_its_body(admin: Admin) -> None:
    event = admin.receive({"ref": "main", "name": "\u001b[31m"}, query="q=1")

    shown = admin.get(f"/api/events/{event}")
    whole = admin.get(f"/api/events/{event}", "body=true")

    assert len(shown["deliveries"]) == 2
    assert "body" not in shown
    assert whole["body"] == '{"ref":"main","name":"\\u001b[31m"}'
    assert admin.ask("GET", f"/api/events/{event}", query="body=yes").status == 400


def test_a_binary_body_is_shown_as_base64(admin: Admin) -> None:
    event = admin.receive(b"\xff\x00", headers=(("Content-Type", "application/octet-stream"),))

    assert admin.get(f"/api/events/{event}", "body=true")["body_base64"] == "/wA="


def test_an_event_can_be_named_by_the_beginning_of_its_id_by_last_or_by_a_delivery(admin: Admin) -> None:
    event = admin.receive({"ref": "main"})
    delivery = admin.get(f"/api/events/{event}")["deliveries"][0]["id"]

    for name in (event, event[:30], "last", delivery):
        assert admin.get(f"/api/events/{name}")["id"] == event
        assert admin.get(f"/api/events/{name}/explain")["matched"] == ["deploy main"]
    last = admin.get("/api/deliveries/last")["id"]
    assert admin.get(f"/api/deliveries/{last[:34]}")["id"] == last


def test_the_404_for_a_deliverys_id_says_that_it_is_a_delivery(admin: Admin) -> None:
    event = admin.receive({"ref": "main"})
    other = admin.receive({"ref": "main"})

    for path, said in (
        (f"/api/deliveries/{event}", f"{event} is an event"),
        (f"/api/events/{event[:8]}", f"is the beginning of several events: {other} {event}"),
        ("/api/events/01", "a beginning needs 8 characters"),
    ):
        reply = admin.ask("GET", path)
        assert reply.status == 404
        assert said in reply.json["detail"], path


def test_an_unknown_id_gets_a_404(admin: Admin) -> None:
    for path in ("/api/events/x", "/api/events/x/explain", "/api/events/%00", "/api/events/a%2Fb"):
        assert admin.ask("GET", path).status == 404


def test_an_explanation_has_the_reasons_and_masks_secrets(admin: Admin) -> None:
    shown = admin.get(f"/api/events/{admin.receive({'ref': 'main'})}/explain")

    assert shown["matched"] == ["deploy main"]
    assert shown["deliveries"][0]["forward"]["headers"]["X-Key"] == "<secret:key>"
    assert [rule["verdict"] for rule in shown["explain"]] == ["matched", "unmatched"]
    assert "planted" not in str(shown)


def test_an_event_is_explained_by_its_recorded_or_by_the_current_rules(admin: Admin, tmp_path: Path) -> None:
    event, then = admin.receive({"ref": "main"}), admin.ruleset.hash
    text = RULES.replace("$.ref: main", "$.ref: other")
    admin.ruleset = Loader(REGISTRIES, {"PLANTED": "x"}).load(text, "rules.yaml", tmp_path).require()

    old, new = admin.get(f"/api/events/{event}/explain"), admin.get(f"/api/events/{event}/explain", query="now=true")

    assert (old["rules"]["of"], old["rules"]["hash"], old["rules"]["first_at_ms"]) == ("then", then, NOW)
    assert (old["matched"], old["recorded"]["matched"]) == (["deploy main"], ["deploy main"])
    assert (new["rules"]["of"], new["rules"]["hash"]) == ("now", admin.ruleset.hash)
    assert (new["matched"], new["recorded"]["matched"]) == ([], ["deploy main"])
    routing = admin.get(f"/api/events/{event}")["routing"]
    assert (routing["ruleset"], routing["ruleset_first_at_ms"], routing["matched"]) == (then, NOW, ["deploy main"])


def test_missing_recorded_rules_are_reported(admin: Admin) -> None:
    stored = admin.store.event(admin.receive({"ref": "main"}))
    assert stored is not None
    lost = replace(stored, id=uuid7(NOW))
    admin.store.append(lost, [], "0" * 64, matched=["old"], errors=[("slow", "too many values")]).result(60)

    shown = admin.get(f"/api/events/{lost.id}/explain")

    assert shown["rules"]["unusable"] == "the store no longer has their text"
    assert shown["recorded"] == {"matched": ["old"], "errors": [{"rule": "slow", "error": "too many values"}]}


def test_an_event_that_current_rules_cannot_parse_gets_a_422(admin: Admin, tmp_path: Path) -> None:
    event = admin.receive(b"no JSON", headers=(("Content-Type", "text/plain"),))
    text = RULES.replace("github: {verify: none}", "github: {verify: none, parse: json}")
    admin.ruleset = Loader(REGISTRIES, {"PLANTED": "x"}).load(text, "rules.yaml", tmp_path).require()

    answer = admin.ask("GET", f"/api/events/{event}/explain", query="now=true")

    assert answer.status == 422
    assert "can't be parsed" in answer.json["detail"]


def test_a_replay_of_an_event_replays_all_its_deliveries(admin: Admin, settle: Settle) -> None:
    event = admin.receive({"ref": "main"})
    settle(State.DEAD)

    done = admin.post("/api/events/replay", {"ids": [event, "gone"]})
    dead = admin.post("/api/events/replay", {"ids": [event], "states": ["dead"], "dry_run": True})

    assert (done["replayed"], done["not_found"]) == (2, ["gone"])
    assert dead["replayed"] == 0


def test_a_reroute_plans_by_the_current_rules(admin: Admin, tmp_path: Path) -> None:
    matched, unmatched = admin.receive({"ref": "main"}), admin.receive({"ref": "late"}, age=1000)
    text = RULES.replace("{$.ref: main}", "{$.ref: [main, late]}")
    admin.ruleset = Loader(REGISTRIES, {"PLANTED": "x"}).load(text, "rules.yaml", tmp_path).require()

    tried = admin.post("/api/events/replay", {"reroute": True, "ids": [unmatched, "gone"], "dry_run": True})
    done = admin.post("/api/events/replay", {"reroute": True, "filter": {"source": "github"}})

    assert [p["id"] for p in tried["planned"]] == [None, None]
    assert tried["not_found"] == ["gone"]
    assert {p["event"] for p in done["planned"]} == {unmatched}
    assert [s["event"] for s in done["skipped"]] == [matched]
    assert '"again": true' in done["skipped"][0]["reason"]
    assert len(admin.get(f"/api/events/{unmatched}")["deliveries"]) == 2


def test_a_long_reroute_can_be_continued_by_its_cursor(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = [admin.receive({"a": 1}, age=(5 - number) * 1000) for number in range(5)]
    monkeypatch.setattr(events, "MAX_REROUTED", 2)
    body: dict[str, Any] = {"reroute": True, "again": True, "filter": {"since": "1h"}}

    done: list[list[str]] = []
    while len(done) < 6:
        page = admin.post("/api/events/replay", body)
        done.append([p["event"] for p in page["planned"]])
        if not page["more"]:
            break
        body["cursor"] = page["next"]

    assert done == [wanted[:2], wanted[2:4], wanted[4:]]


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({}, "ids"),
        ({"filter": {"source": "x"}}, "filter"),
        ({"ids": ["x"], "again": True}, "again"),
        ({"ids": ["x"], "cursor": "x"}, "filter"),
        ({"ids": ["x"] * 1001}, "ids"),
        ({"reroute": True}, "ids"),
        ({"reroute": True, "filter": {}}, "ids"),
        ({"reroute": True, "ids": ["x"], "filter": {"source": "x"}}, "ids"),
        ({"reroute": True, "ids": ["x"] * 1001}, "ids"),
        ({"reroute": True, "ids": ["x"], "states": ["dead"]}, "states"),
        ({"reroute": True, "ids": ["x"], "cursor": "x"}, "cursor"),
        ({"reroute": True, "filter": {"since": "x"}}, "filter.since"),
        ({"reroute": True, "filter": {"rule": "x"}}, "filter.rule"),
        ({"reroute": True, "filter": {"source": "x"}, "cursor": "x"}, "cursor"),
        ({"reroute": 1}, "reroute"),
    ],
)
def test_the_error_for_a_bad_body_names_the_cause_and_the_cure(admin: Admin, body: Any, parameter: str) -> None:
    answer = admin.ask("POST", "/api/events/replay", body)

    assert answer.status == 400
    assert answer.json["parameter"] == parameter


def test_a_deep_payload_is_stored_and_shown(admin: Admin) -> None:
    deep: Any = 1
    for _ in range(199):
        deep = [deep]
    event = admin.receive({"a": 1, "deep": deep})

    assert admin.get(f"/api/events/{event}/explain")["matched"] == ["check"]


def test_a_second_change_at_the_same_time_gets_a_503_with_retry_after(admin: Admin) -> None:
    with admin.daemon.changing:
        for body in ({"ids": ["x"]}, {"reroute": True, "ids": ["x"]}):
            assert admin.ask("POST", "/api/events/replay", body).status == 503


def test_times_are_shown_as_milliseconds_and_as_text(admin: Admin) -> None:
    shown = admin.get(f"/api/events/{admin.receive({})}")

    assert (shown["received_at"], shown["received_at_ms"]) == ("2026-09-21T14:13:20.000Z", NOW)


def test_events_are_found_by_rule_state_header_payload_and_provider_id(admin: Admin) -> None:
    push = (("Content-Type", "application/json"), ("X-Kind", "push"), ("X-Kind", "second"))
    one = admin.receive({"ref": "main", "n": 7}, headers=push, dedupe_key='"d-1"')
    other = admin.receive({"a": 1})
    nothing = admin.receive({"n": 8}, dedupe_key="12")

    for query, wanted in (
        ("rule=deploy%20main", [one]),
        ("unmatched=true", [nothing]),
        ("state=pending", [other, one]),
        ("state=dead", []),
        ("provider_id=d-1", [one]),
        ("provider_id=12", [nothing]),
        ("header=x-kind:%20second", [one]),
        ("header=X-Kind:%20nothing", []),
        ("where=$.n:%20{gte:%207}", [nothing, one]),
        ("where=$.n:%20{gte:%207}&where=$.ref:%20main", [one]),
        ("where=headers.X-Kind:%20push", [one]),
        ("where=$.n:%208&unmatched=true&source=github", [nothing]),
    ):
        found = admin.get("/api/events", query)
        assert [event["id"] for event in found["items"]] == wanted, query
        assert found["next"] is None
    assert admin.get("/api/events", "where=$.n:%208")["scanned"] == 3
    for query, said in (
        ("where=$.n:%20{gt8:%201}", 'unknown operator "gt8"'),
        ("where=n", "mapping"),
        ("header=X", "NAME: VALUE"),
    ):
        answer = admin.ask("GET", "/api/events", query=query)
        assert (answer.status, said in answer.json["detail"]) == (400, True), answer.json


def test_a_search_that_ends_early_is_continued_with_its_cursor(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(searches, "SCANNED", 2)
    wanted = [admin.receive({"n": 1}), *(admin.receive({"n": 2}) for _ in range(4))][0]

    found, scanned, cursor = [], 0, ""
    while True:
        page = admin.get("/api/events", f"where=$.n:%201{cursor}")
        found += page["items"]
        scanned += page["scanned"]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert ([event["id"] for event in found], scanned) == ([wanted], 5)


def test_deliveries_are_found_by_the_payload_of_their_event(admin: Admin) -> None:
    one = admin.receive({"ref": "main", "n": 7}, dedupe_key='"d-1"')
    admin.receive({"ref": "main", "n": 8})

    for query in ("where=$.n:%207", "provider_id=d-1", f"provider_id=d-1&event={one}"):
        found = admin.get("/api/deliveries", query)["items"]
        assert [(d["event"], d["action"]) for d in found] == [(one, "append"), (one, "build")], query
    assert admin.get("/api/deliveries", "provider_id=nobody")["items"] == []
    assert admin.ask("GET", "/api/deliveries", query="where=$.n:%20{x:%201}").status == 400

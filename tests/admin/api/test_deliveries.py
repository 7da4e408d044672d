"""The API of deliveries lists, shows, replays and cancels them, as the commands do."""

from collections.abc import Callable
from typing import Any

import pytest

from router.admin.api import deliveries
from router.admin.api.cursor import encode
from router.domain.deliveries import State
from tests.admin.conftest import NOW, Admin

Settle = Callable[..., None]


def _ids(admin: Admin, query: str = "") -> list[str]:
    return [d["id"] for d in admin.get("/api/deliveries", query)["items"]]


def test_deliveries_are_listed_newest_first_in_pages(admin: Admin) -> None:
    for number in range(7):
        admin.receive({"a": 1}, age=(7 - number) * 1000)
    everything = _ids(admin)

    pages, cursor = [], ""
    while True:
        page = admin.get("/api/deliveries", f"limit=3{cursor}")
        pages.append([d["id"] for d in page["items"]])
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert [len(page) for page in pages] == [3, 3, 1]
    assert [id_ for page in pages for id_ in page] == everything == sorted(everything, reverse=True)


def test_a_full_last_page_has_no_next_cursor(admin: Admin) -> None:
    for _ in range(3):
        admin.receive({"a": 1})

    assert admin.get("/api/deliveries", "limit=3")["next"] is None


def test_the_api_filters_deliveries_like_the_command(admin: Admin, settle: Settle) -> None:
    old = admin.receive({"ref": "main"}, age=3_600_000 * 3)
    admin.receive({"a": 1}, source="forms")
    settle(State.DEAD)

    for query, count in (
        ("", 3),
        ("state=dead", 1),
        ("state=dead&state=pending", 3),
        ("state=dead&state=dead", 1),
        ("rule=deploy%20main", 2),
        ("rule=deploy+main&action=build", 1),
        ("target=http%3A%2F%2F127.0.0.1%3A9", 1),
        ("source=forms", 1),
        (f"event={old}", 2),
        ("since=2h", 1),
        ("until=2h", 2),
        ("since=2h&until=1h", 0),
        ("rule=", 0),
        ("rule=nobody", 0),
    ):
        assert len(_ids(admin, query)) == count, query


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=-1", "limit"),
        ("limit=", "limit"),
        ("limit=1e2", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=" + "9" * 5000, "limit"),
        ("limit=5&limit=6", "limit"),
        ("rule=a&rule=a", "rule"),
        ("state=gone", "state"),
        ("state=", "state"),
        ("state=dead,pending", "state"),
        ("since=yesterday", "since"),
        ("since=2026-01-31T12:00+01:00", "since"),
        ("until=-5m", "until"),
        ("since=99999999999999999999d", "since"),
        ("sinec=2h", "sinec"),
        ("State=dead", "State"),
        ("cursor=", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=AAAA", "cursor"),
        ("cursor=" + "A" * 5000, "cursor"),
        ("cursor=" + encode("events", 5), "cursor"),
        ("cursor=" + encode("deliveries", -1), "cursor"),
        ("cursor=" + encode("deliveries", 2**63), "cursor"),
        ("cursor=" + encode("deliveries", "5"), "cursor"),
        ("cursor=" + encode("deliveries", 5, 5), "cursor"),
        ("cursor=" + encode("deliveries", 5) + "%0A", "cursor"),
    ],
)
def test_the_error_for_a_bad_parameter_names_it_the_cause_and_the_cure(
    admin: Admin, query: str, parameter: str
) -> None:
    answer = admin.ask("GET", "/api/deliveries", query=query)

    assert answer.status == 400
    assert answer.json["parameter"] == parameter
    assert parameter in answer.json["detail"]


def test_the_error_for_an_unescaped_plus_says_how_to_write_it(admin: Admin) -> None:
    assert "%2B" in admin.ask("GET", "/api/deliveries", query="since=2026-01-31T12:00+01:00").json["detail"]
    assert admin.get("/api/deliveries", "since=2026-01-31T12:00%2B01:00")["items"] == []


def test_a_malformed_query_gets_a_400(admin: Admin) -> None:
    for query in ("rule=%FF%FE", "&".join(["state=dead"] * 300)):
        assert admin.ask("GET", "/api/deliveries", query=query).status == 400


def test_extreme_times_are_valid_filters(admin: Admin) -> None:
    admin.receive({"a": 1})

    assert _ids(admin, "since=0001-01-01T00:00Z") == _ids(admin)
    assert _ids(admin, "since=9999-12-31T23:59Z") == []


def test_a_delivery_is_shown_with_its_attempts(admin: Admin, settle: Settle) -> None:
    admin.receive({"ref": "main"})
    settle(State.DEAD)
    [dead] = _ids(admin, "state=dead")

    shown = admin.get(f"/api/deliveries/{dead}")

    assert shown["state"] == "dead"
    assert [a["status"] for a in shown["attempts_made"]] == [410]


@pytest.mark.parametrize(
    "id_", ["0190", "%00", "a%0Ab", "..", "%2e%2e%2fevents", "a%2Fb", "%FF", "'%20OR%201=1--", "x" * 7000]
)
def test_an_unknown_id_gets_a_404_that_does_not_repeat_it(admin: Admin, id_: str) -> None:
    answer = admin.ask("GET", f"/api/deliveries/{id_}")

    assert answer.status == 404
    assert "OR 1" not in answer.json["detail"]


def test_a_replay_by_filter_replays_dead_deliveries(admin: Admin, settle: Settle) -> None:
    admin.receive({"ref": "main"})
    admin.receive({"ref": "main"})
    settle(State.DEAD)
    dead = sorted(_ids(admin, "state=dead"))

    tried = admin.post("/api/deliveries/replay", {"filter": {"rule": "deploy main"}, "dry_run": True})
    done = admin.post("/api/deliveries/replay", {"filter": {"rule": "deploy main"}})

    assert (tried["dry_run"], tried["replayed"]) == (True, 2)
    assert done == {
        "dry_run": False,
        "replayed": 2,
        "deliveries": dead,
        "skipped": [],
        "not_found": [],
        "more": False,
        "next": None,
    }
    assert _ids(admin, "state=dead") == []


def test_a_replay_by_ids_lists_skipped_and_unknown_ids(admin: Admin, settle: Settle) -> None:
    admin.receive({"ref": "main"})
    settle(State.SUCCEEDED)
    [succeeded] = _ids(admin, "state=succeeded")

    done = admin.post("/api/deliveries/replay", {"ids": [succeeded, "gone", "a\nb", succeeded]})
    again = admin.post("/api/deliveries/replay", {"ids": [succeeded], "states": ["succeeded"]})

    assert done["skipped"] == [
        {"id": succeeded, "reason": 'it is succeeded; "states": ["succeeded"] would replay it all the same'}
    ]
    assert done["not_found"] == ["gone", "a\nb"]
    assert again["deliveries"] == [succeeded]


def test_a_cancel_by_filter_cancels_pending_deliveries(admin: Admin) -> None:
    admin.receive({"ref": "main"})
    admin.receive({"a": 1})

    done = admin.post("/api/deliveries/cancel", {"all": True})

    assert done["cancelled"] == 3
    assert len(_ids(admin, "state=cancelled")) == 3


@pytest.mark.parametrize("verb", ["replay", "cancel"])
@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({}, "all"),
        ({"filter": {}}, "all"),
        ({"states": ["dead"]}, "all"),
        ({"all": True, "filter": {"rule": "x"}}, "all"),
        ({"ids": ["x"], "all": True}, "ids"),
        ({"ids": ["x"], "filter": {"rule": "x"}}, "ids"),
        ({"ids": ["x"], "cursor": "x"}, "ids"),
        ({"ids": []}, "ids"),
        ({"ids": [1]}, "ids.0"),
        ({"ids": "x"}, "ids"),
        ({"ids": ["x"] * 10_001}, "ids"),
        ({"all": "true"}, "all"),
        ({"all": True, "states": []}, "states"),
        ({"all": True, "states": ["gone"]}, "states.0"),
        ({"all": True, "dryrun": True}, "dryrun"),
        ({"filter": {"rul": "x"}}, "filter.rul"),
        ({"filter": {"since": "never"}}, "filter.since"),
        ({"filter": {"rule": 5}}, "filter.rule"),
        ({"all": True, "cursor": "x"}, "cursor"),
        ({"all": True, "cursor": encode("events", 1, 2)}, "cursor"),
    ],
)
def test_the_error_for_a_bad_body_names_the_cause_and_the_cure(
    admin: Admin, verb: str, body: Any, parameter: str
) -> None:
    answer = admin.ask("POST", f"/api/deliveries/{verb}", body)

    assert answer.status == 400
    assert answer.json["parameter"] == parameter


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b'"all"',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"all": NaN}',
        b'{"ids": ["\\ud800"]}',
        b"[" * 100_000,
        b'{"a":' * 900 + b"1" + b"}" * 900,
        b'{"ids":' + b"[" * 500 + b"]" * 500 + b"}",
    ],
)
def test_a_body_that_is_not_a_json_object_gets_a_400(admin: Admin, body: bytes) -> None:
    assert admin.ask("POST", "/api/deliveries/replay", body).status == 400


def test_the_error_for_an_unknown_key_suggests_the_nearest_key(admin: Admin) -> None:
    assert 'did you mean "dry_run"?' in admin.ask("POST", "/api/deliveries/replay", {"dryrun": 1}).json["detail"]
    assert (
        'did you mean "rule"?' in admin.ask("POST", "/api/deliveries/replay", {"filter": {"rul": "x"}}).json["detail"]
    )


def test_a_long_replay_can_be_continued_by_its_cursor(
    admin: Admin, settle: Settle, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also for succeeded deliveries, which the filter finds again after their replay."""
    for _ in range(1_200):
        admin.receive({"ref": "main"})
    settle(State.SUCCEEDED)
    wanted = sorted(d.id for d in admin.store.deliveries(limit=10_000) if d.state is State.SUCCEEDED)
    monkeypatch.setattr(deliveries, "MAX_CHANGED", 500)
    body = {"filter": {"target": "ci"}, "states": ["succeeded", "pending"]}

    done, calls, cursor = [], 0, None
    while calls < 10:
        page = admin.post("/api/deliveries/replay", body | ({"cursor": cursor} if cursor else {}))
        done += page["deliveries"]
        calls, cursor = calls + 1, page["next"]
        assert page["more"] is (cursor is not None)
        if not page["more"]:
            break
        admin.receive({"ref": "main"})  # deliveries that arrive meanwhile are not replayed

    assert (sorted(done), calls) == (wanted, 3)


def test_a_shutdown_ends_a_long_replay_between_two_pages(admin: Admin, settle: Settle) -> None:
    for _ in range(600):
        admin.receive({"ref": "main"})
    settle(State.DEAD)
    admin.stopping = True

    done = admin.post("/api/deliveries/replay", {"all": True})

    assert (done["replayed"], done["more"]) == (0, True)


def test_a_second_change_at_the_same_time_gets_a_503_with_retry_after(admin: Admin) -> None:
    with admin.daemon.changing:
        answer = admin.ask("POST", "/api/deliveries/cancel", {"all": True})

    assert (answer.status, answer.headers["retry-after"]) == (503, "1")
    assert admin.ask("POST", "/api/deliveries/cancel", {"all": True}).status == 200


def test_one_request_replays_ten_thousand_ids(admin: Admin) -> None:
    done = admin.post("/api/deliveries/replay", {"ids": [f"{NOW}-{number}" for number in range(10_000)]})

    assert len(done["not_found"]) == 10_000

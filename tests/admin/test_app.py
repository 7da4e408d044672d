"""The admin listener answers those who call it by its own name, and have the token."""

import dataclasses
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from router.admin import app
from router.admin.listener import admin_listener
from router.admin.routes import ENDPOINTS
from router.errors import StartError
from router.model import Reply
from router.rules.change import Change
from router.rules.drift import Reloaded
from router.settings import Address, host_names
from tests.admin.conftest import TOKEN, Admin
from tests.conftest import PATIENCE_SECONDS, request

OPEN = ("/-/healthy", "/-/ready", "/metrics")
CLOSED = [(one.method, one.path.replace("{id}", "x").replace("{name}", "x")) for one in ENDPOINTS if not one.is_open]


def test_it_is_healthy_while_it_lives_and_ready_when_all_is(admin: Admin) -> None:
    assert admin.get("/-/ready", token=None) == {"store": True, "rules": True, "dispatcher": True, "intake": True}
    admin.checks["store"] = False

    assert admin.get("/-/healthy", token=None) == {"healthy": True}
    assert admin.ask("GET", "/-/ready").status == 503


def test_the_metrics_are_open_on_loopback(admin: Admin) -> None:
    answer = admin.ask("GET", "/metrics", token=None, query="name[]=up")

    assert (answer.status, answer.json) == (200, "some_metric 1\n")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "", "localhost.evil", "[::1", "::1]:80", "router"],
)
def test_a_foreign_name_is_refused(admin: Admin, host: str) -> None:
    for path in (*OPEN, "/api/status", "/nothing"):
        answer = admin.ask("GET", path, headers={"Host": host})

        assert answer.status == 421
        assert "Host header" in answer.json["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8081", "LOCALHOST:8081", "localhost.", "127.0.0.1", "[::1]:8081", "Router:80"]
)
def test_our_own_names_are_fine(admin: Admin, host: str) -> None:
    admin.open(names=("127.0.0.1", "router"))

    assert admin.ask("GET", "/-/ready", headers={"Host": host}).status == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
        {"Origin": "http://[broken"},
    ],
)
def test_a_page_of_another_site_is_refused_whatever_it_has(admin: Admin, headers: dict[str, str]) -> None:
    for path in ("/-/healthy", "/api/status"):
        assert admin.ask("GET", path, headers=headers).status == 403


def test_our_own_page_and_a_person_who_types_the_address_are_fine(admin: Admin) -> None:
    for headers in ({"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8081"}):
        assert admin.ask("GET", "/api/status", headers=headers).status == 200


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_without_the_token_all_but_the_open_ones_is_a_401(admin: Admin, method: str, path: str) -> None:
    answer = admin.ask(method, path, token=None)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_without_the_token_nobody_learns_what_there_is(admin: Admin) -> None:
    for method, path in (("GET", "/api"), ("GET", "/api/nothing"), ("PUT", "/api/events"), ("GET", "//api/status")):
        assert admin.ask(method, path, token=None).status in (401, 404)
    assert admin.ask("GET", "/api/nothing", token=None).status == 401


def test_on_another_address_everything_needs_the_token(admin: Admin) -> None:
    admin.open(closed=True)

    for path in (*OPEN, "/api/status", "/nothing"):
        assert admin.ask("GET", path, token=None).status == 401
    for path in OPEN:
        assert admin.ask("GET", path).status == 200


@pytest.mark.parametrize("query", [f"token={TOKEN}", f"access_token={TOKEN}", f"authorization=Bearer+{TOKEN}"])
def test_a_token_in_the_query_or_a_cookie_is_none(admin: Admin, query: str) -> None:
    assert admin.ask("GET", "/api/status", token=None, query=query).status == 401
    assert admin.ask("GET", "/api/status", token=None, headers={"Cookie": f"token={TOKEN}"}).status == 401


def test_what_is_not_there_is_a_404_and_a_wrong_method_a_405(admin: Admin) -> None:
    assert admin.ask("GET", "/", token=None).status == 404
    assert admin.ask("GET", "/api/nothing").status == 404
    assert admin.ask("GET", "/api/events/").status == 404
    answer = admin.ask("POST", "/-/ready")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    answer = admin.ask("GET", "/-/reload")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert admin.ask("OPTIONS", "/api/events").status == 405
    for path in ("/api/deliveries/replay", "/api/deliveries/cancel", "/api/events/replay"):
        answer = admin.ask("GET", path)  # and no delivery or event of that id
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_a_head_is_a_get_without_its_body(admin: Admin) -> None:
    for path in ("/-/healthy", "/api/status", "/api/events"):
        answer = admin.ask("HEAD", path)
        assert (answer.status, answer.json) == (200, "")
    assert admin.ask("HEAD", "/api/events/x").status == 404
    assert admin.ask("HEAD", "/-/reload").status == 405


def test_another_content_type_is_a_415(admin: Admin) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"):
        answer = admin.ask("POST", "/api/deliveries/cancel", b'{"all": true}', headers={"Content-Type": kind})
        assert answer.status == 415
    assert admin.ask("POST", "/api/rules/check", b"rules: []").status == 415
    good = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert admin.ask("POST", "/api/deliveries/cancel", b'{"all": true}', headers=good).status == 200


def test_what_takes_no_body_gets_none(admin: Admin) -> None:
    assert admin.ask("POST", "/-/reload", b"{}").status == 400
    assert (
        admin.ask("POST", "/-/reload", b"", headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 200
    )


def test_a_store_that_is_closed_is_a_503(admin: Admin) -> None:
    admin.store.close()

    for path in ("/api/status", "/api/events", "/api/deliveries/x", "/api/targets"):
        answer = admin.ask("GET", path)
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert str(admin.folder) not in answer.json["detail"]
    assert admin.ask("POST", "/api/deliveries/replay", {"all": True}).status == 503


def test_probes_and_the_scrape_answer_while_the_api_is_busy(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "WAIT_SECONDS", 0.01)
    begun, go_on = threading.Semaphore(0), threading.Event()

    def reload(_: float) -> Reloaded:
        begun.release()
        go_on.wait(60)
        return Reloaded("h", 1, Change())

    admin.daemon = dataclasses.replace(admin.daemon, reload=reload)
    admin.open()
    statuses: list[int] = []
    threads = [
        threading.Thread(target=lambda: statuses.append(admin.ask("POST", "/-/reload").status))
        for _ in range(app.AT_ONCE)
    ]
    for thread in threads:
        thread.start()
    for _ in threads:
        assert begun.acquire(timeout=60)

    answer = admin.ask("GET", "/api/status")
    probes = [admin.ask("GET", path).status for path in OPEN]
    go_on.set()
    for thread in threads:
        thread.join()

    assert (answer.status, answer.headers["retry-after"]) == (503, "2")
    assert probes == [200, 200, 200]
    assert statuses == [200] * app.AT_ONCE
    assert admin.ask("GET", "/api/status").status == 200  # the places are free again


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [("POST", "/-/reload", app.AT_ONCE + app.WAITING), ("GET", "/metrics", app.SCRAPES + app.SCRAPES_WAITING)],
)
def test_probes_answer_however_many_others_ask(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, method: str, path: str, most: int
) -> None:
    monkeypatch.setattr(app, "WAIT_SECONDS", PATIENCE_SECONDS)
    go_on = threading.Event()

    def slow(reply: Any) -> Callable[[Any], Any]:
        return lambda _: (go_on.wait(PATIENCE_SECONDS), reply)[1]

    scrape, reload = slow(Reply(200, b"", "text/plain")), slow(Reloaded("h", 1, Change()))
    daemon = dataclasses.replace(admin.daemon, reload=reload, metrics=scrape)
    listener = admin_listener(daemon, Address("127.0.0.1", 0), TOKEN.encode(), (), PATIENCE_SECONDS)
    listener.start()
    statuses: SimpleQueue[int] = SimpleQueue()
    token = {"Authorization": f"Bearer {TOKEN}"}
    askers = [
        threading.Thread(target=lambda: statuses.put(request(listener.port, method, path, headers=token).status))
        for _ in range(3 * app.THREADS)
    ]
    for asker in askers:
        asker.start()
    try:
        refused = [statuses.get(timeout=PATIENCE_SECONDS) for _ in askers[most:]]
        probes = [request(listener.port, "GET", probe).status for probe in ("/-/healthy", "/-/ready")]
        others = statuses.qsize()
    finally:
        go_on.set()
        for asker in askers:
            asker.join()
        listener.stop(1)

    assert set(refused) == {503}
    assert (probes, others) == ([200, 200], 0)
    assert [statuses.get() for _ in range(most)] == [200] * most  # those that waited were served


def test_a_fault_of_ours_is_a_500_without_a_word_of_it(admin: Admin) -> None:
    def reload(_: float) -> Any:
        raise RuntimeError("inner words")

    admin.daemon = dataclasses.replace(admin.daemon, reload=reload)
    admin.open()

    answer = admin.ask("POST", "/-/reload")

    assert answer.status == 500
    assert "inner words" not in str(answer.json)


def test_further_names_are_read_strictly() -> None:
    assert host_names("") == ()
    assert host_names("Router, hooks.example.com,svc_1") == ("router", "hooks.example.com", "svc_1")
    for text in ("*", "a b", "router:8081", "http://x", "x/", ".", "é", "*.example"):
        with pytest.raises(StartError, match="no host's name"):
            host_names(text)

"""The admin listener answers requests that have its host name and the token."""

import dataclasses
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import pytest

from router.admin import app
from router.admin.api.routes import ENDPOINTS
from router.admin.listener import access_check, admin_listener, body_limit
from router.admin.page.site import Site
from router.admin.page.views.change import LARGEST_FORM, LARGEST_TEXT
from router.daemon.settings import host_names
from router.domain.errors import StartError
from router.domain.listen_address import ListenAddress
from router.domain.reply import Reply
from router.rules.reload.drift import Reloaded
from router.rules.reload.ruleset_diff import RulesetDiff
from tests.admin.conftest import TOKEN, Admin
from tests.conftest import PATIENCE_SECONDS, request

OPEN = ("/-/healthy", "/-/ready", "/metrics")
CLOSED = [(one.method, one.path.replace("{id}", "x").replace("{name}", "x")) for one in ENDPOINTS if not one.is_open]


def test_the_daemon_is_healthy_while_it_runs_and_ready_when_all_parts_are(admin: Admin) -> None:
    assert admin.get("/-/ready", token=None) == {"store": True, "rules": True, "dispatcher": True, "intake": True}
    admin.checks["store"] = False

    assert admin.get("/-/healthy", token=None) == {"healthy": True}
    assert admin.ask("GET", "/-/ready").status == 503


def test_metrics_need_no_token_on_loopback(admin: Admin) -> None:
    answer = admin.ask("GET", "/metrics", token=None, query="name[]=up")

    assert (answer.status, answer.json) == (200, "some_metric 1\n")


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "", "localhost.evil", "[::1", "::1]:80", "router"],
)
def test_a_request_for_another_host_name_is_refused(admin: Admin, host: str) -> None:
    for path in (*OPEN, "/api/status", "/nothing"):
        answer = admin.ask("GET", path, headers={"Host": host})

        assert answer.status == 421
        assert "Host header" in answer.json["detail"]


@pytest.mark.parametrize(
    "host", ["localhost", "localhost:8081", "LOCALHOST:8081", "localhost.", "127.0.0.1", "[::1]:8081", "Router:80"]
)
def test_a_request_for_a_name_of_this_host_is_answered(admin: Admin, host: str) -> None:
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
def test_a_cross_site_request_is_refused_even_with_the_token(admin: Admin, headers: dict[str, str]) -> None:
    for path in ("/-/healthy", "/api/status"):
        assert admin.ask("GET", path, headers=headers).status == 403


def test_same_origin_requests_and_typed_addresses_are_answered(admin: Admin) -> None:
    for headers in ({"Sec-Fetch-Site": "none"}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8081"}):
        assert admin.ask("GET", "/api/status", headers=headers).status == 200


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_every_protected_endpoint_gives_401_without_the_token(admin: Admin, method: str, path: str) -> None:
    answer = admin.ask(method, path, token=None)

    assert answer.status == 401
    assert answer.headers["www-authenticate"] == "Bearer"


def test_unknown_paths_give_401_without_the_token(admin: Admin) -> None:
    for method, path in (("GET", "/api"), ("GET", "/api/nothing"), ("PUT", "/api/events"), ("GET", "//api/status")):
        assert admin.ask(method, path, token=None).status in (401, 404)
    assert admin.ask("GET", "/api/nothing", token=None).status == 401


def test_every_endpoint_needs_the_token_off_loopback(admin: Admin) -> None:
    admin.open(closed=True)

    for path in (*OPEN, "/api/status", "/nothing"):
        assert admin.ask("GET", path, token=None).status == 401
    for path in OPEN:
        assert admin.ask("GET", path).status == 200


@pytest.mark.parametrize("query", [f"token={TOKEN}", f"access_token={TOKEN}", f"authorization=Bearer+{TOKEN}"])
def test_a_token_in_the_query_or_a_cookie_is_not_accepted(admin: Admin, query: str) -> None:
    assert admin.ask("GET", "/api/status", token=None, query=query).status == 401
    assert admin.ask("GET", "/api/status", token=None, headers={"Cookie": f"token={TOKEN}"}).status == 401


def test_an_unknown_path_gives_404_and_a_wrong_method_405(admin: Admin) -> None:
    assert admin.ask("GET", "/nothing", token=None).status == 404
    assert admin.ask("GET", "/api/nothing").status == 404
    assert admin.ask("GET", "/api/events/").status == 404
    answer = admin.ask("POST", "/-/ready")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    answer = admin.ask("GET", "/-/reload")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")
    assert admin.ask("OPTIONS", "/api/events").status == 405
    for path in ("/api/deliveries/replay", "/api/deliveries/cancel", "/api/events/replay"):
        answer = admin.ask("GET", path)  # these are not ids of a delivery or event
        assert (answer.status, answer.headers["allow"]) == (405, "POST")


def test_head_answers_like_get_without_the_body(admin: Admin) -> None:
    for path in ("/-/healthy", "/api/status", "/api/events"):
        answer = admin.ask("HEAD", path)
        assert (answer.status, answer.json) == (200, "")
    assert admin.ask("HEAD", "/api/events/x").status == 404
    assert admin.ask("HEAD", "/-/reload").status == 405


def test_a_body_of_another_content_type_gets_a_415(admin: Admin) -> None:
    for kind in ("text/plain", "application/x-www-form-urlencoded", "", "application/jsonx"):
        answer = admin.ask("POST", "/api/deliveries/cancel", b'{"all": true}', headers={"Content-Type": kind})
        assert answer.status == 415
    assert admin.ask("POST", "/api/rules/check", b"rules: []").status == 415
    good = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert admin.ask("POST", "/api/deliveries/cancel", b'{"all": true}', headers=good).status == 200


def test_an_unexpected_body_gets_a_400(admin: Admin) -> None:
    assert admin.ask("POST", "/-/reload", b"{}").status == 400
    assert (
        admin.ask("POST", "/-/reload", b"", headers={"Content-Type": "application/x-www-form-urlencoded"}).status == 200
    )


def test_a_closed_store_gives_503(admin: Admin) -> None:
    admin.store.close()

    for path in ("/api/status", "/api/events", "/api/deliveries/01a21faf-e4a8-7001-be7c-9f33de523ba1", "/api/targets"):
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
        return Reloaded("h", 1, RulesetDiff())

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
    assert admin.ask("GET", "/api/status").status == 200  # the slots are free again


@pytest.mark.parametrize(
    ("method", "path", "most"),
    [("POST", "/-/reload", app.AT_ONCE + app.WAITING), ("GET", "/metrics", app.SCRAPES + app.SCRAPES_WAITING)],
)
def test_probes_answer_while_many_requests_wait(
    admin: Admin, monkeypatch: pytest.MonkeyPatch, method: str, path: str, most: int
) -> None:
    monkeypatch.setattr(app, "WAIT_SECONDS", PATIENCE_SECONDS)
    go_on = threading.Event()

    def slow(reply: Any) -> Callable[[Any], Any]:
        return lambda _: (go_on.wait(PATIENCE_SECONDS), reply)[1]

    scrape, reload = slow(Reply(200, b"", "text/plain")), slow(Reloaded("h", 1, RulesetDiff()))
    daemon = dataclasses.replace(admin.daemon, reload=reload, metrics=scrape)
    address = ListenAddress("127.0.0.1", 0)
    site = Site(daemon, access_check(address, TOKEN.encode(), None, ()))
    listener = admin_listener(site, address, PATIENCE_SECONDS)
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
    assert [statuses.get() for _ in range(most)] == [200] * most  # the waiting requests were answered


def test_the_body_limit_of_a_form_allows_the_largest_editable_text() -> None:
    """A form is larger than its text, since it escapes characters."""
    assert body_limit("/rules/try") == body_limit("/rules/try/download") == LARGEST_FORM > LARGEST_TEXT
    assert body_limit("/events") == 1024**2
    assert body_limit("/api/rules/check") == 16 * 1024**2


def test_the_listener_accepts_a_large_form_for_the_page_only(admin: Admin) -> None:
    listener = admin_listener(
        Site(admin.daemon, access_check(address := ListenAddress("127.0.0.1", 0), TOKEN.encode(), None, ())),
        address,
        PATIENCE_SECONDS,
    )
    listener.start()
    try:
        answer = request(listener.port, "POST", "/rules/try", b"x" * (1024**2 + 1))
        refused = request(listener.port, "POST", "/api/rules/test", b"x" * (1024**2 + 1))
    finally:
        listener.stop(1)

    assert "larger than 256.0 KiB" in answer.body.decode()  # the limit of the page before the sign-in
    assert "larger than this path takes" in refused.body.decode()


def test_an_unexpected_exception_gives_500_without_details(admin: Admin) -> None:
    def reload(_: float) -> Any:
        raise RuntimeError("inner words")

    admin.daemon = dataclasses.replace(admin.daemon, reload=reload)
    admin.open()

    answer = admin.ask("POST", "/-/reload")

    assert answer.status == 500
    assert "inner words" not in str(answer.json)


def test_allowed_host_names_are_validated_strictly() -> None:
    assert host_names("") == ()
    assert host_names("Router, hooks.example.com,svc_1") == ("router", "hooks.example.com", "svc_1")
    for text in ("*", "a b", "router:8081", "http://x", "x/", ".", "é", "*.example"):
        with pytest.raises(StartError, match="not a host name"):
            host_names(text)

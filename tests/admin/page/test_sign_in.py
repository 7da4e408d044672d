"""The page needs a session, and requests of other sites are refused."""

import re
from dataclasses import replace

import pytest

from router.admin.app import admin_app
from router.admin.auth.access import AccessCheck
from router.admin.page.sessions import CODE_SECONDS, MOST_SESSIONS, SESSION_SECONDS, Sessions
from router.admin.page.site import Site
from router.admin.page.views import VIEWS
from tests.admin.conftest import TOKEN, Admin
from tests.admin.page.conftest import ORIGIN, Browser

READ_TOKEN = "a-token-that-may-only-read-0123456789"


def _with(admin: Admin, *, read: bool = False) -> Site:
    access = AccessCheck(
        TOKEN.encode(),
        ("127.0.0.1",),
        closed=False,
        clock=lambda: admin.now,
        read_token=READ_TOKEN.encode() if read else None,
    )
    site = Site(admin.daemon, access, Sessions(lambda: admin.now))
    admin.client = type(admin.client)(admin_app(admin.daemon, access, site))
    return site


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.path)
def test_every_view_requires_a_session(browser: Browser, view: object) -> None:
    path = re.sub(r"\{\w+\}", "x", view.path)  # type: ignore[attr-defined]
    method = view.methods[0]  # type: ignore[attr-defined]

    browser.send(method, path, {} if method == "POST" else None, {})

    assert browser.status == 401
    assert "Admin token" in browser.text
    assert not browser.cookies


def test_after_sign_in_the_requested_page_opens(browser: Browser) -> None:
    browser.sign_in(address="/deliveries?state=dead")

    assert browser.status == 200
    assert "<h1>Deliveries</h1>" in browser.text
    assert "<option selected>dead</option>" in browser.text


def test_a_wrong_token_is_refused_and_many_are_rate_limited(browser: Browser) -> None:
    for _ in range(12):
        browser.go("/")
        browser.post("/sign-in", token="wrong-token-wrong-token")

    assert browser.status == 429
    assert not browser.cookies
    browser.post("/sign-in", token=TOKEN)
    assert browser.status == 429


def test_a_link_signs_in_once(admin: Admin, browser: Browser) -> None:
    site = _with(admin)
    code = site.sessions.make_code()

    browser.go(f"/sign-in?code={code}")
    assert not browser.cookies  # a HEAD request by a link preview does not use the link up
    browser.post("/sign-in")
    assert "All is well" in browser.text
    other = Browser(admin)
    other.go(f"/sign-in?code={code}")
    other.post("/sign-in")
    assert other.status == 401
    assert not other.cookies


def test_an_old_sign_in_link_does_not_work(admin: Admin, browser: Browser) -> None:
    code = _with(admin).sessions.make_code()
    admin.now += CODE_SECONDS + 1

    browser.go(f"/sign-in?code={code}")
    browser.post("/sign-in")

    assert browser.status == 401


def test_wrong_links_are_rate_limited_like_wrong_tokens(admin: Admin, browser: Browser) -> None:
    _with(admin)
    for _ in range(12):
        browser.go("/sign-in?code=guess")
        browser.post("/sign-in")

    assert browser.status == 429


def test_a_session_ends_after_a_time_and_by_signing_out(admin: Admin, browser: Browser) -> None:
    _with(admin)
    browser.sign_in()
    cookies = dict(browser.cookies)
    admin.now += SESSION_SECONDS - 1
    assert "All is well" in browser.go("/")
    admin.now += 2
    assert "Admin token" in browser.go("/")

    browser.sign_in()
    assert browser.cookies != cookies
    cookies = dict(browser.cookies)
    browser.post("/sign-out")
    browser.cookies = cookies
    assert "Admin token" in browser.go("/")


def test_the_answer_to_a_form_after_the_session_says_that_nothing_was_done(admin: Admin, browser: Browser) -> None:
    _with(admin)
    browser.sign_in().go("/targets")
    form, view = browser.form("/targets/pause"), f"{ORIGIN}/targets?a=1"
    browser.cookies.clear()

    browser.send("POST", form.action, form.fields, {"Referer": view})
    assert (browser.status, "nothing was done. Sign in, and try again" in browser.text) == (401, True)
    assert browser.form("/sign-in").fields["to"] == "/targets?a=1"  # at this address a click repeats the action

    for elsewhere in ("http://evil.example/targets", f"http://evil.example/?{view}", f"{ORIGIN}/nowhere", ""):
        browser.send("POST", form.action, form.fields, {"Referer": elsewhere})
        assert browser.form("/sign-in").fields["to"] == "/", elsewhere


def test_the_oldest_session_ends_when_there_are_too_many() -> None:
    sessions = Sessions(lambda: 0.0)
    first, *_ = [sessions.begin(may_act=True)[0] for _ in range(MOST_SESSIONS + 1)]

    assert sessions.find(first) is None


def test_scripts_and_other_sites_can_not_use_the_cookie(browser: Browser) -> None:
    browser.go("/")
    form = browser.form("/sign-in")
    sent = browser.admin.client.simulate_request(
        "POST", "/sign-in", params={**form.fields, "token": TOKEN}, headers={"Host": "127.0.0.1:8081", "Origin": ORIGIN},
        remote_addr="127.0.0.1", body=f"token={TOKEN}",
    )  # fmt: skip

    cookie = sent.headers["set-cookie"]
    assert cookie.startswith("webhook-router-8081=")
    assert {"HttpOnly", "SameSite=Strict", "Path=/"} <= {part.strip() for part in cookie.split(";")}


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Origin": ""},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)
def test_a_form_of_another_site_changes_nothing(browser: Browser, headers: dict[str, str]) -> None:
    browser.sign_in()
    browser.go("/targets")
    fields = {**browser.form("/targets/pause").fields}

    browser.send("POST", "/targets/pause", fields, headers)

    assert browser.status in (401, 403)
    assert not browser.admin.store.holds()


def test_a_form_needs_the_secret_of_its_session(browser: Browser) -> None:
    browser.sign_in()
    browser.go("/targets")
    fields = {**browser.form("/targets/pause").fields}

    for csrf in ("", "x", fields["csrf"][:-1], fields["csrf"] + "x"):
        browser.send("POST", "/targets/pause", {**fields, "csrf": csrf}, {})
        assert browser.status == 403
    assert not browser.admin.store.holds()


def test_a_link_of_another_site_opens_the_sign_in_page(browser: Browser) -> None:
    browser.sign_in()

    shown = browser.go("/deliveries", **{"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "navigate"})

    assert "Admin token" in shown
    assert "<h1>Deliveries</h1>" not in shown


@pytest.mark.parametrize(
    "wanted", ["//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nX: y", "javascript:x"]
)
def test_sign_in_never_redirects_to_another_site(browser: Browser, wanted: str) -> None:
    browser.go("/")
    sent = browser.admin.client.simulate_request(
        "POST", "/sign-in", body=f"token={TOKEN}&to={wanted}", headers={"Host": "127.0.0.1:8081", "Origin": ORIGIN},
        remote_addr="127.0.0.1",
    )  # fmt: skip

    assert sent.status_code == 303
    assert sent.headers["location"] == "/"


def test_sign_in_from_another_machine_requires_https(admin: Admin) -> None:
    sent = admin.client.simulate_request(
        "POST",
        "/sign-in",
        body=f"token={TOKEN}",
        headers={"Host": "127.0.0.1:8081", "Origin": ORIGIN},
        remote_addr="192.0.2.9",
    )

    assert sent.status_code == 403
    assert "needs https" in sent.text
    assert "set-cookie" not in sent.headers


def test_the_read_only_token_can_only_read(admin: Admin, browser: Browser) -> None:
    _with(admin, read=True)
    admin.receive({"ref": "main"})
    browser.sign_in(READ_TOKEN)
    assert "with the read-only token" in browser.text
    for path in ("/", "/events", "/deliveries", "/targets", "/rules", "/try"):
        browser.go(path)
        assert browser.status == 200
    csrf = browser.form("/sign-out").fields["csrf"]

    for view in VIEWS:
        if view.acts:
            browser.send("POST", view.path.replace("{id}", "x").replace("{operation}", "replay"), {"csrf": csrf}, {})
            assert (browser.status, "may only read" in browser.text) == (403, True), view.path
    assert admin.ask("GET", "/api/events", token=READ_TOKEN).status == 200
    assert admin.ask("POST", "/api/rules/test", {"payload": {}, "source": "github"}, token=READ_TOKEN).status == 200
    for path in ("/api/deliveries/cancel", "/api/deliveries/replay", "/api/events/replay", "/-/reload"):
        assert admin.ask("POST", path, {"all": True}, token=READ_TOKEN).status == 403


def test_every_page_forbids_scripts_frames_and_sniffing(browser: Browser) -> None:
    browser.sign_in()
    for path in ("/", "/sign-in", "/events", "/nosuch/../events", "/events/x"):
        browser.go(path)
        if browser.headers["content-type"].startswith("text/html"):
            policy = browser.headers["content-security-policy"]
            assert "default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy
            assert browser.headers["x-content-type-options"] == "nosniff"
            assert browser.headers["cache-control"] == "no-store"


def test_each_daemon_has_its_own_sessions(admin: Admin) -> None:
    """A session of one daemon is not valid at another."""
    one, other = _with(admin), Site(admin.daemon, replace(AccessCheck(TOKEN.encode(), (), closed=False)))
    cookie, _ = one.sessions.begin(may_act=True)

    assert other.sessions.find(cookie) is None

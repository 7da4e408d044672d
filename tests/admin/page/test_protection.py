"""Every route of the page and the API that changes something has the same protection."""

import re

import pytest

from router.admin.api.routes import ENDPOINTS
from router.admin.page.view import View
from router.admin.page.views import VIEWS
from tests.admin.conftest import TOKEN, Admin
from tests.admin.page.conftest import HOST, ORIGIN, Browser

READ_TOKEN = "a-token-that-may-only-read-0123456789"
ACTING = [view for view in VIEWS if view.acts]
ASKING = [view for view in VIEWS if "POST" in view.methods and not view.acts]


@pytest.fixture
def acted(admin: Admin) -> tuple[str, str]:
    """An event and its delivery for the forms of the page."""
    event = admin.receive({"ref": "main", "repo": "a"})
    return event, admin.store.deliveries()[0].id


def fields(event: str, delivery: str, view: View) -> tuple[str, dict[str, str]]:
    """The address and the fields of the form of a view."""
    operation = "cancel" if "{operation}" in view.path else ""
    path = view.path.replace("{id}", event).replace("{operation}", operation)
    return path, {"id": delivery, "target": "ci", "query": "source=github&action=build", "number": "1"}


def state(admin: Admin) -> object:
    """The state that an action would change."""
    return admin.store.deliveries(), bool(admin.store.holds()), admin.store.events()


def test_each_form_of_these_tests_changes_the_state(admin: Admin, browser: Browser, acted: tuple[str, str]) -> None:
    csrf = browser.sign_in() and browser.form("/sign-out").fields["csrf"]
    before = state(admin)
    for view in ACTING:
        path, form = fields(*acted, view)
        browser.send("POST", path, {**form, "csrf": csrf}, {})
        assert browser.status == 200, path
    assert state(admin) != before


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:8082"},
        {"Origin": f"{ORIGIN}.evil.example"},
        {"Origin": ORIGIN.replace("http:", "https:")},
        {"Origin": None},
        {"Origin": "", "Referer": f"{ORIGIN}/targets"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
def test_a_form_of_another_site_is_refused_on_each_route(
    admin: Admin, browser: Browser, acted: tuple[str, str], headers: dict[str, str | None]
) -> None:
    csrf = browser.sign_in() and browser.form("/sign-out").fields["csrf"]
    before = state(admin)
    for view in (*ACTING, *ASKING):
        path, form = fields(*acted, view)
        browser.send("POST", path, {**form, "csrf": csrf}, headers)
        assert browser.status in (401, 403), path
    browser.send("POST", "/sign-out", {"csrf": csrf}, headers)
    assert state(admin) == before
    assert "All is well" in browser.go("/")

    stranger = Browser(admin)
    stranger.send("POST", "/sign-in", {"token": TOKEN}, headers)
    assert not stranger.cookies


def test_a_form_with_the_secret_of_another_session_is_refused(
    admin: Admin, browser: Browser, acted: tuple[str, str]
) -> None:
    other = Browser(admin).sign_in().form("/sign-out").fields["csrf"]
    browser.sign_in()
    before = state(admin)

    for view in (*ACTING, *ASKING):
        path, form = fields(*acted, view)
        for csrf in (other, "", "0" * 43):
            browser.send("POST", path, {**form, "csrf": csrf}, {})
            assert (browser.status, "did not come from this page" in browser.text) == (403, True), path
    browser.send("POST", "/sign-out", {"csrf": other}, {})
    assert browser.status == 403
    assert state(admin) == before


def test_no_route_acts_by_a_link_or_another_method(admin: Admin, browser: Browser, acted: tuple[str, str]) -> None:
    csrf = browser.sign_in() and browser.form("/sign-out").fields["csrf"]
    before = state(admin)

    for view in ACTING:
        path, form = fields(*acted, view)
        query = "&".join(f"{name}={value}" for name, value in {**form, "csrf": csrf}.items())
        browser.go(f"{path}?{query}")
        assert browser.status == (405 if "GET" not in view.methods else 409), path
        for method in ("PUT", "DELETE", "PATCH"):
            browser.send(method, path, {**form, "csrf": csrf}, {"Origin": ORIGIN})
            assert browser.status == 405, f"{method} {path}"
    browser.go("/sign-out")
    assert state(admin) == before
    assert "All is well" in browser.go("/")


def test_the_read_only_token_can_not_act_on_any_route(admin: Admin, browser: Browser, acted: tuple[str, str]) -> None:
    admin.open(read_token=READ_TOKEN)
    browser.sign_in(READ_TOKEN)
    csrf = browser.form("/sign-out").fields["csrf"]
    before = state(admin)

    for view in (*ACTING, *ASKING):
        path, form = fields(*acted, view)
        browser.send("POST", path, {**form, "csrf": csrf, "source": "github", "payload": "{}"}, {})
        assert browser.status == (403 if view.acts else 200), path
    assert {view.path for view in ASKING} == {
        "/deliveries/all/{operation}/confirm", "/rules/try", "/rules/try/download", "/try"
    }  # fmt: skip
    for one in ENDPOINTS:
        if one.acts:
            path = re.sub(r"\{\w+\}", "x", one.path)
            assert admin.ask(one.method, path, {}, token=READ_TOKEN).status == 403, path
    assert {f"{one.method} {one.path}" for one in ENDPOINTS if not one.acts and one.method != "GET"} == READING
    assert state(admin) == before


READING = {"POST /api/rules/check", "POST /api/rules/test"}
"""What takes a body and changes nothing."""


def test_a_cookie_set_over_https_has_the_secure_attribute(browser: Browser) -> None:
    headers = {"Host": HOST, "Origin": ORIGIN.replace("http:", "https:"), "Content-Type": "application/x-www-form-urlencoded"}  # fmt: skip
    sent = browser.admin.client.simulate_request(
        "POST", "/sign-in", body=f"token={TOKEN}", headers=headers, remote_addr="192.0.2.9", protocol="https"
    )

    assert sent.status_code == 303
    assert {"Secure", "HttpOnly", "SameSite=Strict"} <= set(sent.headers["set-cookie"].split("; "))

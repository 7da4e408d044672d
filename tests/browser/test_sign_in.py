"""Signing in requires the link or a token, and actions require the admin token."""

from collections.abc import Callable
from typing import Any

from tests.browser.scene import Scene
from tests.browser.window import Window, control

Open = Callable[..., Window]


def test_the_printed_link_signs_in_once_after_a_click(scene: Scene, open_window: Open) -> None:
    first, second = open_window(token=None), open_window(token=None)

    for window in (first, second):  # opening the link does not use it up
        window.page.goto(scene.link())
        assert "This link signs you in once" in window.main()
    first.press("Enter")  # the button has the focus
    first.page.wait_for_url(scene.url + "/")
    second.press("Enter")

    second.page.wait_for_selector("[role=alert]")
    assert "This link was used before" in second.main()
    assert "Newest events" in first.main()


def test_the_token_signs_in_and_opens_the_requested_page(scene: Scene, open_window: Open) -> None:
    window = open_window(token=None)

    window.go("/events?unmatched=1")
    assert window.focused() == "Admin token"
    window.page.keyboard.type("a-guess")
    window.press("Enter")
    window.page.wait_for_selector("[role=alert]")
    window.page.keyboard.type(scene.token)
    window.press("Enter")

    window.page.wait_for_url(scene.url + "/events?unmatched=1")
    assert window.page.is_checked(control("Unmatched only"))


def test_sign_out_ends_the_session(scene: Scene, open_window: Open) -> None:
    window = open_window()
    window.go("/")
    cookies: Any = window.page.context.cookies()
    assert [(one["httpOnly"], one["sameSite"]) for one in cookies] == [(True, "Strict")]

    window.follow(control("Sign out"))
    assert window.page.url == scene.url + "/sign-in"
    window.page.context.add_cookies(cookies)  # a copy of the cookies
    window.go("/events")

    assert window.page.locator("#token").is_visible()


def test_the_read_only_token_sees_no_controls_and_can_change_nothing(scene: Scene, open_window: Open) -> None:
    dead = scene.settled(scene.invoice())[0]
    window = open_window(token=scene.read_token)

    for path in ("/", f"/events/{dead['event']}", "/deliveries?state=dead", f"/deliveries/{dead['id']}", "/targets"):
        window.go(path)
        window.page.wait_for_selector("text=You are signed in with the read-only token")
        assert window.page.locator("form[method=post]:not([action='/sign-out'])").locator("button").count() == 0, path
    forged = window.page.evaluate(
        """async ids => (await Promise.all(["/deliveries/all/replay", "/targets/pause"].map(path => fetch(path, {
             method: "POST", body: new URLSearchParams({csrf: document.querySelector("[name=csrf]").value, target: "ci", id: ids}),
           })))).map(answer => answer.status)""",
        dead["id"],
    )

    assert forged == [403, 403]
    assert scene.deliveries(event=dead["event"])[0]["state"] == "dead"


def test_an_edited_text_is_kept_when_the_session_has_ended(scene: Scene, open_window: Open) -> None:
    window = open_window()
    window.go("/rules/try")
    edited = "# an hour of work\n" + window.page.input_value("#text")
    window.page.fill("#text", edited)
    window.page.context.clear_cookies()  # like a restart of the daemon

    window.page.click(control("Check and compare"))
    window.page.wait_for_selector("[role=alert]:has-text('nothing was done')")
    window.page.fill("#token", scene.token)
    window.press("Enter")
    window.page.wait_for_url(scene.url + "/rules/try")

    window.page.wait_for_selector("[role=status]:has-text('the text that you sent before')")
    assert window.page.input_value("#text") == edited
    window.page.click(control("Check and compare"))
    window.page.wait_for_selector("#result")
    window.go("/rules/try")  # the draft was shown once, so now the running text is shown
    assert window.page.input_value("#text") == edited.partition("\n")[2]

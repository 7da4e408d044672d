"""The page does its work in a browser that runs no script."""

from collections.abc import Callable

from tests.browser.scene import Scene
from tests.browser.window import Window


def test_an_operator_without_script_finds_repairs_and_holds(scene: Scene, open_window: Callable[..., Window]) -> None:
    unmatched, dead = scene.push(branch="feature/x"), scene.settled(scene.invoice())[0]["id"]
    window = open_window(token=None, java_script_enabled=False)
    page = window.page

    window.go("/events?unmatched=1")
    page.fill("#token", scene.token)
    page.click("text=Sign in")
    page.click(f"a[href='/events/{unmatched}']")
    assert '"refs/heads/feature/x"' in page.inner_text("li.fails:has-text('$.ref')")

    page.fill("#find", dead)
    window.press("Enter")
    page.wait_for_url(f"**/deliveries/{dead}")
    scene.billing.status = 200
    page.click("text=Replay")
    scene.settled(scene.ask("GET", f"/api/deliveries/{dead}")["event"])
    page.reload()
    assert page.locator("main .state.succeeded").count() == 1
    scene.billing.status = 500

    window.go("/targets")
    page.click("button:text('Pause') >> nth=0")
    assert "paused by an operator" in window.main()
    page.click("text=Resume")
    assert "paused by an operator" not in window.main()

    window.go("/try")
    page.select_option("[name=source]", "stripe")
    page.fill("#payload", '{"type": "invoice.paid"}')
    page.click("main button:text('Try')")
    assert "invoices / book → billing" in window.main()

    window.go("/rules/try")
    page.fill("#text", page.input_value("#text").replace("prefix: invoice.", "prefix: 7"))
    page.click("text=Check and compare")
    assert page.locator("#result .problems li").count() == 1

    page.click("text=Sign out")
    assert page.locator("#token").is_visible()

"""The page works in a browser without scripts."""

from collections.abc import Callable
from pathlib import Path

from tests.browser.scene import Scene
from tests.browser.window import Window, control


def test_an_operator_without_scripts_can_find_replay_and_pause(
    scene: Scene, open_window: Callable[..., Window], tmp_path: Path
) -> None:
    unmatched, dead = scene.push(branch="feature/x"), scene.settled(scene.invoice())[0]["id"]
    scene.settled(scene.invoice())
    window = open_window(token=None, java_script_enabled=False)
    page = window.page

    window.go("/")
    page.fill("#token", scene.token)
    window.follow(control("Sign in"))
    window.follow("nav >> " + control("Events"))
    page.check(control("Unmatched only"))
    page.select_option("[name=source]", "github")
    window.follow(control("Show"))
    window.follow(f"a[href='/events/{unmatched}']")
    assert '"refs/heads/feature/x"' in page.inner_text("li.fails:has-text('$.ref')")
    window.follow(control("As it was sent"))
    assert '"ref": "refs/heads/feature/x"' in page.inner_text("main pre")
    with page.expect_download() as body:
        page.click(control("Download"))
    body.value.save_as(tmp_path / "body")
    assert b'"refs/heads/feature/x"' in (tmp_path / "body").read_bytes()
    window.follow(control("Copy as curl or test case"))
    assert "curl -X POST" in page.inner_text("pre >> nth=0")

    page.fill("#find", dead)
    window.press("Enter")
    page.wait_for_url(f"**/deliveries/{dead}")
    scene.billing.status = 200
    window.follow("main >> " + control("Replay"))
    scene.settled(scene.ask("GET", f"/api/deliveries/{dead}")["event"])
    page.reload()
    assert page.locator("main .state.succeeded").count() == 1
    scene.billing.status = 500

    number = len(scene.deliveries(state="dead"))
    window.go("/deliveries")
    page.select_option("[name=state]", "dead")
    window.follow(control("Show"))
    window.follow(control("Cancel all that match …"))
    window.follow(f"main button:has-text('Cancel {number} deliver')")
    page.wait_for_selector(f"[role=status]:has-text('{number} cancelled')")
    assert scene.deliveries(state="dead") == []

    window.go("/targets")
    window.follow(control("Pause") + " >> nth=0")
    assert "paused by an operator" in window.main()
    window.follow(control("Resume"))
    assert "paused by an operator" not in window.main()

    window.go("/try")
    page.select_option("[name=source]", "stripe")
    page.fill("#payload", '{"type": "invoice.paid"}')
    window.follow("main >> " + control("Try"))
    assert "invoices / book → billing" in window.main()

    window.go("/rules/try")
    page.fill("#text", page.input_value("#text").replace("prefix: invoice.", "prefix: 7"))
    window.follow(control("Check and compare"))
    assert page.locator("#result .problems li").count() == 1
    with page.expect_download() as rules:
        page.click(control("Download the text"))
    rules.value.save_as(tmp_path / "rules.yaml")
    assert "prefix: 7" in (tmp_path / "rules.yaml").read_text()

    window.follow(control("Sign out"))
    assert page.locator("#token").is_visible()

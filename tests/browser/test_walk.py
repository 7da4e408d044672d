"""An operator's tasks on the page: find unmatched events, change a rule, replay dead deliveries, pause a target."""

import re
from pathlib import Path

from tests.browser.scene import Scene
from tests.browser.window import Window, control

PREFIX = "$.ref: {prefix: refs/heads/}"


def test_the_unmatched_event_is_found_with_its_reason(scene: Scene, window: Window) -> None:
    scene.push()
    event = scene.push(branch="feature/search")
    page = window.page

    window.go("/")
    window.follow("nav >> " + control("Events"))
    page.check(control("Unmatched only"))
    window.follow(control("Show"))
    window.follow("main tbody a >> nth=0")

    assert page.url == f"{scene.url}/events/{event}"
    assert "No rule matched it" in window.main()
    missed = page.inner_text("li.fails:has-text('$.ref')")
    assert "refs/heads/main" in missed and '"refs/heads/feature/search"' in missed


def test_a_changed_rule_is_tried_before_it_is_saved(scene: Scene, window: Window, tmp_path: Path) -> None:
    event = scene.push(branch="feature/filters")
    running = scene.rules.read_text()
    page = window.page

    window.go("/rules")
    window.follow(control("Try a change"))
    page.fill("#text", page.input_value("#text").replace("$.ref: refs/heads/main", "$.ref: {prefix: 7}"))
    window.follow(control("Check and compare"))
    page.click("#result a[data-line]")
    assert "7" in page.evaluate("() => getSelection().toString()")  # the problem is selected in the text

    page.fill("#text", page.input_value("#text").replace("$.ref: {prefix: 7}", PREFIX))
    window.follow(control("Check and compare"))
    assert "It loads, without a warning" in window.main()
    assert page.locator(f"#result a[href='/events/{event}']").count() > 0  # deliveries that the change would add

    with page.expect_download() as download:
        page.click(control("Download the text"))
    download.value.save_as(tmp_path / "changed.yaml")
    assert (tmp_path / "changed.yaml").read_text() == running.replace("$.ref: refs/heads/main", PREFIX)
    assert scene.rules.read_text() == running


def test_a_dead_delivery_can_be_replayed_after_its_target_was_repaired(scene: Scene, window: Window) -> None:
    dead = scene.settled(scene.invoice())[0]["id"]
    page = window.page

    window.go("/")
    window.follow("main >> " + control("Look"))
    window.follow(f"a[href='/deliveries/{dead}']")
    window.follow("main >> " + control("Replay"))
    page.wait_for_selector("text=Attempt 2: ")
    page.wait_for_selector("main .state.dead")

    scene.billing.status = 200
    window.follow("main >> " + control("Replay"))
    page.wait_for_selector("text=Attempt 3: succeeded")  # the view refreshes itself
    page.wait_for_selector("main .state.succeeded")
    scene.billing.status = 500


def test_a_paused_target_gets_no_requests_until_it_is_resumed(scene: Scene, window: Window) -> None:
    page = window.page
    row = page.locator("tr", has=page.get_by_role("link", name="ci", exact=True))

    window.go("/targets")
    row.locator("[name=for]").fill("2h")
    row.get_by_role("button", name="Pause").click()
    row.get_by_text("paused by an operator").wait_for()
    event = scene.push()
    held = scene.deliveries(event=event, target="ci")[0]["id"]
    window.go(f"/deliveries/{held}")
    page.wait_for_selector("text=paused")
    assert event not in scene.ci.ids()

    window.go("/targets")
    with page.expect_navigation():
        row.get_by_role("button", name="Resume").click()
    window.go(f"/deliveries/{held}")
    page.wait_for_selector("main .state.succeeded")
    assert event in scene.ci.ids()


def test_all_matching_deliveries_are_replayed_after_their_number_was_confirmed(scene: Scene, window: Window) -> None:
    for _ in range(3):
        scene.settled(scene.invoice())
    number = len(scene.deliveries(state="dead", target="billing"))
    scene.billing.status = 200
    page = window.page

    window.go("/deliveries")
    page.select_option("[name=state]", "dead")
    page.fill("[name=target]", "billing")
    window.follow(control("Show"))
    window.follow(control("Replay all that match …"))
    assert f"Replay {number} deliveries?" in window.main()
    window.press("Enter")  # the button has the focus

    page.wait_for_selector(f"[role=status]:has-text('{number} replayed')")
    window.follow(control("Show all"))
    page.wait_for_selector("main .state.dead", state="detached")
    assert scene.deliveries(state="dead") == []
    scene.billing.status = 500


def test_every_state_of_the_page_has_its_address(scene: Scene, window: Window) -> None:
    event, dead = scene.push(), scene.settled(scene.invoice())[0]["id"]
    scene.settled(event)
    page = window.page
    for start, *clicks in (
        ("/", "7d"),
        ("/", "The numbers as a table"),
        ("/events", "Unmatched only", "Show"),
        (f"/events/{event}", "As it was sent"),
        (f"/events/{event}", "The rules that routed it"),
        (f"/events/{event}", ".tree summary >> nth=0"),
        ("/deliveries?state=dead", "Replay all that match …"),
        ("/events?source=github", "Plan all that match again …"),
        (f"/deliveries/{dead}", "Cancel"),
    ):
        window.go(start)
        for click in clicks:
            if "summary" in click:
                page.click(f"main >> {click}")
            elif click in ("The numbers as a table", "Unmatched only"):
                page.click("main >> " + control(click))
            else:
                window.follow("main >> " + control(click))
        page.wait_for_function("at => location.pathname + location.search + location.hash !== at", arg=start)
        address, shown = page.url, seen(window)

        window.go("/try")
        page.goto(address)

        assert seen(window) == shown, f"{start} {clicks}"


def seen(window: Window) -> str:
    """The text of the view without ages, which differ."""
    return re.sub(r"\d+(ms|s|m)\b", "", window.main())

"""Every view of the page and how to open it: with and without events, after actions and refusals, and signed out."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from router.admin.page.exchange import HEADERS
from router.admin.page.render import render
from router.admin.page.sessions import Session
from router.admin.page.views.nodes import living_first
from router.store.fleet import ROLES, NodeFacts, NodeState
from tests.browser.scene import Scene
from tests.browser.window import Window, control


@dataclass(frozen=True)
class Shown:
    """A view, opened in one way."""

    name: str
    open: Callable[[Window], None]


def at(name: str, address: str) -> Shown:
    """The view at an address."""
    return Shown(name, lambda window: window.go(address))


def clicked(name: str, address: str, button: str) -> Shown:
    """The view after a click on the page at an address."""

    def act(window: Window) -> None:
        window.go(address)
        window.follow(f"main >> {button}")

    return Shown(name, act)


def submitted(name: str, address: str, fields: Mapping[str, str], *, shown_at: str = "/try") -> Shown:
    """The answer to a form, which is sent from a page that needs no store."""

    def act(window: Window) -> None:
        window.go(shown_at)
        window.submit(address, fields)

    return Shown(name, act)


def full(scene: Scene) -> Iterator[Shown]:
    """The views of a shop after a day."""
    dead, waiting = scene.deliveries(state="dead")[0], scene.deliveries(target="billing", state="pending")[0]
    deployed, held = scene.deliveries(rule="deploy-main")[0], scene.deliveries(target="search", state="pending")[0]
    unmatched = scene.ask("GET", "/api/events?unmatched=true&limit=1")["items"][0]["id"]
    yield at("overview", "/")
    yield Shown("overview-numbers", _numbers)
    yield Shown("keys", _keys)
    yield at("events", "/events?since=30m")
    yield at("events-unmatched", "/events?unmatched=1&since=1h")
    yield at("events-none", "/events?rule=none")
    yield at("event", f"/events/{deployed['event']}")
    yield at("event-unmatched", f"/events/{unmatched}?rules=then&body=text")
    yield at("event-gone", "/events/none")
    yield at("copies", f"/events/{deployed['event']}/copy")
    yield at("nothing-found", "/find?id=none")
    yield at("reroute", "/events/all/reroute?unmatched=1&since=1h")
    yield clicked("reroute-done", "/events/all/reroute?unmatched=1&since=1h", "button")
    yield clicked("event-planned-again", f"/events/{unmatched}", control("Plan again"))
    yield at("deliveries", "/deliveries?since=30m")
    yield at("deliveries-none", "/deliveries?target=none")
    yield at("delivery-dead", f"/deliveries/{dead['id']}")
    yield at("delivery-waits", f"/deliveries/{waiting['id']}")
    yield at("delivery-held", f"/deliveries/{held['id']}")
    yield at("confirm", "/deliveries/all/replay/confirm?state=dead")
    yield clicked("confirm-cancel", f"/deliveries?event={held['event']}", control("Cancel all that match …"))
    yield clicked("deliveries-done", f"/deliveries/all/cancel/confirm?event={held['event']}", "button")
    yield submitted("refused", "/deliveries/all/replay", {"query": "state=dead", "number": "999"})
    yield at("targets", "/targets")
    yield submitted("target-paused", "/targets/pause", {"target": "ci", "for": "2h"})
    yield submitted("target-resumed", "/targets/resume", {"target": "ci"})
    yield at("nodes", "/nodes")
    yield Shown("nodes-of-a-fleet", lambda window: show_fleet(window, "node-1"))
    yield at("rules", "/rules")
    yield Shown("change", _changed("$.data.amount: {gte: 1}", "$.data.amount: {gte: 50}"))
    yield Shown("change-wrong", _changed("$.data.amount: {gte: 1}", "$.data.amount: {more: 50}"))
    yield at("try", "/try")
    yield submitted(
        "tried", "/try", {"source": "stripe", "payload": '{"type": "invoice.paid", "data": {"amount": 31}}'}
    )
    yield submitted("tried-wrong", "/try", {"source": "stripe", "payload": "{"})
    yield at("mistyped", "/evnts")
    yield at("not-that-way", "/targets/pause")
    yield submitted("not-ours", "/targets/pause", {"csrf": "another", "target": "ci"})


def empty() -> Iterator[Shown]:
    """The views without events."""
    for path in ("", "events", "deliveries", "targets", "nodes", "rules", "try"):
        yield at(f"empty-{path or 'overview'}", f"/{path}")
    yield Shown("empty-change", _changed("gte: 1", "gte: 2"))
    yield at("empty-reroute", "/events/all/reroute?unmatched=1")
    yield at("empty-confirm", "/deliveries/all/replay/confirm?state=dead")


def read_only(scene: Scene) -> Iterator[Shown]:
    """The views of the read-only token."""
    dead = scene.deliveries(state="dead")[0]
    for name, path in (
        ("overview", "/"), ("event", f"/events/{dead['event']}"), ("deliveries", "/deliveries?state=dead&since=2h"),
        ("delivery", f"/deliveries/{dead['id']}"), ("targets", "/targets"),
    ):  # fmt: skip
        yield at(f"read-only-{name}", path)
    yield submitted("read-only-refused", "/targets/pause", {"target": "ci"})


def signed_out() -> Iterator[Shown]:
    """The views before signing in."""
    yield at("sign-in", "/sign-in")
    yield at("sign-in-link", "/sign-in?code=a-code")
    yield submitted("sign-in-link-used", "/sign-in", {"code": "a-code"}, shown_at="/sign-in")
    yield submitted("sign-in-wrong", "/sign-in", {"token": "a-guess"}, shown_at="/sign-in")
    yield submitted("session-ended", "/targets/pause", {"target": "ci"}, shown_at="/sign-in")


def show_fleet(window: Window, name: str) -> None:
    """Show the view of nodes with several nodes. The daemon of these tests has one, so the view is rendered here."""
    now = time.time_ns() // 1_000_000
    facts = NodeFacts(name, name, 4711, "0.1.0", ROLES, ())
    living = NodeState(2, facts, "1f" * 32, now - 90_000, now - 2_000, now + 13_000, lives=True)
    others = replace(living, rules="2e" * 32), replace(living, id=1, lives=False, renewed_at=now - 86_400_000)
    text = render(
        "nodes.html", session=Session("secret", may_act=True, ends_at=0), here="/", nodes=living_first([living, *others], now),
        hash=living.rules, now=now, lease=15,
    )  # fmt: skip
    headers = {"Content-Type": "text/html; charset=utf-8", **dict(HEADERS)}
    window.page.route(f"{window.url}/nodes", lambda route: route.fulfill(body=text, headers=headers))
    window.go("/nodes")
    window.page.unroute(f"{window.url}/nodes")


def _numbers(window: Window) -> None:
    window.go("/?span=1h")
    window.page.click(control("The numbers as a table"))


def _keys(window: Window) -> None:
    window.go("/try")
    window.press("?")
    window.page.wait_for_selector("dialog[open]")


def _changed(old: str, new: str) -> Callable[[Window], None]:
    def act(window: Window) -> None:
        window.go("/rules/try")
        text: Any = window.page.input_value("#text")
        window.page.fill("#text", text.replace(old, new))
        window.follow(control("Check and compare"))

    return act

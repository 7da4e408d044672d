"""A page of another site can neither act on the daemon nor read its page in a signed-in browser."""

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.browser.scene import Scene
from tests.browser.window import Window

Open = Callable[..., Window]


@pytest.fixture
def other_site() -> Iterator[Callable[[str], int]]:
    """Return a function that serves a page on another port. For a browser that is the same site, the harder case."""
    servers: list[ThreadingHTTPServer] = []

    def serve(content: str) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.end_headers()
                self.wfile.write(content.encode())

            def log_message(self, *_: object) -> None:
                """Keep quiet."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,)).start()
        port: int = server.server_address[1]
        return port

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_link_from_another_site_leads_to_the_sign_in_page(
    scene: Scene, open_window: Open, other_site: Callable[[str], int], host: str
) -> None:
    port = other_site(f"<a href='{scene.url}/events?unmatched=1'>look</a>")
    window = open_window(others=f"http://{host}:{port}/")

    window.page.goto(f"http://{host}:{port}/")
    window.page.click("a")
    window.page.wait_for_url(f"{scene.url}/**")
    window.page.locator("#token").wait_for()

    window.go("/events?unmatched=1")  # the session is still valid for a typed address
    assert window.page.locator("#token").count() == 0


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_form_of_another_site_changes_nothing(
    scene: Scene, open_window: Open, other_site: Callable[[str], int], host: str
) -> None:
    dead = scene.deliveries(state="dead") or scene.settled(scene.invoice())
    window = open_window()
    for action, fields in (
        ("/deliveries/all/replay", {"query": "state=dead", "number": "1"}),
        ("/targets/pause", {"target": "ci"}),
        ("/events/all/reroute", {"query": "source=stripe", "number": "1"}),
        ("/sign-out", {}),
    ):
        inputs = "".join(f"<input name='{name}' value='{value}'>" for name, value in fields.items())
        form = (
            f"<form method=post action='{scene.url}{action}'>{inputs}</form><script>document.forms[0].submit()</script>"
        )
        window.others = f"http://{host}:{other_site(form)}/"

        window.page.goto(window.others, wait_until="commit")
        window.page.wait_for_url(f"{scene.url}/**")
        window.page.locator("#token").wait_for()

    window.go("/targets")
    assert "paused" not in window.main()
    assert scene.deliveries(state="dead") == dead


def test_no_site_can_show_the_page_in_a_frame(
    scene: Scene, open_window: Open, other_site: Callable[[str], int]
) -> None:
    port = other_site(f"<iframe src='{scene.url}/events'></iframe>")
    window = open_window(others=f"http://127.0.0.1:{port}/")

    window.page.goto(f"http://127.0.0.1:{port}/")

    assert window.page.frames[1].locator("body").inner_text().find("Events") == -1
    assert any("frame-ancestors" in trouble for trouble in window.troubles)
    window.troubles.clear()

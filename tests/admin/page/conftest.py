"""A simple browser: it keeps cookies, follows redirects and submits forms."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import falcon.testing
import pytest

from tests.admin.conftest import TOKEN, Admin

HOST = "127.0.0.1:8081"
ORIGIN = f"http://{HOST}"


@dataclass
class Form:
    """A form of a page, with the values of its fields."""

    action: str
    fields: dict[str, str] = field(default_factory=dict)


class _Forms(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[Form] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.found.append(Form(given.get("action", "")))
        elif tag == "input" and self.found and given.get("name") and given.get("type") != "checkbox":
            self.found[-1].fields[given["name"]] = given.get("value", "")


@dataclass
class Browser:
    """Sends the requests that a browser sends."""

    admin: Admin
    cookies: dict[str, str] = field(default_factory=dict)
    status: int = 0
    text: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def go(self, address: str, **more: str) -> str:
        """Open an address. Return the page."""
        return self.send("GET", address, None, more)

    def send(self, method: str, address: str, form: Mapping[str, Any] | None, more: Mapping[str, str | None]) -> str:
        """Send a request and return the page. `more` replaces headers of the browser; None omits one."""
        path, _, query = address.partition("#")[0].partition("?")
        given = {"Host": HOST, **({"Origin": ORIGIN} if method == "POST" else {}), **more}
        sent = {name: value for name, value in given.items() if value is not None}
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        body = None
        if form is not None:
            body = urlencode(form, doseq=True)
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        found: falcon.testing.Result = self.admin.client.simulate_request(
            method, path, query_string=query, body=body, headers=sent, remote_addr="127.0.0.1"
        )
        for name, cookie in found.cookies.items():
            self.cookies[name] = cookie.value
        self.status, self.text, self.headers = found.status_code, found.text, found.headers
        if self.status == 303:
            return self.go(found.headers["location"])
        return self.text

    def post(self, address: str, **more: str) -> str:
        """Submit the page's form with this action and further fields."""
        form = self.form(address)
        return self.send("POST", address, {**form.fields, **more}, {})

    def form(self, action: str) -> Form:
        """The first form of the page with this action."""
        parser = _Forms()
        parser.feed(self.text)
        return next(form for form in parser.found if form.action == action)

    def sign_in(self, token: str = TOKEN, address: str = "/") -> "Browser":
        """Open an address, and sign in to get there."""
        self.go(address)
        self.post("/sign-in", token=token)
        return self


@pytest.fixture
def browser(admin: Admin) -> Iterator[Browser]:
    """A browser that is not signed in."""
    yield Browser(admin)

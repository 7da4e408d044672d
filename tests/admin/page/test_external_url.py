"""Behind a proxy that terminates TLS the page works at its external address, and refuses other origins."""

from collections.abc import Mapping
from typing import Any

import falcon.testing
import pytest

from router.admin.app import admin_app
from router.admin.listener import access_check
from router.admin.page.site import Site
from router.domain.errors import StartError
from router.domain.external_url import parse_external_url
from router.domain.listen_address import ListenAddress
from tests.admin.conftest import TOKEN, Admin
from tests.admin.page.conftest import Browser

EXTERNAL = "https://router.example.net"
LOOPBACK = ListenAddress("127.0.0.1", 8081)


class Behind(Browser):
    """A browser that reaches the page through a proxy."""

    host = "router.example.net"  #: the Host header that the proxy sends
    origin = EXTERNAL

    def send(self, method: str, address: str, form: Mapping[str, Any] | None, more: Mapping[str, str | None]) -> str:
        origin = {"Origin": self.origin} if method == "POST" else {}
        return super().send(method, address, form, {"Host": self.host, **origin, **more})


def open_behind(admin: Admin, url: str = EXTERNAL, address: ListenAddress = LOOPBACK) -> None:
    """Start the application with --admin-url."""
    access = access_check(address, TOKEN.encode(), None, (), parse_external_url(url))
    admin.client = falcon.testing.TestClient(admin_app(admin.daemon, access, Site(admin.daemon, access)))


@pytest.fixture
def behind(admin: Admin) -> Behind:
    """A browser that uses a proxy."""
    open_behind(admin)
    return Behind(admin)


@pytest.mark.parametrize("host", ["router.example.net", "Router.Example.NET", "127.0.0.1:8081"])
def test_sign_in_and_actions_work_through_the_proxy(admin: Admin, behind: Behind, host: str) -> None:
    behind.host = host  # by default nginx sends its own name for the daemon

    behind.sign_in(address="/targets")
    behind.post("/targets/pause", target="ci")

    assert "paused" in behind.text
    assert admin.store.holds()


def test_the_cookie_has_the_secure_attribute(behind: Behind) -> None:
    behind.go("/")
    found = behind.admin.client.simulate_post(
        "/sign-in", body=f"token={TOKEN}",
        headers={"Host": behind.host, "Origin": EXTERNAL, "Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip

    assert found.status_code == 303
    assert found.headers["set-cookie"].endswith("; Secure")


def test_sign_in_works_through_a_proxy_on_another_machine(admin: Admin, behind: Behind) -> None:
    found = behind.admin.client.simulate_post(
        "/sign-in", body=f"token={TOKEN}", remote_addr="192.0.2.7",
        headers={"Host": behind.host, "Origin": EXTERNAL, "Content-Type": "application/x-www-form-urlencoded"},
    )  # fmt: skip

    assert found.status_code == 303


@pytest.mark.parametrize(
    "origin",
    ["https://evil.example", "http://router.example.net", "https://router.example.net:8443", "https://router.example.net.evil.example", "null", ""],
)  # fmt: skip
@pytest.mark.parametrize("host", ["router.example.net", "127.0.0.1:8081"])
def test_requests_of_other_origins_can_not_sign_in_or_act(admin: Admin, behind: Behind, origin: str, host: str) -> None:
    behind.host = host
    behind.sign_in(address="/targets")
    form, cookies = behind.form("/targets/pause"), dict(behind.cookies)
    behind.origin = origin

    behind.send("POST", "/targets/pause", {**form.fields, "target": "ci"}, {})

    assert behind.status in (401, 403)
    assert not admin.store.holds()
    behind.cookies = {}
    behind.send("POST", "/sign-in", {"token": TOKEN, "to": "/"}, {})
    assert not behind.cookies
    assert cookies


def test_a_link_from_another_site_leads_to_the_sign_in_page(behind: Behind) -> None:
    behind.sign_in()

    assert "Admin token" in behind.go("/", **{"Sec-Fetch-Site": "cross-site"})


def test_other_hosts_are_refused(admin: Admin, behind: Behind) -> None:
    behind.host = "other.example.net"

    behind.go("/")

    assert behind.status == 421


def test_the_listeners_own_address_still_works(admin: Admin, behind: Behind) -> None:
    direct = Browser(admin).sign_in(address="/targets")

    direct.post("/targets/pause", target="ci")

    assert admin.store.holds()


def test_every_path_needs_the_token_behind_a_proxy(admin: Admin, behind: Behind) -> None:
    for path in ("/metrics", "/-/ready", "/-/healthy"):
        assert admin.client.simulate_get(path, headers={"Host": "127.0.0.1:8081"}).status_code == 401
        with_token = {"Host": "127.0.0.1:8081", "Authorization": f"Bearer {TOKEN}"}
        assert admin.client.simulate_get(path, headers=with_token).status_code == 200


@pytest.mark.parametrize(
    ("text", "origin", "host"),
    [
        ("https://router.example.net", "https://router.example.net", "router.example.net"),
        ("https://Router.example.net:443/", "https://router.example.net", "router.example.net"),
        (" https://router:8443 ", "https://router:8443", "router:8443"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443", "[2001:db8::1]:8443"),
        ("https://[2001:DB8:0:0::01]", "https://[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_the_external_address_is_normalized_like_in_a_browser(text: str, origin: str, host: str) -> None:
    found = parse_external_url(text)

    assert (found.origin, found.host) == (origin, host)


def test_the_error_for_a_non_ascii_host_name_suggests_its_ascii_form() -> None:
    with pytest.raises(StartError, match=r"write the name as it travels, such as https://xn--mnchen-3ya\.example"):
        parse_external_url("https://bücher.example")


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("router.example.net", "must begin with https://"),
        ("http://router.example.net", "must begin with https://"),
        ("https://router.example.net/hooks", "takes no path"),
        ("https://router.example.net?a=1", "takes no path"),
        ("https://me:secret@router.example.net", "takes no user"),
        ("https://", "has no host name"),
        ("https://router example", "has no host name"),
        ("https://router.example.net:0", "has no host name"),
        ("https://router.example.net:99999", "is no address"),
        ("https://[::1", "is no address"),
    ],
)
def test_the_error_for_an_invalid_external_address_names_the_cure(text: str, problem: str) -> None:
    with pytest.raises(StartError, match=problem) as raised:
        parse_external_url(text)

    assert "such as https://router.example.net" in str(raised.value)
    assert "secret" not in str(raised.value)

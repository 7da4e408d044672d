"""What a payload fills into a URL stays in its place."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.actions.client import refused
from router.actions.url import check_target_url, compile_url
from router.errors import RenderError, TemplateError
from router.secrets import Secret
from router.templates import Context

SECRETS = {"chat": "https://chat.example/T0/x"}


def _render(text: str, value: str = "v", hosts: tuple[str, ...] = ()) -> str:
    url = compile_url(text, secrets=SECRETS, allow_hosts=hosts)
    return url.render(Context({"payload": {"v": value}, "secrets": SECRETS}))


@pytest.mark.parametrize(
    ("text", "value", "result"),
    [
        ("http://h:9/a", "", "http://h:9/a"),
        ("http://h/a/{{ payload.v }}/b", "x/y z", "http://h/a/x%2Fy%20z/b"),
        ("http://h/a?q={{ payload.v }}", "a&b=c#d", "http://h/a?q=a%26b%3Dc%23d"),
        ("{{ secrets.chat }}", "", "https://chat.example/T0/x"),
        ("{{ secrets['chat'] }}/more/{{ payload.v }}", "é", "https://chat.example/T0/x/more/%C3%A9"),
        ("http://[::1]:9/{{ payload.v }}", "x", "http://[::1]:9/x"),
    ],
)
def test_a_url_renders(text: str, value: str, result: str) -> None:
    assert _render(text, value) == result


@given(value=st.text(max_size=30))
def test_no_text_changes_host_port_or_the_rest_of_the_path(value: str) -> None:
    try:
        url = _render("http://host:9000/a/{{ payload.v }}/z?k={{ payload.v }}&l=1", value)
    except RenderError:
        return
    parts = urlsplit(url)
    assert (parts.scheme, parts.netloc) == ("http", "host:9000")
    assert len(parts.path.split("/")) == 4
    assert parts.path.endswith("/z")
    assert parts.query.endswith("&l=1")
    assert parts.query.count("&") == 1
    assert not parts.fragment
    assert url.isascii()
    assert url.isprintable()


@pytest.mark.parametrize("value", [".", ".."])
def test_a_segment_that_would_climb_fails(value: str) -> None:
    with pytest.raises(RenderError, match="would be"):
        _render("http://h/a/{{ payload.v }}", value)
    with pytest.raises(RenderError, match="would be"):
        _render("http://h/a/.{{ payload.v }}", ".")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("ftp://h/", "expected http:// or https://"),
        ("h:9000/a", "expected http:// or https://"),
        ("http:///a", "not valid"),
        ("http://h:99999/", "not valid"),
        ("http://user:pw@h/", "secret in the file"),
        ("http://{{ payload.v }}/a", "must not pick the host"),
        ("http://h{{ payload.v }}/a", "must not pick the host"),
        ("http://h:{{ payload.v }}/a", "must not pick the host"),
        ("{{ payload.v }}", "must not pick the host"),
        ("{{ secrets.none }}", "undefined secret"),
        ("{{ secrets.chat }}.evil.example", "only a path"),
        ("http://h/a b", "percent-encode"),
        ("http://h/ä", "percent-encode"),
        ("http://h/a/../b", "segments"),
        ("http://h/a/%2e%2e/b", "segments"),
        ("http://h/a#b", "fragment"),
        ("http://h/{{ payload.v", "not a template"),
    ],
)
def test_a_wrong_url_is_refused_when_the_rules_load(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_url(text, secrets=SECRETS)

    assert message in str(caught.value)


def test_listed_hosts_may_be_named_by_a_payload_and_no_others() -> None:
    text, hosts = "http://{{ payload.v }}/a", ("*.internal.example",)

    assert _render(text, "b.internal.example", hosts) == "http://b.internal.example/a"
    for value in ("evil.example", "evil.example/.internal.example", "evil.example#.internal.example", "x@evil", "a:80"):
        with pytest.raises(RenderError):
            _render(text, value, hosts)


def test_a_secret_may_hold_user_and_password() -> None:
    url = compile_url("{{ secrets.chat }}/x", secrets=SECRETS)

    assert url.render(Context({"secrets": {"chat": "https://ann:pw@h:9/"}})) == "https://ann:pw@h:9/x"
    assert url.place == "<secret:chat>"


def test_a_secret_that_is_no_url_is_not_shown() -> None:
    url = compile_url("{{ secrets.chat }}", secrets=SECRETS)

    for value in ("hush", "ftp://hush", "http://a b/hush", "http://ü/hush", "http://a/hush\r\nX: y", "http://a/hu sh"):
        with pytest.raises(RenderError) as caught:
            url.render(Context({"secrets": {"chat": value}}))
        assert "hush" not in str(caught.value)
    assert url.place == "<secret:chat>"


def test_a_targets_url_is_literal_or_a_whole_secret() -> None:
    secrets = {"chat": Secret("chat", "x")}

    assert check_target_url("http://127.0.0.1:9000/base", secrets) == []
    assert check_target_url("{{ secrets.chat }}", secrets) == []
    assert "path:" in check_target_url("http://h/{{ payload.v }}", secrets)[0]
    assert "query" in check_target_url("http://h/?a=1", secrets)[0]
    assert check_target_url("nonsense", secrets)


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("169.254.169.254", True),
        ("::ffff:169.254.169.254", True),
        ("64:ff9b::a9fe:a9fe", True),
        ("fe80::1%eth0", True),
        ("fd00:ec2::254", True),
        ("fd00:ec2::23", True),
        ("fd20:ce::254", True),
        ("::169.254.169.254", True),
        ("::ffff:0:169.254.169.254", True),
        ("64:ff9b:1::a9fe:a9fe", True),
        ("2002:a9fe:a9fe::1", True),
        ("2001:0:a9fe:a9fe::1", True),
        ("2001:db8::5efe:169.254.169.254", True),
        ("fe80::1%3", True),
        ("168.63.129.16", True),
        ("100.100.100.200", True),
        ("0.0.0.0", False),
        ("2002:0a00:1::1", False),
        ("2001:db8::a9fe:a9fe", False),
        ("127.0.0.1", False),
        ("::1", False),
        ("10.0.0.1", False),
        ("::ffff:10.0.0.1", False),
        ("fd00::1", False),
    ],
)
def test_metadata_and_link_local_addresses_are_refused(address: str, expected: bool) -> None:
    assert refused(address) is expected

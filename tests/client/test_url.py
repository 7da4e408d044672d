"""Text of a payload can't leave its place in a URL."""

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.client.refused_addresses import refused
from router.client.url import check_target_url, compile_url
from router.domain.errors import RenderError, TemplateError
from router.domain.secrets import Secret
from router.templates import Context
from tests.cases import each

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
        ("http://h/a/..;/b", "", "http://h/a/..;/b"),  # text of the rules file, without a template in this segment
        ("http://h/{{ payload.v }}?q=/..;/{{ payload.v }}/%252e", "x", "http://h/x?q=/..;/x/%252e"),
    ],
)
def test_a_url_template_renders(text: str, value: str, result: str) -> None:
    assert _render(text, value) == result


@given(value=st.text(max_size=30))
def test_payload_text_cannot_change_host_port_or_path(value: str) -> None:
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


CLIMBS = [
    *(
        "..",
        ".",
        "../admin",
        "..\\admin",
        "..%5C",
        "..%2f",
        "a/../b",
        "a/./b",
        "a/..",
        "%2e",
        "%252e",
        "%2e%2e%2fadmin",
    ),
    *(
        ".%2e",
        "%2E.",
        "%252e%252e%252fadmin",
        "%%32%65%%32%65",
        "..;",
        "..;x=y",
        ".;",
        "..%3bx",
        "%2e%2e%253b",
        "..?",
        "a/..#b",
    ),
    *(
        "%c0%ae%c0%ae",
        "%c0%ae.",
        "%e0%80%ae%e0%80%ae/",
        "%f0%80%80%ae",
        "%c0%2e",
        "..%c0%af",
        "..%c1%9c",
        "%u002e%u002e",
    ),
    *("\uff0e\uff0e", "\u2025", "\ufe52", "\u3002", "..\uff0fx", "..\u2215x", "..\uff3cx", "%EF%BC%8E", "%uff0e"),
    *("..\u200b", ".. ", " ..", "\u00a0..", "..%20", "\uff05\uff12\uff45"),
]


@pytest.mark.parametrize("value", CLIMBS)
@pytest.mark.parametrize(
    "text",
    [
        "http://h/a/{{ payload.v }}",
        "http://h/a/{{ payload.v }}/b",
        "http://h/{{ payload.v }}?q=1",
        "{{ secrets.chat }}/{{ payload.v }}/b",
    ],
)
def test_a_segment_that_decodes_to_dots_fails(text: str, value: str) -> None:
    with pytest.raises(RenderError) as caught:
        _render(text, value)

    assert str(caught.value) == "payload.v could leave its place in the URL's path: it holds a . or .. segment"


@pytest.mark.parametrize(
    "value", ["a\0b", "..\0", "a\nb", "a\tb", "\x7f", "%00", "%2500", "a%0d%0aX: y", "%c0%80", "\x85"]
)
def test_a_control_character_in_a_path_fails(value: str) -> None:
    with pytest.raises(RenderError, match=r"payload\.v could leave .* (control character|segment)"):
        _render("http://h/a/{{ payload.v }}", value)


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("feature/x.y", "feature%2Fx.y"),
        ("v1.2", "v1.2"),
        ("main...dev", "main...dev"),
        (".git", ".git"),
        ("..a", "..a"),
        ("a;b=..c", "a%3Bb%3D..c"),
        ("100%", "100%25"),
        ("日本", "%E6%97%A5%E6%9C%AC"),
        ("caf%e9", "caf%25e9"),
        ("", ""),
    ],
)
def test_a_value_that_stays_in_its_segment_is_sent(value: str, written: str) -> None:
    assert _render("http://h/a/{{ payload.v }}/b", value) == f"http://h/a/{written}/b"


@each("value", CLIMBS)
def test_a_query_may_have_values_that_a_path_may_not(value: str) -> None:
    assert _render("http://h/a?q={{ payload.v }}", value).startswith("http://h/a?q=")


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("http://h/{{ payload.a }}{{ payload.b }}", "payload.a, payload.b"),
        ("http://h/.{{ payload.a }}/x", "payload.a"),
        ("http://h/{{ payload.ok }}/{{ payload.up }}", "payload.up"),
        ("http://h/{{ headers['X-Up'] }}/{{ payload.ok }}?q={{ payload.a }}", "headers['X-Up']"),
        ("http://h/{% for one in payload.list %}{{ one }}{% endfor %}", "payload.list"),
    ],
)
def test_the_error_for_values_that_form_dots_together_hides_them(text: str, names: str) -> None:
    payload = {"a": ".", "b": "%2e", "ok": "main", "up": "secret/../..", "list": [".", "."]}
    values = Context({"payload": payload, "headers": {"X-Up": "..;"}, "secrets": {}})

    with pytest.raises(RenderError) as caught:
        compile_url(text, secrets=()).render(values)

    assert str(caught.value) == f"{names} could leave its place in the URL's path: it holds a . or .. segment"


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
        ("http://h/a/..;/{{ payload.v }}", "beside a template"),
        ("http://h/{{ payload.v }}/%252e", "beside a template"),
        ("http://h/a#b", "fragment"),
        ("http://h/{{ payload.v", "not a template"),
    ],
)
def test_a_wrong_url_is_refused_when_the_rules_load(text: str, message: str) -> None:
    with pytest.raises(TemplateError) as caught:
        compile_url(text, secrets=SECRETS)

    assert message in str(caught.value)


def test_a_payload_may_choose_only_listed_hosts() -> None:
    text, hosts = "http://{{ payload.v }}/a", ("*.internal.example",)

    assert _render(text, "b.internal.example", hosts) == "http://b.internal.example/a"
    for value in ("evil.example", "evil.example/.internal.example", "evil.example#.internal.example", "x@evil", "a:80"):
        with pytest.raises(RenderError):
            _render(text, value, hosts)


def test_a_secret_url_may_have_user_and_password() -> None:
    url = compile_url("{{ secrets.chat }}/x", secrets=SECRETS)

    assert url.render(Context({"secrets": {"chat": "https://ann:pw@h:9/"}})) == "https://ann:pw@h:9/x"
    assert url.place == "<secret:chat>"


def test_the_error_for_a_secret_that_is_not_a_url_hides_it() -> None:
    url = compile_url("{{ secrets.chat }}", secrets=SECRETS)

    for value in ("hush", "ftp://hush", "http://a b/hush", "http://ü/hush", "http://a/hush\r\nX: y", "http://a/hu sh"):
        with pytest.raises(RenderError) as caught:
            url.render(Context({"secrets": {"chat": value}}))
        assert "hush" not in str(caught.value)
    assert url.place == "<secret:chat>"


def test_a_target_url_is_constant_or_one_secret() -> None:
    secrets = {"chat": Secret("chat", "x")}

    assert check_target_url("http://127.0.0.1:9000/base", secrets) == []
    assert check_target_url("{{ secrets.chat }}", secrets) == []
    assert "path:" in check_target_url("http://h/{{ payload.v }}", secrets)[0]
    assert "query" in check_target_url("http://h/?a=1", secrets)[0]
    assert check_target_url("nonsense", secrets)


@each(
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

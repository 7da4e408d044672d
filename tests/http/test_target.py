"""A path has one accepted spelling, on every server."""

from collections.abc import Callable
from typing import Any

import pytest

from router.http.target import read_target
from tests.cases import each
from tests.http.talking import Recorder, get, status, talk

Serve = Callable[..., Any]

OTHER_FORMS = [
    "//hooks/open",
    "/hooks//open",
    "/hooks/open//",
    "/./hooks/open",
    "/hooks/../hooks/open",
    "/hooks/open/..",
    "/hooks/open/.",
    "/hooks/%2e%2e/hooks/open",
    "/hooks/%2E/open",
    "/h%6foks/open",
    "/hooks/%6Fpen",
    "/hooks%2Fopen",
    "/hooks%2fopen",
    "/%2Fhooks/open",
    "/hooks/a%3Ab",
    "/hooks/a%40b",
    "/hooks/a%2Db",
    "/hooks/a\\b",
    "/hooks/{a}",
    '/hooks/"a"',
    "/hooks/a|b",
    "http://x//hooks/open",
    "http://x/hooks/%6fpen",
]
MALFORMED = [
    "/%",
    "/%6",
    "/%zz",
    "/a%00b",
    "/a%0d%0ab",
    "/a%7f",
    "/%ff",
    "/%c3",
    "/%ed%a0%80",
    "/%c0%af",
    "/a#b",
    "/?a#b",
]
PLAIN = {
    "/hooks/open": "/hooks/open",
    "/hooks/open/": "/hooks/open/",
    "/hooks/a.b/..c/.d": "/hooks/a.b/..c/.d",
    "/hooks/a:b@c!$&'()*+,;=~_-": "/hooks/a:b@c!$&'()*+,;=~_-",
    "/hooks/caf%C3%A9": "/hooks/café",
    "/hooks/caf%c3%a9": "/hooks/café",
    "/hooks/a%20b": "/hooks/a b",
    "/hooks/100%25": "/hooks/100%",
    "/hooks/%7Ba%7D": "/hooks/{a}",
    "/hooks/%5C": "/hooks/\\",
    "http://elsewhere.example/hooks/open": "/hooks/open",
}


@pytest.mark.parametrize("target", OTHER_FORMS)
def test_another_spelling_of_a_path_gets_404(serve: Serve, target: str) -> None:
    seen = Recorder()
    answered: list[tuple[str, int]] = []
    server = serve(seen, answered=lambda path, status: answered.append((path, status)))

    answer = talk(server, get(target), close=False)

    assert status(answer) == 404
    assert b"application/problem+json" in answer
    assert not seen.requests
    assert answered == [("", 404)]


@pytest.mark.parametrize("target", MALFORMED)
def test_an_invalid_target_gets_400(serve: Serve, target: str) -> None:
    seen = Recorder()
    server = serve(seen)

    assert status(talk(server, get(target), close=False)) == 400
    assert not seen.requests


@pytest.mark.parametrize(("target", "path"), PLAIN.items())
def test_a_plain_path_reaches_the_handler_decoded(serve: Serve, target: str, path: str) -> None:
    seen = Recorder()
    server = serve(seen)

    assert status(talk(server, get(target + "?a=%6f//../&b"), close=False)) == 200
    assert [(one.path, one.query) for one in seen.requests] == [(path, "a=%6f//../&b")]


@each("target", [*OTHER_FORMS, *MALFORMED])
def test_two_different_targets_never_give_the_same_path(target: str) -> None:
    found = read_target("GET", target)

    assert found.problem
    assert found.path != "/hooks/open" or found.problem == 404

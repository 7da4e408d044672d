"""A large request is handled by another process, whose reply comes back."""

import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future

import pytest

from router.daemon.processes import large_server
from router.daemon.processes.large_requests import LargeRequests, next_request, queue, read_request
from router.daemon.processes.large_server import LargeServer
from router.domain.reply import Reply
from router.domain.request import Inbound
from router.http.contract import Handler, Pending, Request
from router.http.limits import ANSWER_SECONDS
from tests.conftest import PATIENCE_SECONDS

BODY = bytes(range(256)) * 8192
INBOUND = Inbound("", "PUT", "/hooks/a \u00e9", "q=%20", (("A", "1"), ("a", "\xe9")), BODY, "192.0.2.1", 0)
REPLY = Reply(202, b'{"id": "x"}', None, (("X-A", "\xe9"),))

Judges = Callable[[Handler], LargeRequests]


@pytest.fixture
def judges() -> Iterator[Judges]:
    """Return a function that starts a handler behind the queue of large requests."""
    ends: list[socket.socket] = []
    servers: list[LargeServer] = []

    def start(handler: Handler) -> LargeRequests:
        ends.extend(queue())
        servers.append(LargeServer(handler, ends[-1]))
        servers[-1].start()
        return LargeRequests(ends[-2])

    yield start
    for end in ends[::2]:
        end.close()  # no process can hand over a request any more, so the threads end
    for server in servers:
        server.stop()
    for end in ends[1::2]:
        end.close()


def test_a_request_and_its_reply_arrive_unchanged(judges: Judges) -> None:
    got: list[Request] = []

    def handler(request: Request) -> Reply:
        got.append(request)
        return REPLY

    assert judges(handler).judge(INBOUND) == REPLY
    assert got == [Request("PUT", INBOUND.path, "q=%20", INBOUND.headers, BODY, "192.0.2.1")]


def test_a_reply_that_waits_for_a_commit_comes_back(judges: Judges) -> None:
    waited: list[float] = []

    def reply(seconds: float) -> Reply:
        waited.append(seconds)
        return REPLY

    assert judges(lambda _: Pending(Future(), reply)).judge(INBOUND) == REPLY
    assert 0 < waited[0] <= ANSWER_SECONDS


def test_an_exception_in_the_handler_is_answered_500(judges: Judges) -> None:
    def handler(_: Request) -> Reply:
        raise ValueError

    found = judges(handler).judge(INBOUND)

    assert found is not None
    assert found.status == 500


def test_a_request_that_waited_too_long_is_not_handled(judges: Judges, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(large_server, "ANSWER_SECONDS", 0)
    judged: list[Request] = []

    def handler(request: Request) -> Reply:
        judged.append(request)
        return REPLY

    assert judges(handler).judge(INBOUND) is None
    assert judged == []


@pytest.mark.parametrize("read", [False, True])
def test_the_reply_is_none_when_the_other_process_ends(*, read: bool) -> None:
    ours, theirs = queue()

    def take_and_end() -> None:
        sock = next_request(theirs)
        assert sock is not None
        with sock:
            if read:
                read_request(sock)

    taker = threading.Thread(target=take_and_end)
    taker.start()
    with ours, theirs:
        assert LargeRequests(ours).judge(INBOUND) is None
        taker.join(PATIENCE_SECONDS)


def test_without_a_queue_the_reply_is_none() -> None:
    ours, theirs = queue()
    theirs.close()
    with ours:
        assert LargeRequests(ours).judge(INBOUND) is None

"""Requests that wait for their provider's public keys. They hold no thread meanwhile."""

from collections.abc import Callable
from concurrent.futures import Future
from functools import partial

from router.domain.reply import Reply
from router.http.contract import Pending
from router.plugins.scheme import KeysAwaited

Judge = Callable[[], Reply | Pending]


def after_keys(awaited: KeysAwaited, judge: Judge, late: Callable[[], Reply]) -> Pending:
    """The answer of `judge` once the keys are fetched, or of `late` when that takes too long."""
    answered: Future[Reply | Pending] = Future()
    awaited.fetched.add_done_callback(partial(_judge, judge, answered))
    return Pending(answered, partial(_reply, answered, late))


def _judge(judge: Judge, answered: "Future[Reply | Pending]", _: "Future[None]") -> None:
    try:
        found = judge()
    except Exception as error:  # noqa: BLE001 - the thread that asks for the reply gets it
        answered.set_exception(error)
        return
    if isinstance(found, Pending):
        found.future.add_done_callback(lambda _: answered.set_result(found))
    else:
        answered.set_result(found)


def _reply(answered: "Future[Reply | Pending]", late: Callable[[], Reply], timeout: float) -> Reply:
    try:
        found = answered.result(timeout)
    except TimeoutError:
        return late()
    return found.reply(0) if isinstance(found, Pending) else found

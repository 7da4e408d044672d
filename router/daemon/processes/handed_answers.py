"""Gives an intake process the answers of first attempts, which the main process makes."""

import itertools
import threading
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress

from router.daemon.processes.answer_frames import Expected, decode_answer, encode_expected
from router.daemon.processes.frames import Frame, Kind, pack
from router.delivery.first_answers import MOST
from router.domain.action_answer import ActionAnswer


class HandedAnswers:
    """What the senders of one intake process wait for. Any thread may call it."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        self._send = send
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._asked: dict[int, Future[ActionAnswer | None]] = {}
        self._by_id: dict[str, int] = {}
        self._gone = False

    def expect(
        self, delivery_id: str, rule: str, action: str, target: str, within: float
    ) -> "Future[ActionAnswer | None]":
        """See FirstAnswers.expect. The main process keeps the time limit."""
        future: Future[ActionAnswer | None] = Future()
        with self._lock:
            if self._gone or len(self._asked) >= MOST:
                future.set_result(None)
                return future
            number = next(self._numbers)
            self._asked[number], self._by_id[delivery_id] = future, number
        future.add_done_callback(lambda _: self._by_id.pop(delivery_id, None))
        self._send(pack(Kind.EXPECT, number, encode_expected(Expected(delivery_id, rule, action, target, within))))
        return future

    def forget(self, delivery_id: str) -> None:
        """See FirstAnswers.forget."""
        number = self._by_id.get(delivery_id)
        if number is not None:
            self._send(pack(Kind.FORGET, number))
            self._end(number, None)

    def answered(self, frame: Frame) -> None:
        """The main process sends an answer, or that there is none."""
        self._end(frame.number, decode_answer(frame.body))

    def end_all(self) -> None:
        """The main process is gone."""
        with self._lock:
            self._gone = True
            left = list(self._asked)
        for number in left:
            self._end(number, None)

    def _end(self, number: int, answer: ActionAnswer | None) -> None:
        with self._lock:
            future = self._asked.pop(number, None)
        if future is not None:
            with suppress(InvalidStateError):
                future.set_result(answer)

"""The body of a frame about an answer: which answer a sender waits for, and the answer itself."""

import struct
from typing import NamedTuple

import orjson

from router.domain.action_answer import ActionAnswer

_LENGTH = struct.Struct("<I")


class Expected(NamedTuple):
    """The arguments of FirstAnswers.expect."""

    delivery_id: str
    rule: str
    action: str
    target: str
    within: float  #: seconds


def encode_expected(expected: Expected) -> bytes:
    """The body, as JSON."""
    return orjson.dumps(tuple(expected))


def decode_expected(body: bytes) -> Expected:
    """Read from JSON."""
    return Expected(*orjson.loads(body))


def encode_answer(answer: ActionAnswer | None) -> tuple[bytes, ...]:
    """The parts of the body; empty when there is no answer."""
    if answer is None:
        return ()
    head = orjson.dumps([answer.content_type, answer.status])
    return _LENGTH.pack(len(head)), head, answer.body


def decode_answer(body: bytes) -> ActionAnswer | None:
    """The answer; None when there is none."""
    if not body:
        return None
    end = _LENGTH.size + _LENGTH.unpack_from(body)[0]
    content_type, status = orjson.loads(body[_LENGTH.size : end])
    return ActionAnswer(bytes(body[end:]), content_type, status)

"""An intake process asks for the answer of a first attempt, and learns the answer or that none will come."""

from router.daemon.processes.answer_frames import Expected, decode_answer, decode_expected, encode_answer
from router.daemon.processes.frames import Frame, FrameReader, Kind
from router.daemon.processes.handed_answers import HandedAnswers
from router.domain.action_answer import ActionAnswer


def frames(sent: list[bytes]) -> list[Frame]:
    """The frames that were sent."""
    return FrameReader().feed(b"".join(sent))


def test_an_answer_reaches_the_process_that_waits_for_it() -> None:
    sent: list[bytes] = []
    answers = HandedAnswers(sent.append)
    first, second = (answers.expect(id_, "r", "a", "t", 1.5) for id_ in ("d1", "d2"))
    asked = frames(sent)

    assert [decode_expected(frame.body) for frame in asked] == [
        Expected(id_, "r", "a", "t", 1.5) for id_ in ("d1", "d2")
    ]
    answer = ActionAnswer(b"\x00\xff", "text/plain", 201)
    answers.answered(Frame(Kind.ANSWERED, asked[1].number, b"".join(encode_answer(answer))))
    assert second.result(0) == answer
    assert not first.done()
    answers.answered(Frame(Kind.ANSWERED, asked[0].number, b"".join(encode_answer(None))))
    assert first.result(0) is None


def test_a_process_that_stops_waiting_tells_the_main_process() -> None:
    sent: list[bytes] = []
    answers = HandedAnswers(sent.append)
    waiting = answers.expect("d", "r", "a", "t", 1.5)
    answers.forget("d")
    answers.forget("another")

    assert waiting.result(0) is None
    asked, forgotten = frames(sent)
    assert (forgotten.kind, forgotten.number) == (Kind.FORGET, asked.number)


def test_no_answer_comes_without_the_main_process() -> None:
    answers = HandedAnswers(lambda _: None)
    waiting = answers.expect("d", "r", "a", "t", 1.5)
    answers.end_all()

    assert waiting.result(0) is None
    assert answers.expect("e", "r", "a", "t", 1.5).result(0) is None


def test_a_missing_answer_differs_from_an_empty_one() -> None:
    assert decode_answer(b"".join(encode_answer(None))) is None
    assert decode_answer(b"".join(encode_answer(ActionAnswer(b"")))) == ActionAnswer(b"")

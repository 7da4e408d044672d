"""The log of refused requests is limited, and counts the lines that it omits."""

from structlog.testing import capture_logs

from router.http.refusals import ALL_LINES, KIND_LINES, KINDS, TOLD_SECONDS, Refusals


def test_a_flood_of_one_kind_gives_a_few_lines_and_a_count() -> None:
    now = [100.0]
    refusals = Refusals(clock=lambda: now[0])
    with capture_logs() as lines:
        for _ in range(1000):
            refusals.tell("github", 401, "signature", "192.0.2.1", "POST")
        refusals.tell("gitlab", 401, "signature", "192.0.2.1", "POST")  # another kind is logged at once
        assert len(lines) == KIND_LINES + 1
        now[0] += 1.0
        refusals.tell("github", 401, "signature", "192.0.2.2", "POST")

    assert lines[-1] == {
        "event": "request refused", "log_level": "warning", "source": "github", "status": 401, "reason": "signature",
        "ip": "192.0.2.2", "method": "POST", "left_out": 1000 - KIND_LINES,
    }  # fmt: skip


def test_omitted_log_lines_are_counted_without_further_requests() -> None:
    now = [100.0]
    refusals = Refusals("admin", clock=lambda: now[0])
    with capture_logs() as lines:
        for _ in range(KIND_LINES + 5):
            refusals.tell(None, 404, "path", "192.0.2.1", "GET")
        refusals.tell_rest()
        assert len(lines) == KIND_LINES
        now[0] += TOLD_SECONDS + 1
        refusals.tell_rest()
        refusals.tell_rest()

    assert lines[KIND_LINES:] == [
        {
            "event": "further requests refused", "log_level": "warning", "source": None, "status": 404,
            "reason": "path", "left_out": 5, "listener": "admin",
        }
    ]  # fmt: skip


def test_the_lines_of_many_kinds_have_a_common_limit() -> None:
    now = [100.0]
    refusals = Refusals(clock=lambda: now[0])
    with capture_logs() as lines:
        for number in range(10 * KINDS):
            refusals.tell("github", 400, f"reason {number}", "192.0.2.1", "POST")
        now[0] += TOLD_SECONDS
        refusals.tell_rest()

    told = [line for line in lines if line["event"] == "request refused"]
    rest = sum(line["left_out"] for line in lines if line["event"] == "further requests refused")
    assert len(told) == ALL_LINES
    assert len(refusals._kinds) == KINDS
    assert len(lines) - len(told) == KIND_LINES + 1
    assert rest == 9 * KINDS - ALL_LINES + KIND_LINES  # the other remembered kinds are logged later

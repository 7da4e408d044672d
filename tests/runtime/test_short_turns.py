"""The switch interval of threads is short while the admin listener answers, and the usual one afterwards."""

import sys
import threading
from dataclasses import replace

import falcon.testing
import pytest

from router.admin.app import admin_app
from router.admin.auth.access import AccessCheck
from router.domain.reply import Reply
from router.runtime.short_turns import SHORT_TURNS, TURN_SECONDS
from tests.admin.conftest import TOKEN, Admin, admin

__all__ = ["admin"]


def test_the_last_thread_restores_the_usual_switch_interval() -> None:
    usual = sys.getswitchinterval()
    inside, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with SHORT_TURNS:
            inside.set()
            leave.wait()

    other = threading.Thread(target=stay)
    other.start()
    inside.wait()
    with pytest.raises(ValueError, match="failed"), SHORT_TURNS:
        raise ValueError("failed")
    assert sys.getswitchinterval() == pytest.approx(TURN_SECONDS)
    leave.set()
    other.join()

    assert sys.getswitchinterval() == usual


def test_the_switch_interval_is_short_during_a_request_to_the_admin_listener(admin: Admin) -> None:
    usual, seen = sys.getswitchinterval(), []

    def scrape(_: str) -> Reply:
        seen.append(sys.getswitchinterval())
        return Reply(200, b"", "text/plain")

    access = AccessCheck(TOKEN.encode(), ("127.0.0.1",), closed=False)
    client = falcon.testing.TestClient(admin_app(replace(admin.daemon, metrics=scrape), access))
    client.simulate_get("/metrics", headers={"Host": "127.0.0.1:8081"})

    assert seen == [pytest.approx(TURN_SECONDS)]
    assert sys.getswitchinterval() == usual

"""The admin listener answers those who call it by its own name."""

from collections.abc import Mapping

import falcon.testing
import pytest

from router.admin.health import health_app


def _client(**checks: bool) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(health_app(lambda: checks, "127.0.0.1"))


def _get(
    path: str, host: str = "127.0.0.1:8081", method: str = "GET", **checks: bool
) -> tuple[int, Mapping[str, object]]:
    result = _client(**checks).simulate_request(method, path, headers={"Host": host})
    return result.status_code, result.json


def test_it_is_healthy_while_it_lives_and_ready_when_all_is() -> None:
    assert _get("/-/healthy", store=False)[0] == 200
    assert _get("/-/ready", store=True, rules=True) == (200, {"store": True, "rules": True})
    assert _get("/-/ready", store=False, rules=True) == (503, {"store": False, "rules": True})


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8081", "127.0.0.1.evil.example", "", "localhost.evil"])
def test_a_foreign_name_is_refused(host: str) -> None:
    status, problem = _get("/-/ready", host, store=True)

    assert status == 421
    assert "Host header" in str(problem["detail"])


@pytest.mark.parametrize("host", ["localhost", "localhost:8081", "LOCALHOST:8081", "127.0.0.1", "[::1]:8081"])
def test_our_own_names_are_fine(host: str) -> None:
    assert _get("/-/ready", host, store=True)[0] == 200


def test_there_is_nothing_else_here() -> None:
    assert _get("/")[0] == 404
    assert _get("/-/ready", method="POST")[0] == 405

"""The API plans a rules file in portions, within limits and without changes."""

import pytest

from router.admin.api import plan
from tests.admin.conftest import RULES, Admin

YAML = {"Content-Type": "application/yaml"}
CHANGED = RULES.replace("path: /build", "path: /other").encode()


def test_a_plan_compares_a_file_with_the_running_rules(admin: Admin) -> None:
    event = admin.receive({"ref": "main"})
    admin.receive({"ref": "main"}, age=100 * 3_600_000)

    found = admin.post("/api/rules/plan", CHANGED, headers=YAML)

    assert (found["version"], found["events"]["compared"], found["next"]) == (1, 1, None)
    [change] = found["changes"]
    assert (change["kind"], change["fields"], change["samples"][0]["event"]) == ("change", ["url"], event)
    assert found["against"] == {"rules": "running", "hash": admin.ruleset.hash}
    assert "planted-secret" not in str(found)
    assert admin.post("/api/rules/plan", CHANGED, headers=YAML, query="since=7d")["events"]["compared"] == 2
    assert not admin.post("/api/rules/plan", RULES.encode(), headers=YAML, query="against=then")["differs"]


def test_a_plan_continues_where_it_stopped(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "MAX_PLANNED", 2)
    for _ in range(5):
        admin.receive({"ref": "main"})

    counts, query = [], ""
    while True:
        found = admin.post("/api/rules/plan", CHANGED, headers=YAML, query=query)
        counts.append(found["events"]["compared"])
        if found["next"] is None:
            break
        query = f"cursor={found['next']}"

    assert counts == [2, 2, 1]


@pytest.mark.parametrize(
    ("body", "query", "status", "said"),
    [
        (b"rules: [{nam: x}]", "", 422, "rules.yaml:1:10"),
        (CHANGED, "against=now", 400, "running or then"),
        (CHANGED, "cursor=x", 400, "not a cursor"),
        (CHANGED, "since=soon", 400, "not a time"),
    ],
)
def test_invalid_rules_get_an_error_instead_of_a_plan(
    admin: Admin, body: bytes, query: str, status: int, said: str
) -> None:
    answer = admin.ask("POST", "/api/rules/plan", body, headers=YAML, query=query)

    assert (answer.status, said in answer.json["detail"]) == (status, True), answer.json


def test_one_plan_runs_at_a_time(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plan, "CHECK_WAIT_SECONDS", 0.01)
    with admin.daemon.checking:
        answer = admin.ask("POST", "/api/rules/plan", CHANGED, headers=YAML)

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")

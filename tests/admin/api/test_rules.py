"""The API of rules, targets, status and reload, and its checks of a rules file and of a request."""

from pathlib import Path
from typing import Any

import pytest

from router.admin.api import rules
from router.admin.api.cursor import encode
from router.daemon.registries import REGISTRIES
from router.domain.errors import Level, Problem
from router.domain.holds import HoldKind
from router.rules.compile.loader import Loader
from router.rules.reload.drift import DriftReason, Reloaded, ReloadRefused
from router.rules.reload.ruleset_diff import RulesetDiff
from tests.admin.conftest import NOW, RULES, Admin

YAML = {"Content-Type": "application/yaml"}


def test_rules_are_listed_in_file_order_in_pages(admin: Admin) -> None:
    admin.receive({"ref": "main"})
    first = admin.get("/api/rules", "limit=1")
    second = admin.get("/api/rules", f"limit=1&cursor={first['next']}")

    assert [rule["name"] for rule in first["items"] + second["items"]] == ["deploy main", "check"]
    assert second["next"] is None
    [rule] = first["items"]
    assert rule["actions"][0] == {
        "name": "build",
        "type": "forward",
        "target": "ci",
        "enabled": True,
        "order_by": "$.repo",
        "latest_by": None,
        "wait_ms": None,
        "max_wait_ms": None,
        "once_by": None,
        "within_ms": None,
    }
    assert (rule["waiting"], rule["stop"], rule["sources"]) == (2, False, ["github"])
    assert "planted" not in str(first)


def test_a_cursor_of_other_rules_is_refused(admin: Admin, tmp_path: Path) -> None:
    first = admin.get("/api/rules", "limit=1")
    admin.ruleset = Loader(REGISTRIES, {"PLANTED": "x"}).load(RULES + "\n", "rules.yaml", tmp_path).require()

    answer = admin.ask("GET", "/api/rules", query=f"cursor={first['next']}")

    assert answer.status == 400
    assert "other rules run by now" in answer.json["detail"]
    assert admin.ask("GET", "/api/rules", query="cursor=" + encode("rules", 5, 5)).status == 400


def test_a_rule_named_check_can_be_shown(admin: Admin) -> None:
    assert admin.get("/api/rules/deploy%20main")["dead"] == 0
    assert admin.get("/api/rules/check")["stop"] is True
    for name in ("nobody", "test", "%00", "deploy%2Bmain", "x" * 5000):
        assert admin.ask("GET", f"/api/rules/{name}").status == 404


def test_a_target_name_may_contain_slashes(admin: Admin) -> None:
    admin.receive({"a": 1})
    for path in ("http:%2F%2F127.0.0.1:9", "http%3A%2F%2F127.0.0.1%3A9", "http://127.0.0.1:9"):
        shown = admin.get(f"/api/targets/{path}")
        assert (shown["target"], shown["due"], shown["concurrency"]) == ("http://127.0.0.1:9", 1, 16)
    assert admin.get("/api/targets/deploy%20main%2Fappend")["due"] == 0
    assert admin.get("/api/targets/ci")["rate"] == 50.0
    for name in ("nobody", "ci/", "%00", "..%2F..%2Fetc"):
        assert admin.ask("GET", f"/api/targets/{name}").status == 404


def test_targets_are_listed_by_name_in_pages(admin: Admin) -> None:
    names, cursor = [], ""
    for _ in range(5):
        page = admin.get("/api/targets", f"limit=1{cursor}")
        names += [target["target"] for target in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&cursor={page['next']}"

    assert names == ["ci", "deploy main/append", "http://127.0.0.1:9"]


def test_a_removed_target_is_listed_while_deliveries_wait_for_it(admin: Admin, tmp_path: Path) -> None:
    admin.receive({"ref": "main"})
    text = "sources: {github: {verify: none}}\nrules: [{name: x, actions: [append: a.jsonl]}]"
    admin.ruleset = Loader(REGISTRIES, {}).load(text, "rules.yaml", tmp_path).require()

    shown = admin.get("/api/targets/ci")

    assert (shown["defined"], shown["due"], shown["concurrency"]) == (False, 1, None)


def test_a_target_is_paused_and_resumed(admin: Admin) -> None:
    admin.receive({"ref": "main"})

    paused = admin.post("/api/targets/ci/pause", {"for": "2h"})
    assert (paused["target"], paused["held"]) == ("ci", 1)
    [pause] = paused["paused"]
    assert (pause["cause"], pause["since_ms"], pause["until_ms"]) == ("operator", NOW, NOW + 7_200_000)
    shown = admin.get("/api/targets/ci")
    assert (shown["due"], shown["held"], shown["waits_for"], shown["paused"]) == (0, 1, "paused", [pause])
    [delivery] = admin.get("/api/deliveries", "target=ci")["items"]
    assert (delivery["waits_for"], delivery["waits_until_ms"]) == ("paused", NOW + 7_200_000)

    assert admin.post("/api/targets/ci/pause", {})["paused"][0]["until"] is None
    assert admin.post("/api/targets/ci/resume")["paused"] == []
    assert admin.post("/api/targets/ci/resume")["held"] == 0  # a second resume has nothing to do
    assert admin.post("/api/targets/deploy%20main%2Fappend/pause", {})["target"] == "deploy main/append"


def test_the_error_for_a_wrong_pause_names_the_cure(admin: Admin) -> None:
    wrong = admin.ask("POST", "/api/targets/ci/pause", {"for": "soon"})
    assert (wrong.status, wrong.json["parameter"]) == (400, "for")
    assert "expected a duration above zero and up to 366d" in wrong.json["detail"]
    assert admin.ask("POST", "/api/targets/ci/pause", {"until": "2h"}).status == 400
    for action, content in (("pause", {}), ("resume", None)):
        unknown = admin.ask("POST", f"/api/targets/cii/{action}", content)
        assert (unknown.status, unknown.json["detail"]) == (404, 'no target of this name is known; did you mean "ci"?')
    assert admin.ask("POST", "/api/targets/ci/pause", {}, token=None).status == 401
    assert admin.get("/api/targets/ci")["paused"] == []


def test_a_pause_by_the_rules_file_cannot_be_resumed_by_the_api(admin: Admin) -> None:
    admin.store.put_file_holds([(HoldKind.TARGET, "ci")], NOW).result(60)

    refused = admin.ask("POST", "/api/targets/ci/resume")

    assert (refused.status, refused.json["detail"]) == (
        409,
        "target ci is paused by the rules file; remove its `paused: true` there",
    )


def test_a_disabled_rule_is_listed_as_such(admin: Admin, tmp_path: Path) -> None:
    text = (
        "sources: {github: {verify: none, enabled: false}}\n"
        "targets: {ci: {url: 'http://127.0.0.1:9', paused: true}}\n"
        "rules: [{name: x, enabled: false, actions: [append: a.jsonl]},"
        " {name: y, actions: [{forward: {target: ci}}, {append: b.jsonl, enabled: false}]}]"
    )
    admin.ruleset = Loader(REGISTRIES, {}).load(text, "rules.yaml", tmp_path).require()

    x, y = admin.get("/api/rules")["items"]
    assert (x["enabled"], y["enabled"]) == (False, True)
    assert [(action["name"], action["enabled"]) for action in y["actions"]] == [("forward", True), ("append", False)]
    tested = admin.post("/api/rules/test", {"payload": {}})
    assert (tested["source_disabled"], tested["deliveries"][0]["held"]) == (True, "target ci is paused")


def test_the_status_endpoint_and_the_status_command_give_the_same(admin: Admin) -> None:
    admin.receive({"ref": "main"})

    shown = admin.get("/api/status")

    assert shown["running"] is True
    assert shown["pending"] == 2
    assert [target["target"] for target in shown["targets"]] == ["ci", "deploy main/append"]


def test_a_reload_says_what_changed(admin: Admin) -> None:
    warning = Problem("rules.yaml", 1, 2, "rules[0]", "doubtful", Level.WARNING)
    admin.reloaded = Reloaded("h", 3, RulesetDiff(("a",), ("b",), ("c",), ("defaults",)), (warning,))

    done = admin.post("/-/reload")

    assert (done["hash"], done["rules"], done["unchanged"]) == ("h", 3, False)
    assert (done["added"], done["removed"], done["changed"], done["besides"]) == (["a"], ["b"], ["c"], ["defaults"])
    assert done["warnings"][0]["level"] == "warning"


@pytest.mark.parametrize("why", DriftReason)
def test_a_failed_reload_says_why(admin: Admin, why: DriftReason) -> None:
    admin.reloaded = ReloadRefused(why, (Problem("rules.yaml", 3, 1, "", "what is wrong"),), "running")

    answer = admin.ask("POST", "/-/reload")

    wanted = {
        DriftReason.UNSETTLED: 504,
        DriftReason.TIMEOUT: 504,
        DriftReason.STOPPING: 503,
        DriftReason.UNRECORDED: 503,
        DriftReason.FAULT: 500,
    }
    assert answer.status == wanted.get(why, 422)
    assert (answer.json["why"], answer.json["hash"]) == (why.value, "running")
    assert answer.json["problems"][0]["message"] == "what is wrong"


def test_checking_a_rules_file_runs_none_of_its_actions(admin: Admin) -> None:
    good = admin.post("/api/rules/check", RULES.encode(), headers=YAML)
    bad = admin.post("/api/rules/check", b"rules: [{nam: x}]\n", headers=YAML)
    strict = RULES.encode() + b"x-unused: 1\n"

    assert good["ok"] is True
    assert bad["ok"] is False
    assert {problem["file"] for problem in bad["problems"]} == {"rules.yaml"}
    assert any('"nam"' in problem["message"] for problem in bad["problems"])
    assert admin.post("/api/rules/check", strict, headers=YAML)["ok"] is True


def test_strict_checks_count_warnings_and_unset_secrets(admin: Admin) -> None:
    unused = RULES.replace("targets:\n", "targets:\n  idle: {url: http://127.0.0.1:1}\n").encode()
    unset = RULES.replace("PLANTED", "NOT_SET_HERE").encode()

    def ok(body: bytes, query: str = "") -> bool:
        return bool(admin.post("/api/rules/check", body, headers=YAML, query=query)["ok"])

    assert ok(unused)
    assert not ok(unused, "strict=true")
    assert ok(unset)
    assert not ok(unset, "require_secrets=true")
    assert admin.ask("POST", "/api/rules/check", unset, headers=YAML, query="strict=1").status == 400


@pytest.mark.parametrize(
    "body",
    [b"", b"\xff\xfe", b"[" * 50_000, b"a: &a [*a]", b"a: b: c", b"\x00", b"- " * 20_000, b"{" * 300 + b"}" * 300],
)
def test_hostile_yaml_gets_a_list_of_problems(admin: Admin, body: bytes) -> None:
    done = admin.post("/api/rules/check", body, headers=YAML)

    assert done["ok"] is False
    assert done["problems"]


def test_a_second_check_waits_and_then_gets_a_503(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "CHECK_WAIT_SECONDS", 0.01)
    with admin.daemon.checking:
        answer = admin.ask("POST", "/api/rules/check", b"", headers=YAML)

    assert (answer.status, answer.headers["retry-after"]) == (503, "5")


def test_testing_a_request_masks_secrets(admin: Admin) -> None:
    done = admin.post("/api/rules/test", {"source": "github", "payload": {"ref": "main"}})
    brief = admin.post("/api/rules/test", {"source": "github", "payload": {"ref": "main"}, "explain": False})

    assert done["matched"] == ["deploy main"]
    assert done["deliveries"][0]["forward"]["headers"]["X-Key"] == "<secret:key>"
    assert len(done["explain"]) == 2
    assert "explain" not in brief
    assert "planted" not in str(done)
    assert not (admin.folder / "deploys.jsonl").exists()


def test_a_tested_body_may_be_json_text_or_base64(admin: Admin) -> None:
    form = "application/x-www-form-urlencoded"
    for body in (
        {"body": '{"a": 1}'},
        {"body_base64": "eyJhIjogMX0="},
        {"payload": {"a": 1}},
        {"payload": {"a": 1}, "headers": {"content-type": "application/json"}},
        {"payload": {"a": 1}, "headers": {"X-A": ["1", "2"]}, "query": {"q": "1"}, "method": "POST", "ip": "::1"},
    ):
        assert admin.post("/api/rules/test", {"source": "github", **body})["matched"] == ["check"], body
    # Form values are text, so 1 is not 1.
    typed = {"source": "forms", "payload": {"a": 1}, "content_type": form}
    assert admin.post("/api/rules/test", typed)["matched"] == []


def test_a_stored_event_can_be_tested(admin: Admin) -> None:
    event = admin.receive({"a": 1})

    assert admin.post("/api/rules/test", {"event": event})["matched"] == ["check"]


@pytest.mark.parametrize(
    ("body", "parameter"),
    [
        ({"payload": {}}, "source"),
        ({"source": "gihub", "payload": {}}, "source"),
        ({"source": "github"}, "payload"),
        ({"source": "github", "payload": 1, "body": "1"}, "payload"),
        ({"source": "github", "body_base64": "%%%"}, "body_base64"),
        ({"source": "github", "body": None}, "payload"),
        ({"source": "github", "payload": 1, "ip": "somewhere"}, "ip"),
        ({"source": "github", "payload": 1, "method": "get it"}, "method"),
        ({"source": "github", "payload": 1, "headers": {"X": 5}}, "headers.X"),
        ({"source": "github", "payload": 1, "headers": {"X": [None]}}, "headers.X"),
        ({"source": "github", "payload": 1, "query": []}, "query"),
        ({"event": "gone"}, "event"),
        ({"event": "gone", "source": "github"}, "source"),
        ({"event": "gone", "payloads": 1}, "payloads"),
    ],
)
def test_the_error_for_a_bad_test_request_names_the_cause_and_the_cure(admin: Admin, body: Any, parameter: str) -> None:
    answer = admin.ask("POST", "/api/rules/test", body)

    assert answer.status == 400
    assert answer.json["parameter"] == parameter


def test_an_unparsable_payload_gets_a_422(admin: Admin) -> None:
    deep: Any = 1
    for _ in range(203):
        deep = [deep]
    for body in ({"body": "{"}, {"payload": deep}, {"body": "[1,"}):
        assert admin.ask("POST", "/api/rules/test", {"source": "github", **body}).status == 422
    for _ in range(20):
        deep = [deep]
    assert admin.ask("POST", "/api/rules/test", {"source": "github", "payload": deep}).status == 400


def test_only_the_first_of_many_rules_are_explained(admin: Admin, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "MAX_EXPLAINED", 1)

    done = admin.post("/api/rules/test", {"source": "github", "payload": {"a": 1}})

    assert done["matched"] == ["check"]
    assert ([rule["rule"] for rule in done["explain"]], done["unexplained"]) == (["deploy main"], 1)

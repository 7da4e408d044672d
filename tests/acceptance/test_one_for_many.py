"""latest_by and once_by in a real daemon: made and skipped deliveries in lists, API, metrics, log and `tail`."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.conftest import Daemon, request, run_in_process, until

RULES = """
sources: {open: {verify: none}}
rules:
  - name: build
    match: {$.build: {exists: true}}
    actions: [{append: {path: built.txt, line: "{{ payload.n }}"}, latest_by: $.build, wait: 1s}]
  - name: page
    match: {$.alert: {exists: true}}
    actions: [{append: {path: paged.txt, line: "{{ payload.n }}"}, once_by: $.alert, within: 1h}]
  - name: items
    match: {$.items: {exists: true}}
    for_each: $.items[*]
    actions: [{append: {path: items.txt, line: "{{ item.n }}"}, once_by: item.of, within: 1h}]
"""


def lines(path: Path) -> list[str]:
    """The appended lines."""
    return path.read_text().split() if path.exists() else []


def test_latest_by_and_once_by_skip_all_but_one_delivery(start: Callable[..., Daemon], tmp_path: Path) -> None:
    daemon = start(RULES)

    def send(**payload: Any) -> None:
        assert request(daemon.port, "POST", "/hooks/open", json.dumps(payload).encode()).status == 202

    def listed(*flags: str) -> list[dict[str, Any]]:
        store = f"sqlite:{daemon.store}"
        done = run_in_process("deliveries", "list", "--json", "--store", store, *flags, folder=tmp_path)
        found: list[dict[str, Any]] = json.loads(done.stdout)
        return found

    for number in range(1, 6):
        send(build="shop", n=number)
        send(alert="disk", n=number)
    send(alert="fan", n=9)
    send(items=[{"of": "a", "n": 1}, {"of": "a", "n": 2}, {"of": "b", "n": 3}])
    until(lambda: lines(tmp_path / "built.txt") and len(lines(tmp_path / "paged.txt")) == 2)
    until(lambda: len(lines(tmp_path / "items.txt")) == 2)

    until(lambda: not listed("--state", "pending", "--state", "running"))
    assert lines(tmp_path / "built.txt")[-1] == "5"
    assert lines(tmp_path / "paged.txt") == ["1", "9"]
    assert lines(tmp_path / "items.txt") == ["1", "3"]
    skipped = listed("--state", "skipped", "--rule", "page")
    [first] = [one for one in listed("--rule", "page", "--state", "succeeded") if one["once_key"] == '["disk"]']
    assert {(one["skip_reason"], one["skipped_for"]) for one in skipped} == {("earlier", first["id"])}
    assert len(skipped) == 4
    newer = listed("--state", "skipped", "--rule", "build")
    assert newer and {one["skip_reason"] for one in newer} == {"newer"}

    token = {"Authorization": f"Bearer {daemon.store.with_name(daemon.store.name + '.token').read_text().strip()}"}

    def skipped_pages() -> float:
        text = request(daemon.admin_port, "GET", "/metrics", headers=token).body.decode()
        rows = [row for row in text.splitlines() if row.startswith("webhook_router_deliveries_total{")]
        return sum(float(row.split()[-1]) for row in rows if 'rule="page"' in row and 'outcome="skipped"' in row)

    until(lambda: skipped_pages() == 4)
    page = request(daemon.admin_port, "GET", "/api/deliveries?state=skipped&rule=page", headers=token).json
    assert [one["state"] for one in page["items"]] == ["skipped"] * 4

    def logged() -> list[str]:
        told = [line for line in list(daemon.lines) if line["message"] == "delivery skipped"]
        return [line["skipped_for"] for line in told if line["rule"] == "page"]

    until(lambda: len(logged()) >= 4)
    assert logged() == [first["id"]] * 4

    replayed = ("deliveries", "replay", "--rule", "page", "--store", f"sqlite:{daemon.store}", "--json")
    assert json.loads(run_in_process(*replayed, folder=tmp_path).stdout)["replayed"] == 0
    done = json.loads(run_in_process(*replayed, "--state", "skipped", folder=tmp_path).stdout)
    assert done["replayed"] == 4
    until(lambda: len(lines(tmp_path / "paged.txt")) == 6)

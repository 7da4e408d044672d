"""The metrics of a real daemon count every request exactly, and contain no secret."""

import hmac
import json
from collections.abc import Callable
from typing import Any

from prometheus_client.parser import text_string_to_metric_families as parse

from tests.conftest import Daemon, Receiver
from tests.http.talking import talk

Start = Callable[..., Daemon]
Wait = Callable[[Callable[[], Any]], Any]
Series = dict[tuple[tuple[str, str], ...], float]

KEY = "planted-key-5f2c"
PLANTED = ("planted-query", "planted-payload", "planted-header", "planted-path", "planted-url", KEY)
RULES = """
sources:
  open: {{verify: none, dedupe: $.id, max_body: 1KiB}}
  signed: {{verify: {{scheme: github, secret: {{env: KEY}}}}}}
rules:
  - name: written
    source: open
    match: {{$.go: write}}
    actions: [append: out.jsonl]
  - name: refused
    source: open
    match: {{$.go: send}}
    actions:
      - name: patient
        forward: {{url: "{url}/a?token=planted-url"}}
        retry: {{initial: 1h, max: 1h}}
      - name: hasty
        forward: {{url: "{url}/b"}}
        retry: {{attempts: 1}}
  - name: unjudged
    source: signed
    match: {{"$.kind.`parent`.`parent`.`parent`": x}}
    actions: [append: never.jsonl]
"""


class Scrape:
    """One scrape of /metrics."""

    def __init__(self, daemon: Daemon) -> None:
        answer = daemon.admin("/metrics")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        self.text = answer.body.decode()
        self.samples = [sample for family in parse(self.text) for sample in family.samples]

    def series(self, name: str, **labels: str) -> Series:
        """The series of a metric with these labels, except those at zero."""
        found = [sample for sample in self.samples if sample.name == f"webhook_router_{name}"]
        return {
            tuple(sorted(sample.labels.items())): sample.value
            for sample in found
            if sample.value and labels.items() <= sample.labels.items()
        }

    def by(self, name: str, *labels: str) -> dict[tuple[str, ...], float]:
        """The values of a metric by some of its labels, in the given order."""
        found: dict[tuple[str, ...], float] = {}
        for key, value in self.series(name).items():
            values = tuple(dict(key)[label] for label in labels)
            found[values] = found.get(values, 0) + value
        return found

    def one(self, name: str, **labels: str) -> float:
        """The only value with these labels, or zero."""
        return sum(self.series(name, **labels).values())


def signed(body: bytes, key: str = KEY) -> dict[str, str]:
    """The headers of a signed request."""
    digest = hmac.new(key.encode(), body, "sha256").hexdigest()
    return {"X-Hub-Signature-256": f"sha256={digest}", "X-Secret": "planted-header"}


def send_one_of_each(daemon: Daemon) -> None:
    """Send one request for each kind of answer."""
    written = json.dumps({"go": "write", "id": 1, "word": "planted-payload"}).encode()
    sent = [
        ("/hooks/open?q=planted-query", written, {}, "POST", 202),
        ("/hooks/open", written, {}, "POST", 200),
        ("/hooks/open", b'{"go": "send", "id": 2}', {}, "POST", 202),
        ("/hooks/open", b'{"id": 3}', {}, "POST", 202),
        ("/hooks/open", b'{"planted-payload', {}, "POST", 400),
        ("/hooks/open", b"x" * 1025, {}, "POST", 413),
        ("/hooks/open", b"{}", {"Content-Encoding": "br"}, "POST", 415),
        ("/hooks/open", b"", {}, "GET", 405),
        ("/hooks/open?q=" + "planted-query" * 1000, b"{}", {}, "POST", 414),
        ("/hooks/planted-path", b"{}", {}, "POST", 404),
        ("/planted-path/../x", b"{}", {}, "POST", 404),
        ("/hooks/signed", b'{"kind": 1}', signed(b'{"kind": 1}'), "POST", 202),
        ("/hooks/signed", b"{}", signed(b"{}", "planted-wrong"), "POST", 401),
        ("/hooks/signed", b"{}", {}, "POST", 401),
        ("/hooks/signed", b"{}", {"X-Hub-Signature-256": "planted-header"}, "POST", 401),
    ]
    for path, body, headers, method, status in sent:
        assert daemon.post(path, body, headers, method).status == status, (path, status)
    assert b" 400 " in talk(daemon, b"planted-header nonsense\r\n\r\n")
    assert b" 431 " in talk(daemon, b"POST / HTTP/1.1\r\n" + b"X-A: planted-header\r\n" * 200 + b"\r\n")


def test_the_counters_equal_the_work_done(start: Start, receiver: Receiver, eventually: Wait) -> None:
    receiver.status = 500
    daemon = start(RULES.format(url=receiver.url), env={"KEY": KEY})
    send_one_of_each(daemon)
    for state in ("succeeded", "dead", "pending"):
        daemon.wait_for_line("attempt settled", state=state)

    scrape = Scrape(daemon)

    assert scrape.by("requests_total", "source", "status") == {
        ("open", "202"): 3,
        ("open", "200"): 1,
        ("open", "400"): 1,
        ("open", "405"): 1,
        ("open", "413"): 1,
        ("", "414"): 1,
        ("open", "415"): 1,
        ("signed", "202"): 1,
        ("signed", "401"): 3,
        ("", "404"): 2,
        ("", "400"): 1,
        ("", "431"): 1,
    }
    assert scrape.by("events_total", "source") == {("open",): 3, ("signed",): 1}
    assert scrape.by("duplicates_total", "source") == {("open",): 1}
    assert scrape.by("verification_failures_total", "source", "reason") == {
        ("signed", "mismatch"): 1,
        ("signed", "missing"): 1,
        ("signed", "malformed"): 1,
    }
    assert scrape.by("matches_total", "rule") == {("written",): 1, ("refused",): 1, ("unmatched",): 2}
    assert scrape.by("evaluation_errors_total", "rule") == {("unjudged",): 1}
    assert scrape.by("attempts_total", "rule", "action", "outcome") == {
        ("written", "append", "succeeded"): 1,
        ("refused", "patient", "retry"): 1,
        ("refused", "hasty", "retry"): 1,
    }
    assert scrape.by("deliveries_total", "rule", "action", "target", "outcome") == {
        ("written", "append", "written/append", "succeeded"): 1,
        ("refused", "hasty", receiver.url, "dead"): 1,
    }
    assert scrape.by("attempt_duration_seconds_count", "target") == {("written/append",): 1, (receiver.url,): 2}
    assert scrape.by("delivery_duration_seconds_count", "target") == {("written/append",): 1}
    assert scrape.by("answer_duration_seconds_count", "source") == {("open",): 4, ("signed",): 1}
    assert 1 <= scrape.one("commit_jobs_count") <= scrape.one("commit_jobs_sum")
    assert scrape.one("commit_duration_seconds_count") == scrape.one("commit_jobs_count")
    assert (scrape.one("ready"), scrape.one("store_healthy"), scrape.one("rules_loaded")) == (1, 1, 3)
    assert scrape.one("store_size_bytes") > 0 < scrape.one("store_free_bytes")
    assert scrape.one("intake_connections_limit") == 1024
    eventually(lambda: Scrape(daemon).series("queue_depth") == {(("state", "pending"), ("target", receiver.url)): 1})
    scrape = Scrape(daemon)
    assert scrape.series("dead_deliveries") == {(("target", receiver.url),): 1}
    assert scrape.by("queue_oldest_age_seconds", "target").keys() == {(receiver.url,)}
    assert scrape.one("breaker_state", state="closed") == 3  # the receiver, and two files
    assert scrape.one("breaker_failures") == 2


def test_metrics_contain_no_request_data_or_secret(start: Start, receiver: Receiver) -> None:
    receiver.status = 500
    daemon = start(RULES.format(url=receiver.url), env={"KEY": KEY})
    send_one_of_each(daemon)
    for state in ("succeeded", "dead", "pending"):
        daemon.wait_for_line("attempt settled", state=state)

    text = Scrape(daemon).text

    assert [word for word in ("planted", *PLANTED) if word in text] == []
    assert str(daemon.rules.parent) not in text


def test_reloads_are_counted_with_their_time(start: Start, receiver: Receiver, eventually: Wait) -> None:
    daemon = start(RULES.format(url=receiver.url), env={"KEY": KEY})
    before = Scrape(daemon)
    assert before.series("reloads_total") == {}
    assert (before.one("last_reload_successful"), before.one("rules_file_differs")) == (1, 0)

    daemon.rules.write_text("rules: [")
    eventually(lambda: Scrape(daemon).one("reloads_total", outcome="failed") == 1)
    after = Scrape(daemon)
    assert (after.one("last_reload_successful"), after.one("rules_file_differs")) == (0, 1)
    loaded_at = after.one("last_reload_success_timestamp_seconds")
    assert loaded_at == before.one("last_reload_success_timestamp_seconds")
    assert after.series("rules_info") == before.series("rules_info")

    daemon.rules.write_text(RULES.format(url=receiver.url).replace("name: written", "name: kept"))
    eventually(lambda: Scrape(daemon).one("reloads_total", outcome="succeeded") == 1)
    after = Scrape(daemon)
    assert after.one("reloads_total", outcome="failed") == 1
    assert (after.one("last_reload_successful"), after.one("rules_file_differs")) == (1, 0)
    assert after.one("last_reload_success_timestamp_seconds") >= loaded_at
    assert after.series("rules_info") != before.series("rules_info")


def test_a_scrape_is_not_counted_and_needs_an_allowed_host_name(start: Start) -> None:
    daemon = start("sources: {a: {verify: none}}\nrules: [{name: x, actions: [append: x]}]\n")

    for _ in range(3):
        scrape = Scrape(daemon)

    assert scrape.series("requests_total") == {}
    assert scrape.one("intake_connections") == 0
    assert daemon.admin("/metrics/").status == 404

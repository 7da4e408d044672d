"""Writes a day of events of a small shop into a store, before its daemon starts."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from router.daemon.registries import REGISTRIES
from router.domain.deliveries import Claim, Settlement, State
from router.domain.events import Event
from router.domain.ids import uuid7
from router.domain.outcomes import Outcome, Sent
from router.rules.compile.loader import Loader
from router.rules.parsing import parse_event
from router.rules.ruleset import Ruleset
from router.store.sqlite.store import SqliteStore
from tests.conftest import PATIENCE_SECONDS

_MINUTE = 60_000
_DAY = 24 * 60 * _MINUTE
_PEOPLE = "ann", "ben", "chris", "dora"
RULES = """\
version: 1
sources:
  github: {{verify: none}}   # pushes and pull requests
  stripe: {{verify: none}}   # payments
  forms: {{verify: none}}    # the shop's own forms

targets:
  ci: {{url: "{ci}", concurrency: 4, rate: 50/s}}
  billing: {{url: "{billing}", concurrency: 2, retry: {{attempts: 2, initial: 1h}}}}
  search: {{url: "{ci}/search", concurrency: 8}}

rules:
  - name: deploy-main
    source: github
    match:
      headers.X-GitHub-Event: push
      $.ref: refs/heads/main
      $.repository.full_name: [acme/shop, acme/web]
    actions:
      - forward: {{target: ci, path: /build}}
        order_by: $.repository.full_name
      - append: deploys.jsonl

  - name: reviews
    source: github
    match:
      headers.X-GitHub-Event: pull_request
      $.action: [opened, reopened]
    actions:
      - append: reviews.jsonl

  - name: invoices
    source: stripe
    match:
      $.type: {{prefix: invoice.}}
      $.data.amount: {{gte: 1}}
    actions:
      - {{name: book, forward: {{target: billing, path: /book}}}}

  - name: reindex
    source: forms
    match: {{$.form: product}}
    actions:
      - forward: {{target: search}}
        latest_by: $.sku
"""


def write_day(store_path: Path, rules: Path, now: int) -> None:
    """Write the events of the day before `now` (ms), with deliveries that succeeded or failed."""
    ruleset = Loader(REGISTRIES, {}, require_secrets=True).load(rules.read_text(), rules.name, rules.parent).require()
    store = SqliteStore(store_path)
    try:
        store.put_ruleset(ruleset.text, now - _DAY).result(PATIENCE_SECONDS)
        for at, source, headers, payload in _day(now):
            _receive(store, ruleset, at, source, headers, payload)
    finally:
        store.close()


def _day(now: int) -> Iterator[tuple[int, str, dict[str, str], Any]]:
    """Time, source, headers and payload of each event, oldest first: few at night, many in the morning."""
    for number, minutes in enumerate(sorted(_minutes(), reverse=True)):
        who, amount = _PEOPLE[number % 4], 19 + number * 7 % 80
        at = now - minutes * _MINUTE - number % 60 * 1000
        if number % 3 == 0:
            yield at, "stripe", {}, _payment(amount)
        elif number % 3 == 1:
            branch = "main" if number % 4 else f"{who}/colours"
            yield at, "github", {"X-GitHub-Event": "push"}, _push(branch, who, f"{number:08x}")
        else:
            yield at, "forms", {}, {"form": "product" if number % 2 else "contact", "sku": f"A-{number % 5}"}


def _minutes() -> Iterator[int]:
    """The age of each event in minutes."""
    for hour in range(24):
        yield from range(hour * 60 + 2, hour * 60 + 60, 6 if hour < 9 else 25)


def _push(branch: str, who: str, commit: str) -> Any:
    return {
        "ref": f"refs/heads/{branch}",
        "after": commit,
        "repository": {"id": 9007199254740993, "full_name": "acme/shop", "private": True},
        "pusher": {"name": who, "email": f"{who}@example.com"},
        "commits": [{"id": commit, "message": "Larger pictures", "added": ["web/pictures.css"], "removed": []}],
    }


def _payment(amount: int) -> Any:
    return {"type": "invoice.paid", "data": {"amount": amount, "currency": "eur", "customer": "cus_4QFHdyYl"}}


def _receive(store: SqliteStore, ruleset: Ruleset, at: int, source: str, headers: dict[str, str], payload: Any) -> None:
    sent = (("Content-Type", "application/json"), ("User-Agent", f"{source.capitalize()}-Hookshot"), *headers.items())
    event = Event(
        id=uuid7(at), source=source, method="POST", path=f"/hooks/{source}", query="", headers=sent, ip="192.0.2.7",
        received_at=at, body=json.dumps(payload).encode(),
    )  # fmt: skip
    plan = ruleset.plan(parse_event(event, ruleset.sources[source]))
    store.append(event, plan.deliveries, ruleset.hash, matched=plan.matched, errors=plan.errors).result(
        PATIENCE_SECONDS
    )
    for target in {one.target for one in plan.deliveries}:
        for claim in store.claim({target: 10}, at + 1).result(PATIENCE_SECONDS):
            store.settle([_settled(claim, at)]).result(PATIENCE_SECONDS)


def _settled(claim: Claim, at: int) -> Settlement:
    """The settlement of an attempt. Billing was down for some time in the morning."""
    delivery, body = claim.delivery, claim.event.body
    outcome, state = Outcome.succeeded(200, "ok"), State.SUCCEEDED
    if delivery.target == "billing" and at // (20 * _MINUTE) % 7 == 3:
        outcome, state = Outcome.failed("HTTP 503", 503, '{"error": "the ledger is closed"}'), State.DEAD
    if delivery.type == "forward":
        headers = (("content-type", "application/json"), ("webhook-id", claim.event.id))
        digest = hashlib.sha256(body).hexdigest()
        url = f"http://{delivery.target}.internal/"
        outcome = replace(outcome, sent=Sent("POST", url, headers, len(body), digest, body[:200].decode()))
    return Settlement(delivery.id, claim.token, outcome, state, at + 40 + len(body) % 90, 0)

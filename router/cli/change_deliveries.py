"""Runs a replay or cancel on the store, by ids or by a filter. It asks before it changes very many deliveries."""

import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import click

from router.cli.change_report import change_progress, print_report
from router.cli.options import filter_of, now_ms, open_store
from router.cli.printing.text import counted
from router.cli.resolve import print_no_match, resolve_event, resolve_ids
from router.domain.deliveries import State
from router.domain.filters import Filter
from router.operate.bulk_change import BulkChange, ChangeReport, names_more_than_states
from router.operate.delivery_operation import DeliveryOperation
from router.operate.ids import find_delivery
from router.store.contract import OperatorStore


def change_deliveries(
    operation: DeliveryOperation, ids: Sequence[str], states: Sequence[str], store: str, flags: dict[str, Any]
) -> None:
    """Run it and print its report. `flags` are those of `filter_options` and of the command. Raises StoreError."""
    which = filter_of(states or [state.value for state in operation.states_by_filter], flags)
    if ids and (names_more_than_states(which) or flags["every"]):
        raise click.UsageError("give either ids or a filter; beside ids, only --state is allowed")
    report = ChangeReport(operation, flags["dry_run"])
    with closing(open_store(store)) as opened:
        if ids:
            _by_ids(opened, report, ids, [State(state) for state in states] or operation.states_by_id)
        else:
            which = replace(which, event_id=resolve_event(opened, which.event_id))
            if not (names_more_than_states(which) or flags["every"] or flags["dry_run"] or flags["yes"]):
                _confirm(opened, operation, which)
            _by_filter(opened, report, which, as_json=flags["as_json"])
        owner = opened.owner()
    finish(report, owner, by_id=bool(ids), as_json=flags["as_json"])


def _by_ids(store: OperatorStore, report: ChangeReport, texts: Sequence[str], states: Sequence[State]) -> None:
    ids = resolve_ids(store, texts, find_delivery)
    with change_progress(report, len(ids)) as advance:
        BulkChange(store, report, states, now_ms, advance).by_ids(ids)


def _by_filter(store: OperatorStore, report: ChangeReport, which: Filter, *, as_json: bool) -> None:
    with change_progress(report, store.count(which)) as advance:
        BulkChange(store, report, which.states, now_ms, advance).by_filter(which)
    if not (report.done or report.skipped):
        print_no_match(store, "delivery", which, as_json=as_json)


def _confirm(store: OperatorStore, operation: DeliveryOperation, which: Filter) -> None:
    if not sys.stdin.isatty():
        raise click.UsageError(f"say which deliveries to {operation.name}: ids, a filter such as --rule, or --all")
    states = " or ".join(which.states)
    count = store.count(which)
    question = f"{operation.name} all {states} deliveries: {counted(count, 'delivery')}?"
    if count and not click.confirm(question, err=True):
        raise click.Abort


def finish(report: ChangeReport, owner: int | None, *, by_id: bool, as_json: bool) -> None:
    """Print the report; end with exit code 1 if an id was not found."""
    print_report(report, by_id=by_id, as_json=as_json, owner=owner)
    if report.missing:
        sys.exit(1)

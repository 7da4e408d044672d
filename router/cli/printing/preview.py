"""Prints what the rules would do with an event, and why."""

import json
from collections.abc import Iterator
from typing import Any

import click

from router.cli.printing.text import safe, safe_lines
from router.domain.units import as_duration
from router.rules.dry_run.explain import Explained, ExplainedRule


def print_preview(result: dict[str, Any]) -> None:
    """Print the rules that match, and what each action would do, from the preview's JSON."""
    matched = result["matched"]
    if result.get("source_disabled"):
        click.echo("the source is disabled: such a request is answered 404; once it is enabled:")
    click.echo("matched: " + (", ".join(matched) if matched else "no rule"))
    if "answer" in result:
        answer = result["answer"]
        other = "this" if "respond" in result else "202"
        within = as_duration(answer["within_ms"] / 1000)
        click.echo(f"the sender gets the answer of {answer['from']} if it comes within {within}, else {other}")
    if "respond" in result:
        _print_reply(result["respond"])
    for error in result.get("errors", ()):
        click.echo(f"rule {error['rule']} could not be judged, so it counts as unmatched: {error['error']}")
    for delivery in result["deliveries"]:
        ordered = f", in order of {delivery['order_key']}" if delivery["order_key"] is not None else ""
        of_item = f" of {safe(delivery['item'])}" if "item" in delivery else ""
        click.echo(
            f"\n{delivery['rule']} / {delivery['action']}{of_item}: {delivery['type']} to {delivery['target']}{ordered}"
        )
        for line in _group_lines(delivery):
            click.echo(f"  {line}")
        if "held" in delivery:
            click.echo(f"  held: {delivery['held']}")
        if delivery["error"] is not None:
            click.echo(f"  would be dead at once: {delivery['error']}")
            continue
        for key, value in delivery[delivery["type"]].items():
            click.echo(f"  {key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}")


def _print_reply(reply: dict[str, Any]) -> None:
    by = f"rule {reply['rule']}" if reply["rule"] is not None else "the source"
    if reply["error"] is not None:
        click.echo(f"respond of {by} can't be rendered, so the sender is answered as usual: {safe(reply['error'])}")
        return
    kind = f", {reply['content_type']}" if reply["content_type"] else ""
    click.echo(f"responds by {by}: {reply['status']}{kind}")
    for name, value in reply["headers"].items():
        click.echo(f"  {name}: {safe(value)}")
    for line in safe_lines(reply["body"]) if reply["body"] else ():
        click.echo(f"  | {line}")


def _group_lines(delivery: dict[str, Any]) -> Iterator[str]:
    if "latest_key" in delivery:
        yield f"of the waiting deliveries of {delivery['latest_key']} only the newest is made"
    if "wait_ms" in delivery:
        wait, most = as_duration(delivery["wait_ms"] / 1000), as_duration(delivery["max_wait_ms"] / 1000)
        yield f"begins when nothing newer has come for {wait}, after {most} at the latest"
    if "once_key" in delivery:
        within = as_duration(delivery["within_ms"] / 1000)
        yield f"skipped if an earlier delivery of {delivery['once_key']} came within {within}"


def print_explained(rule: ExplainedRule) -> None:
    """Print the verdict of a rule, then the result of each condition."""
    marks = {"matched": "+", "unmatched": "-", "error": "!", "not tried": " "}
    click.echo(
        f"\n{marks[rule.verdict]} {rule.rule}: {rule.verdict}" + (f", since {rule.reason}" if rule.reason else "")
    )
    if rule.items is not None:
        of = f"; below, {safe(rule.item)}" if rule.item is not None else ""
        click.echo(f"    {len(rule.items)} of {len(rule.items) + rule.unmatched_items} items match{of}")
    for condition in rule.conditions:
        _print_condition(condition, "    ")


def _print_condition(condition: Explained, indent: str) -> None:
    mark = {True: "+", False: "-", None: "!"}[condition.holds]
    click.echo(f"{indent}{mark} {condition.reason if condition.operator else condition.what}")
    for part in condition.parts:
        _print_condition(part, indent + "    ")

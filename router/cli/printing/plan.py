"""Prints a plan: as text for a terminal, or as Markdown for a comment, with ids and without payloads."""

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import click

from router.cli.printing.table import print_table
from router.cli.printing.text import counted, local_time, safe
from router.operate.plan.report import NOT_COVERED, AnswerEntry, Entry, EntryKey, PlanReport
from router.operate.plan.words import WORDS

Show = Callable[[str], str]
"""Makes a name or reason safe to print. People outside may have written it."""

_HEADINGS = ("rule", "matched before", "after", "come", "go", "change", "fail", "mend", "move")


def print_plan(facts: Mapping[str, Any], report: PlanReport) -> None:
    """Print a plan for a person at a terminal."""
    click.echo(_title(facts))
    click.echo(_summary(report))
    rows = list(_rule_rows(report))
    if rows:
        click.echo()
        print_table(_HEADINGS, rows, folding=("rule",))
    for entry in report.sorted_entries():
        click.echo(f"\n{WORDS[entry.key.kind][0]} {_entry_words(entry)}")
        for sample in entry.samples:
            click.echo(f"    {sample['event']}  {local_time(sample['received_at_ms'])}{_item(sample)}")
            _print_fields(entry.key.fields, sample)
    for answer in report.sorted_answers():
        click.echo(f"\n~ {_answer_words(answer)}")
        for sample in answer.samples:
            click.echo(f"    {sample['event']}  {local_time(sample['received_at_ms'])}")
            _print_fields(answer.fields, sample)
    for line in _other_lines(report):
        click.echo(f"\n! {line}")
    click.echo("\nnot covered: " + "; ".join(text.partition(" (")[0] for text in NOT_COVERED))


def print_markdown(facts: Mapping[str, Any], report: PlanReport) -> None:
    """Print a plan as Markdown, without anything of the payloads."""
    click.echo(f"### {_title(facts, _code)}\n")
    click.echo(f"{_summary(report)}\n")
    rows = list(_rule_rows(report))
    if rows:
        click.echo("| " + " | ".join(_HEADINGS) + " |")
        click.echo("|---" * len(_HEADINGS) + "|")
        for row in rows:
            click.echo("| " + " | ".join([_code(row[0]).replace("|", "\\|"), *row[1:]]) + " |")
        click.echo()
    for entry in report.sorted_entries():
        click.echo(f"- **{WORDS[entry.key.kind][0]}** {_entry_words(entry, _code, with_reason=False)}")
        if entry.samples:
            click.echo("  " + ", ".join(f"`{sample['event']}`" for sample in entry.samples))
    for answer in report.sorted_answers():
        click.echo(f"- **~** {_answer_words(answer, _code)}")
        if answer.samples:
            click.echo("  " + ", ".join(f"`{sample['event']}`" for sample in answer.samples))
    for line in _other_lines(report, _code):
        click.echo(f"- **!** {line}")
    if report.entries or report.answers or list(_other_lines(report)):
        click.echo()
    click.echo("<sub>Not covered: " + "; ".join(NOT_COVERED) + ".</sub>")


def _title(facts: Mapping[str, Any], show: Show = safe) -> str:
    against, of = facts["against"]["rules"], facts["against"]["hash"]
    named = {"running": "the running rules", "then": "the rules by which each event was routed", "file": "other rules"}
    with_hash = f" {of[:12]}" if of else ""
    return f"plan: {show(facts['new']['file'])} {facts['new']['hash'][:12]} against {named[against]}{with_hash}"


def _summary(report: PlanReport) -> str:
    if not report.events:
        return "no event of that time was compared"
    changed = f"{report.changed:,} with deliveries that differ" if report.changed else "all with the same deliveries"
    return f"{counted(report.events, 'event')} compared, {changed}; {counted(report.same, 'delivery')} the same"


def _rule_rows(report: PlanReport) -> Iterator[tuple[str, ...]]:
    for rule in report.as_json()["rules"]:
        counts = [rule[kind] for kind in ("come", "go", "change", "fail", "mend", "move")]
        if any(counts) or rule["matched_before"] != rule["matched_after"] or rule["renamed_from"]:
            was = f" (was {safe(rule['renamed_from'])})" if rule["renamed_from"] else ""
            numbers = [f"{count:,}" if count else "" for count in counts]
            yield (safe(rule["rule"]) + was, f"{rule['matched_before']:,}", f"{rule['matched_after']:,}", *numbers)


def _entry_words(entry: Entry, show: Show = safe, *, with_reason: bool = True) -> str:
    key = entry.key
    fields = ": " + ", ".join(key.fields) if key.fields else ""
    reason = f": {safe(key.reason)}" if with_reason and key.reason else ""
    verb = WORDS[key.kind][1]
    if entry.count == 1:
        verb = {"go": "goes", "come": "comes", "change": "changes"}.get(verb, verb)
        verb = verb.replace("move to", "moves to").replace("and do the same", "and does the same")
    return f"{counted(entry.count, 'delivery')} {verb}: {show(_place(key))}{fields}{reason}"


def _place(key: EntryKey) -> str:
    names = dict.fromkeys("/".join(side) for side in (key.before, key.after) if side is not None)
    to = "" if key.target in names else f" to {key.target}"  # otherwise the target is the action itself
    return f"{' → '.join(names) or 'more'} ({key.type}{to})"


def _answer_words(entry: AnswerEntry, show: Show = safe) -> str:
    before, after = entry.rules
    names = dict.fromkeys("no rule" if name is None else name for name in (before, after))
    fields = f": {', '.join(entry.fields)}" if entry.fields else ""
    senders = "the sender of 1 event gets" if entry.count == 1 else f"the senders of {entry.count:,} events get"
    return f"{senders} another answer, by {show(' → '.join(names))}{fields}"


def _print_fields(fields: Sequence[str], sample: Mapping[str, Any]) -> None:
    for name in fields:
        click.echo(f"      {name}: {_value(sample['before'][name])}")
        click.echo(f"      {' ' * len(name)}  {_value(sample['after'][name])}")


def _item(sample: Mapping[str, Any]) -> str:
    return f"  {safe(sample['item'])}" if sample["item"] is not None else ""


def _value(value: Any) -> str:
    return safe(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _other_lines(report: PlanReport, show: Show = safe) -> Iterator[str]:
    for (rule, reason), found in sorted(report.not_judged.items()):
        yield f"{counted(found.count, 'event')}: rule {show(rule)} could not be judged: {show(reason)}"
    for reason, found in sorted(report.not_accepted.items()):
        yield f"{counted(found.count, 'event')} would not be accepted: {show(reason)}"
    for reason, found in sorted(report.not_compared.items()):
        yield f"{counted(found.count, 'event')} not compared: {show(reason)}"


def _code(text: str) -> str:
    """Text as code: Markdown shows it as it is, and makes no link, mention or notification of it."""
    shown = safe(text)
    fence = "`" * (1 + max(map(len, re.findall("`+", shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"

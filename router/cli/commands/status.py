"""`webhook-router status`: shows the daemon, its rules, the waiting deliveries of each target, and the store's size."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

import click

from router.cli.options import json_option, now_ms, open_store, store_option
from router.domain.summaries import Depth

if TYPE_CHECKING:
    from router.operate.status import Status
    from router.operate.waits import Waits
    from router.store.fleet import NodeState

_HELP = """Show the daemon, its rules, what waits at each target, breakers, and the store's size.

\b
Examples:
  webhook-router status
  webhook-router status --json | jq '.targets[] | select(.dead > 0)'

It reads the store, so it works without a daemon too: it then shows the rules and breakers of the last daemon.
Exit codes: 0 done, 1 the store can't be read, 2 wrong usage.
"""


@click.command(help=_HELP, short_help="Show the daemon, its rules, what waits at each target, and the store.")
@store_option
@json_option
def status(store: str, *, as_json: bool) -> None:
    """Show the status."""
    from router.cli.printing.table import print_json  # noqa: PLC0415 - `--help` need not wait
    from router.operate.status import read_status  # noqa: PLC0415

    with closing(open_store(store)) as opened:
        found = read_status(opened, opened.owner())
    now = now_ms()
    if as_json:
        print_json(found.as_json(now))
    else:
        _print(found, now)


def _print(found: "Status", now: int) -> None:
    from router.cli.printing.table import print_fields  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.text import safe, size, span  # noqa: PLC0415

    notes, depths, oldest = found.notes, found.depths, found.oldest_at
    pending = sum(d.due + d.blocked + d.held for d in depths)
    held = sum(d.held for d in depths)
    waits = f", the oldest for {span(now - oldest)}" if oldest is not None else ""
    log = f" and {size(found.log_size)} of write-ahead log" if found.log_size else ""
    print_fields(
        [
            *([] if found.nodes else [("daemon", _daemon(found.pid, notes["process"], now))]),
            *_nodes(found.nodes, now),
            ("rules", _rules(notes["rules"], now)),
            *_plugins(notes["process"]),
            *_drift(notes["rules"], now),
            *_sources(notes["rules"]),
            *_polls(found, now),
            ("store", f"{safe(found.location)}, {size(found.size)}{log}"),
            ("pending", f"{pending:,}{waits}"),
            *([("held", f"{held:,} of them")] if held else []),
            *_holds(found, now),
            ("dead", _dead(sum(d.dead for d in depths))),
        ]
    )
    breakers = notes["breakers"]
    names = sorted({*(d.target for d in depths), *breakers})
    if names:
        click.echo()
        _print_targets({d.target: d for d in depths}, breakers, found.waits, names, now)


def _daemon(pid: int | None, process: dict[str, Any], now: int) -> str:
    from router.cli.printing.text import safe, span  # noqa: PLC0415 - `--help` need not wait

    if pid is None:
        return "none runs on this store; rules and breakers below are from the last daemon"
    words = [f"runs, process {pid}" if pid else "runs"]
    if process.get("pid") in (None, pid):  # otherwise the note is from an earlier daemon
        if "version" in process:
            words.append(f"version {process['version']}")
        if isinstance(process.get("started_at"), int):
            words.append(f"for {span(now - process['started_at'])}")
        words += [f"{key} {process[key]}" for key in ("listen", "admin") if process.get(key)]
        if processes := process.get("processes"):
            serving = [bool(one.get("serves")) for one in processes if one.get("number")]  # number 0 receives none
            words.append(f"{sum(serving)} of {len(serving)} intake processes serve")
    return safe(", ".join(words))


def _plugins(process: dict[str, Any]) -> list[tuple[str, str]]:
    """A field for each plugin that can't be used."""
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait

    broken = [one for one in process.get("plugins") or () if isinstance(one, dict) and one.get("error")]
    return [
        ("plugin", safe(f'{one.get("kind")} "{one.get("name")}" ({one.get("package")}) can\'t be used: {one["error"]}'))
        for one in broken
    ]


def _sources(rules: dict[str, Any]) -> list[tuple[str, str]]:
    """A field for each source with a `keep` of its own, or with limits on who sees its events."""
    from router.cli.printing.text import safe  # noqa: PLC0415 - `--help` need not wait
    from router.operate.source_settings import settings_words  # noqa: PLC0415

    noted = rules.get("sources")
    found = noted.items() if isinstance(noted, dict) else ()
    words = [(name, settings_words(settings)) for name, settings in found if isinstance(settings, dict)]
    return [(f"source {safe(name)}", safe(", ".join(said))) for name, said in words if said]


def _polls(found: "Status", now: int) -> list[tuple[str, str]]:
    """A field for each polled source."""
    from router.cli.printing.text import safe, span  # noqa: PLC0415 - `--help` need not wait

    fields = []
    for state in found.polls:
        words = [f"{state.events:,} event{'' if state.events == 1 else 's'}"]
        if state.failures:
            count = "once" if state.failures == 1 else f"{state.failures:,} times in a row"
            words = [f"FAILS for {span(now - state.failing_since)}, {count}: {state.error}", *words]
        if state.succeeded_at:
            words.append(f"polled {span(now - state.succeeded_at)} ago")
        if found.pid is not None and state.next_at > now:
            words.append(f"next in {span(state.next_at - now)}")
        fields.append((f"source {safe(state.source)}", safe(", ".join(words))))
    return fields


def _nodes(nodes: Sequence["NodeState"], now: int) -> list[tuple[str, str]]:
    """A field for each node that shares the store."""
    from router.cli.printing.text import safe, span  # noqa: PLC0415 - `--help` need not wait

    fields = []
    for node in nodes:
        facts = node.facts
        words = [f"process {facts.process} on {facts.host}", f"version {facts.version}", "+".join(facts.roles)]
        if facts.actions:
            words.append(f"delivers {', '.join(facts.actions)}")
        words.append(f"rules {node.rules[:12]}")
        words.append(f"for {span(now - node.started_at)}")
        if not node.lives:
            words.append(f"LOST: silent for {span(now - node.renewed_at)}; other nodes take over its deliveries")
        fields.append((f"node {safe(facts.name)}", safe(", ".join(words))))
    return fields


def _rules(rules: dict[str, Any], now: int) -> str:
    from router.cli.printing.text import counted, safe, span  # noqa: PLC0415 - `--help` need not wait

    if not rules:
        return "no daemon has reported yet"
    words = [
        str(rules.get("file", "?")),
        counted(rules["rules"], "rule") if isinstance(rules.get("rules"), int) else "? rules",
        f"hash {str(rules.get('hash', '?'))[:12]}",
    ]
    if isinstance(rules.get("loaded_at"), int):
        words.append(f"loaded {span(now - rules['loaded_at'])} ago")
    return safe(", ".join(words))


def _drift(rules: dict[str, Any], now: int) -> list[tuple[str, str]]:
    """A field that says why the rules file differs from the running rules. No field if they are the same."""
    from router.cli.printing.text import safe, span  # noqa: PLC0415 - `--help` need not wait

    drift = rules.get("drift")
    if not isinstance(drift, dict):
        return []
    since = drift.get("since")
    duration = f" for {span(now - since)}" if isinstance(since, int) else ""
    problems = [safe(str(problem)) for problem in drift.get("problems") or ()]
    why = f": {problems[0]}" if problems else ""
    if len(problems) > 1:
        why += " (and more; see `webhook-router check`)"
    return [("file", f"not what runs{duration}{why}")]


def _holds(found: "Status", now: int) -> list[tuple[str, str]]:
    """A field for each target that is paused, and each rule and action that is disabled."""
    from router.cli.printing.text import safe, span  # noqa: PLC0415 - `--help` need not wait
    from router.operate.held import hold_words  # noqa: PLC0415

    fields = []
    for holds in found.holds.active(now).values():
        for hold in holds:
            end = "" if hold.until is None else f", ends in {span(hold.until - now)}"
            fields.append(("", safe(f"{hold_words(hold)}, for {span(now - hold.began_at)}{end}")))
    return fields


def _dead(count: int) -> str:
    return f"{count:,}; see `webhook-router deliveries list --state dead`" if count else "0"


def _print_targets(
    depths: Mapping[str, Depth], breakers: dict[str, Any], waits: "Waits", names: Sequence[str], now: int
) -> None:
    from router.cli.printing.deliveries import wait_words  # noqa: PLC0415 - `--help` need not wait
    from router.cli.printing.table import print_table  # noqa: PLC0415
    from router.cli.printing.text import safe, span  # noqa: PLC0415

    rows = []
    for name in names:
        d = depths.get(name, Depth(name))
        oldest = span(now - d.oldest_at) if d.oldest_at is not None else "-"
        counts = [f"{number:,}" for number in (d.due, d.blocked, d.held, d.running, d.dead)]
        waiting = waits.at_depth(d, now)
        waits_for = wait_words(waiting, now) if waiting else "-"
        rows.append((safe(name), *counts, oldest, waits_for, _breaker(breakers.get(name), now)))
    headings = ("target", "due", "blocked", "held", "running", "dead", "oldest", "waits for", "breaker")
    print_table(headings, rows, folding=("target", "breaker"))


def _breaker(breaker: Any, now: int) -> str:
    from router.cli.printing.text import safe, span  # noqa: PLC0415 - `--help` need not wait

    if not isinstance(breaker, dict):
        return "-"
    words = [str(breaker.get("state", "?"))]
    if isinstance(breaker.get("since"), int):
        words.append(f"for {span(now - breaker['since'])}")
    if isinstance(breaker.get("until"), int) and breaker["until"] > now:
        words.append(f"tried again in {span(breaker['until'] - now)}")
    if breaker.get("failures"):
        words.append(f"{breaker['failures']} failures")
    return safe(", ".join(words))

"""`webhook-router status`: what the daemon does, what waits, what is wrong. Answers with the daemon stopped as well."""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from router.commands.options import json_option, now_ms, open_store, store_option
from router.model import Depth

if TYPE_CHECKING:
    from router.store.sqlite import SqliteStore

_HELP = """Show the daemon, its rules, what waits at each target, breakers, and the store's size.

\b
Examples:
  webhook-router status
  webhook-router status --json | jq '.targets[] | select(.dead > 0)'

It reads the store, so it works with the daemon stopped as well; it then shows what the last one said of itself.
Exit codes: 0 done, 1 the store can't be read, 2 usage.
"""


@click.command(help=_HELP, short_help="Show how things stand: daemon, rules, targets, store.")
@store_option
@json_option
def status(store: str, *, as_json: bool) -> None:
    """Show how things stand."""
    from router.listing import print_json  # noqa: PLC0415 - `--help` need not wait
    from router.store.sqlite_file import disk_usage  # noqa: PLC0415

    with closing(open_store(store)) as opened:
        notes = {name: note(opened, name) for name in ("process", "rules", "breakers")}
        depths = opened.depths()
    path = _path(store)
    size, log = disk_usage(path)
    pid = owner(store)
    now = now_ms()
    if as_json:
        print_json(_as_json(path, pid, notes, depths, (size, log), now))
    else:
        _print(path, pid, notes, depths, (size, log), now)


def owner(store: str) -> int | None:
    """The process of the daemon that owns a store; 0 when it doesn't say, none when none runs."""
    from router.store.sqlite_file import owner_of  # noqa: PLC0415 - `--help` need not wait

    try:
        return owner_of(_path(store))
    except OSError:  # the lock's file is another user's: the commands that write would have failed before
        return None


def note(store: "SqliteStore", name: str) -> dict[str, Any]:
    """What a daemon said of itself; nothing when it said nothing that can be read."""
    try:
        value = json.loads(store.notes().get(name, "{}"))
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}


def _path(store: str) -> Path:
    from router.settings import store_path  # noqa: PLC0415 - `--help` need not wait

    return store_path(store).resolve()


def _as_json(
    path: Path,
    pid: int | None,
    notes: Mapping[str, dict[str, Any]],
    depths: Sequence[Depth],
    disk: tuple[int, int],
    now: int,
) -> dict[str, Any]:
    from router.listing import times  # noqa: PLC0415 - `--help` need not wait

    oldest = min((d.oldest_at for d in depths if d.oldest_at is not None), default=None)
    targets = [
        {
            "target": d.target,
            "due": d.due,
            "blocked": d.blocked,
            "running": d.running,
            "dead": d.dead,
            **times(oldest_at=d.oldest_at),
            "oldest_age_ms": None if d.oldest_at is None else max(0, now - d.oldest_at),
            "breaker": notes["breakers"].get(d.target, {"state": "closed"}),
        }
        for d in depths
    ]
    return {
        "running": pid is not None,
        "pid": pid or None,
        "store": {"path": str(path), "bytes": disk[0], "wal_bytes": disk[1]},
        **notes,
        "pending": sum(d.due + d.blocked for d in depths),
        "in_flight": sum(d.running for d in depths),
        "dead": sum(d.dead for d in depths),
        **times(oldest_at=oldest),
        "oldest_age_ms": None if oldest is None else max(0, now - oldest),
        "targets": targets,
    }


def _print(
    path: Path,
    pid: int | None,
    notes: Mapping[str, dict[str, Any]],
    depths: Sequence[Depth],
    disk: tuple[int, int],
    now: int,
) -> None:
    from router.listing import print_fields, safe, size, span  # noqa: PLC0415 - `--help` need not wait

    pending = sum(d.due + d.blocked for d in depths)
    oldest = min((d.oldest_at for d in depths if d.oldest_at is not None), default=None)
    waits = f", the oldest for {span(now - oldest)}" if oldest is not None else ""
    log = f" and {size(disk[1])} of write-ahead log" if disk[1] else ""
    print_fields(
        [
            ("daemon", _daemon(pid, notes["process"], now)),
            ("rules", _rules(notes["rules"], now)),
            *_failed_reload(notes["rules"], now),
            ("store", f"{safe(str(path))}, {size(disk[0])}{log}"),
            ("pending", f"{pending:,}{waits}"),
            ("dead", _dead(sum(d.dead for d in depths))),
        ]
    )
    breakers = notes["breakers"]
    names = sorted({*(d.target for d in depths), *breakers})
    if names:
        click.echo()
        _print_targets({d.target: d for d in depths}, breakers, names, now)


def _daemon(pid: int | None, process: dict[str, Any], now: int) -> str:
    from router.listing import safe, span  # noqa: PLC0415 - `--help` need not wait

    if pid is None:
        return "none runs on this store; what follows of rules and breakers is the last one's word"
    words = [f"runs, process {pid}" if pid else "runs"]
    if process.get("pid") in (None, pid):  # else the note is an earlier one's
        if "version" in process:
            words.append(f"version {process['version']}")
        if isinstance(process.get("started_at"), int):
            words.append(f"for {span(now - process['started_at'])}")
        words += [f"{key} {process[key]}" for key in ("listen", "admin") if process.get(key)]
    return safe(", ".join(words))


def _rules(rules: dict[str, Any], now: int) -> str:
    from router.listing import safe, span  # noqa: PLC0415 - `--help` need not wait

    if not rules:
        return "no word of a daemon yet"
    words = [
        str(rules.get("file", "?")),
        f"{rules.get('rules', '?')} rules",
        f"hash {str(rules.get('hash', '?'))[:12]}",
    ]
    if isinstance(rules.get("loaded_at"), int):
        words.append(f"loaded {span(now - rules['loaded_at'])} ago")
    return safe(", ".join(words))


def _failed_reload(rules: dict[str, Any], now: int) -> list[tuple[str, str]]:
    from router.listing import safe, span  # noqa: PLC0415 - `--help` need not wait

    failed_at = rules.get("failed_at")
    if not isinstance(failed_at, int):
        return []
    problems = [safe(str(problem)) for problem in rules.get("problems") or ()]
    why = f": {problems[0]}" if problems else ""
    if len(problems) > 1:
        why += " (and more; see `webhook-router check`)"
    return [("reload", f"failed {span(now - failed_at)} ago, the rules above stay{why}")]


def _dead(count: int) -> str:
    return f"{count:,}; see `webhook-router deliveries list --state dead`" if count else "0"


def _print_targets(depths: Mapping[str, Depth], breakers: dict[str, Any], names: Sequence[str], now: int) -> None:
    from router.listing import print_table, safe, span  # noqa: PLC0415 - `--help` need not wait

    rows = []
    for name in names:
        d = depths.get(name, Depth(name))
        oldest = span(now - d.oldest_at) if d.oldest_at is not None else "-"
        counts = [f"{number:,}" for number in (d.due, d.blocked, d.running, d.dead)]
        rows.append((safe(name), *counts, oldest, _breaker(breakers.get(name), now)))
    headings = ("target", "due", "blocked", "running", "dead", "oldest", "breaker")
    print_table(headings, rows, folding=("target", "breaker"))


def _breaker(breaker: Any, now: int) -> str:
    from router.listing import safe, span  # noqa: PLC0415 - `--help` need not wait

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

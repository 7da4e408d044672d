"""Completes names and ids in a shell: of rules, actions, targets, sources, providers, events and deliveries.

Names come from the store and the rules file that the command line names. Completion never fails and prints no error:
it leaves out what can't be read.
"""

import contextlib
import io
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.shell_completion import CompletionItem

from router.domain.own_events import SOURCE

if TYPE_CHECKING:
    from router.operate.ids import Kind

    _Text = click.ParamType[str]
else:
    _Text = click.ParamType  # generic from click 8.3 on

Find = Callable[[click.Context, str], Iterable[tuple[str, str]]]
"""Gives pairs of a value and a short help, for the typed text."""

_IDS = 20  #: how many of the newest ids are offered, besides `last`
_DEFAULT_STORE, _DEFAULT_RULES = "sqlite:webhook-router.db", "rules.yaml"


class CompletedText(_Text):
    """A text parameter that offers values to the shell."""

    name = "text"

    def __init__(self, find: Find) -> None:
        self.find = find

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """The values that begin with the typed text."""
        given, found = ctx.params.get(param.name or "") or (), []
        with contextlib.redirect_stderr(io.StringIO()), contextlib.suppress(Exception, SystemExit):
            for name, text in self.find(ctx, incomplete):
                if name.startswith(incomplete) and name not in given and name.isprintable():
                    found.append(CompletionItem(name, help=text or None))
        return found


def complete_names(group: click.Group, path: tuple[str, ...] = ()) -> None:
    """Add completion to every flag and argument of these commands that takes a name or an id."""
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            complete_names(command, (*path, name))
            continue
        for parameter in command.params:
            find = _find_of(parameter, (*path, name))
            if find is not None and parameter.type is click.STRING:
                parameter.type = CompletedText(find)


def _find_of(parameter: click.Parameter, path: tuple[str, ...]) -> Find | None:
    stands_for = (parameter.metavar or parameter.name or "").strip("[].").upper()
    if stands_for in ("SOURCE", "NAME") and path[0] in ("init", "sources"):
        return _starters if path[0] == "init" else _providers
    if stands_for in ("RULE", "ACTION", "TARGET", "SOURCE") or (stands_for == "NAME" and path[0] == "targets"):
        word = "target" if stands_for == "NAME" else stands_for.lower()
        unwanted = {SOURCE} if path[0] == "send" else set()  # nobody sends to the router's own events
        return lambda context, _: ((name, "") for name in sorted(_names(context, word) - unwanted))
    if stands_for in ("ID", "EVENT"):
        kind: Kind = "delivery" if path[0] == "deliveries" and stands_for == "ID" else "event"
        return lambda context, typed: _ids(context, kind, typed)
    return None


def _names(context: click.Context, word: str) -> set[str]:
    found: set[str] = set()
    for names in (_names_of_rules, _names_of_store):
        with contextlib.suppress(Exception, SystemExit):  # either may be missing
            found |= set(names(context, word))
    return found


def _names_of_store(context: click.Context, word: str) -> Iterable[str]:
    from router.cli.options import open_store  # noqa: PLC0415 - only a completion of names needs it
    from router.operate.known_names import known_names  # noqa: PLC0415

    with closing(open_store(_store(context))) as store:
        names: frozenset[str] = getattr(known_names(store), word)
    return names


def _names_of_rules(context: click.Context, word: str) -> Iterator[str]:
    from router.cli.options import loader  # noqa: PLC0415 - only a completion of names needs it

    ruleset = loader(require_secrets=False).load_file(_rules(context)).ruleset
    if ruleset is None:
        return
    if word == "source":
        yield from ruleset.sources
    elif word == "rule":
        yield from (rule.name for rule in ruleset.rules)
    else:
        actions = [*(action for rule in ruleset.rules for action in rule.actions), *ruleset.unmatched]
        yield from (ruleset.targets if word == "target" else ())
        yield from (action.name if word == "action" else action.action.target.key for action in actions)


def _ids(context: click.Context, kind: "Kind", typed: str) -> Iterator[tuple[str, str]]:
    from router.cli.options import now_ms, open_store  # noqa: PLC0415 - only a completion of ids needs it
    from router.cli.printing.text import span  # noqa: PLC0415
    from router.domain.filters import EventFilter, Filter  # noqa: PLC0415
    from router.operate.ids import ids_from  # noqa: PLC0415
    from router.operate.queries import newest_deliveries, newest_events  # noqa: PLC0415

    now = now_ms()
    yield "last", f"the newest {kind}"
    with closing(open_store(_store(context))) as store:
        if kind == "event":
            events = newest_events(store, EventFilter(), _IDS)
            newest = {one.id: f"{one.source}, {span(now - one.received_at)} ago" for one in events}
        else:
            deliveries = newest_deliveries(store, Filter(), _IDS)
            newest = {one.id: f"{one.rule}/{one.action}, {one.state.value}" for one in deliveries}
        yield from newest.items()
        yield from ((found, "") for found in ids_from(store, kind, typed) if found not in newest)


def _providers(_: click.Context, _typed: str) -> Iterable[tuple[str, str]]:
    from router.intake.verify.preset import presets  # noqa: PLC0415 - only this completion needs it

    return [(name, preset.title) for name, preset in sorted(presets().items())]


def _starters(_: click.Context, _typed: str) -> Iterable[tuple[str, str]]:
    from router.cli.starters.preset_starters import all_starters  # noqa: PLC0415 - only this completion needs it

    return [(name, starter.title) for name, starter in all_starters().items()]


def _store(context: click.Context) -> str:
    return str(context.params.get("store") or os.environ.get("WEBHOOK_ROUTER_STORE") or _DEFAULT_STORE)


def _rules(context: click.Context) -> Path:
    given = context.params.get("rules")
    return Path(given or os.environ.get("WEBHOOK_ROUTER_RULES") or _DEFAULT_RULES)

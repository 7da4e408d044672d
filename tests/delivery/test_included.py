"""Deliveries of a rule from an included file use the file's recorded text, after a restart and without the file."""

from contextlib import closing
from pathlib import Path

from router.daemon.registries import REGISTRIES
from router.daemon.wall_clock import now_ms
from router.delivery.dispatcher import Dispatcher
from router.domain.deliveries import State
from router.domain.events import Event
from router.domain.filters import Filter
from router.domain.ids import uuid7
from router.rules.compile.loader import Loader
from router.rules.parsing import parse_event
from router.rules.ruleset import CurrentRuleset
from tests.conftest import until
from tests.sqlite_template import open_store

MAIN = "include: [teams/*.yaml]\nsources: {s: {verify: none}}\n"
ALONE = "sources: {s: {verify: none}}\nrules: [{name: other, actions: [append: other.jsonl]}]\n"


def test_a_waiting_delivery_uses_the_recorded_text_of_its_included_file(tmp_path: Path) -> None:
    (tmp_path / "teams").mkdir()
    team = tmp_path / "teams" / "a.yaml"
    team.write_text("rules: [{name: a, source: s, actions: [append: out/a.jsonl]}]\n")
    (tmp_path / "rules.yaml").write_text(MAIN)
    loader, now = Loader(REGISTRIES, {}), now_ms()
    planned_by = loader.load_file(tmp_path / "rules.yaml").require()
    event = Event(uuid7(now), "s", "POST", "/hooks/s", "", (), b"{}", "127.0.0.1", now)
    with closing(open_store(tmp_path / "store.db")) as store:
        store.put_ruleset(planned_by.text, now).result(60)
        plan = planned_by.plan(parse_event(event, planned_by.sources["s"]))
        store.append(event, plan.deliveries, planned_by.hash).result(60)
    team.unlink()

    with closing(open_store(tmp_path / "store.db")) as store:
        current = CurrentRuleset(loader.load(ALONE, "rules.yaml", tmp_path).require())
        store.put_ruleset(current.ruleset.text, now).result(60)
        compiled = lambda text: loader.load_recorded(text).require()  # noqa: E731
        dispatcher = Dispatcher(current, store, compiled, REGISTRIES.actions, now_ms)
        dispatcher.start()
        try:
            until(lambda: store.count(Filter(states=(State.SUCCEEDED,))) == 1)
        finally:
            dispatcher.stop(0)
    assert (tmp_path / "teams" / "out" / "a.jsonl").is_file()  # relative to the folder of the included file

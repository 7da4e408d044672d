"""docs/rules.md is the specification of the rule language: every example in it is run."""

import json
import re
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from router.daemon.registries import REGISTRIES
from router.domain.events import Event, ParsedEvent
from router.rules.compile.loader import Loader
from router.rules.compile.match import COMBINATORS, parse_match
from router.rules.compile.scope import Scope
from router.rules.match.conditions import Condition
from router.rules.match.fields import FieldValues
from router.rules.match.for_each import for_each as for_each_item
from router.rules.match.for_each import item_list
from router.rules.match.operators import OPERATORS
from router.rules.match.operators.age import unix_ms
from router.rules.yaml.document import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, data
from router.rules.yaml.problems import ProblemReport
from tests.cases import each

TEXT = (Path(__file__).parents[2] / "docs" / "rules.md").read_text()
SCOPE = Scope(params=frozenset({"team"}))
EXAMPLES = re.findall(r"```yaml\n(.*?)```\n```\n(.*?)```", TEXT, re.DOTALL)


def _event(given: dict[str, Any]) -> ParsedEvent:
    headers = given.get("headers", {})
    headers = tuple(map(tuple, headers if isinstance(headers, list) else headers.items()))
    event = Event(
        id="e", source=given.get("source", "s"), method="POST", path="/hooks/s", query=given.get("query", ""), headers=headers, body=b"",
        ip=given.get("ip", "127.0.0.1"), received_at=round(unix_ms(given.get("received_at", 0)) or 0),
    )  # fmt: skip
    payload = given.get("payload", given.get("form", given.get("text")))
    return ParsedEvent(event, payload, "form" in given, given.get("params"))


@each(("rules", "events"), EXAMPLES, ids=[rules.strip()[:60] for rules, _ in EXAMPLES])
def test_every_documented_example_matches_as_shown(rules: str, events: str) -> None:
    if re.search("^rules:", rules, re.MULTILINE):
        _check_plans(rules, events)
        return
    root = read(rules)[0]
    assert isinstance(root, MappingNode)
    report = ProblemReport("rules.md")
    for_each = root.get("for_each")
    scope = replace(SCOPE, has_item=for_each is not None)
    condition = parse_match(NodePath(report, root, "").at("match"), scope)
    assert report.problems == []

    lines = events.strip().splitlines()
    assert lines
    for line in lines:
        assert line[0] in "+-"
        given = json.loads(line[2:])
        reads = FieldValues(_event(given))
        if for_each is None:
            assert condition.holds(reads) is (line[0] == "+"), line
        else:
            assert _selected(data(for_each), condition, reads) == given.get("items", []), line
            assert bool(given.get("items")) is (line[0] == "+"), line


def _selected(path: str, condition: Condition, reads: FieldValues) -> list[str]:
    compiled = for_each_item(item_list(path), 1_000, condition)
    return [item.place for item in compiled.select(reads, set())] if compiled.event.holds(reads) else []


def _check_plans(rules: str, events: str) -> None:
    """Check complete rules: each event plans the actions that its `plans` names. Included files follow after `---`, with
    their names in comments."""
    main, *others = rules.split("---\n")
    if "sources:" not in main:
        main = f"sources: {{s: {{verify: none}}}}\n{main}"
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "rules.yaml").write_text(main)
        for text in others:
            file = Path(folder, text.partition("\n")[0].removeprefix("# "))
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        loaded = Loader(REGISTRIES, {}).load_file(Path(folder, "rules.yaml"))
    assert not loaded.warnings
    for line in events.strip().splitlines():
        given = json.loads(line[2:])
        planned = [f"{d.rule}/{d.action}" for d in loaded.require().plan(_event(given)).deliveries]
        assert planned == given.get("plans", []), line
        assert bool(planned) is (line[0] == "+"), line


def test_every_documented_example_is_tested() -> None:
    assert len(EXAMPLES) == TEXT.count("```yaml") >= 20


@each("word", [*OPERATORS, *COMBINATORS, "exists", "every", "elem", "age", "equals_field", "ignore_case"])
def test_every_operator_has_an_example(word: str) -> None:
    assert any(re.search(rf"(?<![\w.$-]){word}:", rules) for rules, _ in EXAMPLES)


@each("word", [*OPERATORS, *COMBINATORS, "exists", "every", "elem", "age", "equals_field", "ignore_case"])
def test_every_operator_is_documented(word: str) -> None:
    assert re.search(rf"\*\*{word}\b|`{word}`", TEXT), word

"""The JSON Schema of rules files accepts valid files, rejects misspelt keys, and equals the published file."""

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from jsonschema import Draft7Validator

from router.daemon.registries import REGISTRIES
from router.rules.compile.json_schema import json_schema
from router.rules.yaml.document import read
from router.rules.yaml.nodes import data
from router.rules.yaml.yaml_problem import DocumentError
from tests.cases import each
from tests.conftest import examples
from tests.rules.match.strategies import MATCHES, Match

ROOT = Path(__file__).parents[3]
CONFIGS = ROOT / "tests" / "configs"


@cache
def _schema() -> dict[str, Any]:
    """The schema of main files; making it takes a third of a second."""
    return json_schema(REGISTRIES)


@cache
def _conditions() -> Draft7Validator:
    """A validator of a rule's `match`."""
    return Draft7Validator({"$ref": "#/definitions/match", "definitions": _schema()["definitions"]})


def _faults(text: str) -> list[Any]:
    return list(Draft7Validator(_schema()).iter_errors(data(read(text)[0])))


def test_the_schema_of_included_files_accepts_the_allowed_keys() -> None:
    schema = json_schema(REGISTRIES, included=True)
    Draft7Validator.check_schema(schema)
    rule = {"name": "r", "source": "s", "actions": [{"append": "x"}]}

    def faults(document: Any) -> list[Any]:
        return list(Draft7Validator(schema).iter_errors(document))

    assert faults(data(read((CONFIGS / "good" / "included" / "team.yaml").read_text())[0])) == []
    assert faults({"rules": [rule], "x-mine": 1, "targets": {"t": {"url": "http://h"}}}) == []
    for wrong in (
        {"rules": [{key: value for key, value in rule.items() if key != "source"}]},
        {"rules": [rule], "defaults": {"timeout": "3s"}},
        {"rules": [rule], "unmatched": [{"append": "x"}]},
        {"include": ["x.yaml"]},
    ):
        assert faults(wrong) != []


def test_the_published_schema_of_included_files_is_current() -> None:
    assert json.loads((ROOT / "included.schema.json").read_text()) == json_schema(REGISTRIES, included=True)


@pytest.mark.parametrize(
    ("text", "valid"),
    [
        ("include: [teams/*.yaml]", True),
        (
            "include: [{files: [a.yaml, b/*.yaml], only: {sources: [s], actions: [], targets: [t-*], secrets: []}}]",
            True,
        ),
        ("include: teams/*.yaml", False),
        ("include: [{only: {}}]", False),
        ("include: [{files: a.yaml, only: {source: [s]}}]", False),
        ("include: []", False),
        ("rules: [{name: r, actions: [{append: x}]}]", False),
        ("sources: {s: {verify: none}}", False),
    ],
)
def test_the_schema_accepts_include(text: str, valid: bool) -> None:
    assert (_faults(text) == []) is valid


def test_the_schema_is_valid_json_schema() -> None:
    Draft7Validator.check_schema(_schema())


@pytest.mark.parametrize(
    "path", [ROOT / "rules.example.yaml", *sorted((CONFIGS / "good").glob("*.yaml"))], ids=lambda path: str(path.stem)
)
def test_the_schema_accepts_valid_files(path: Path) -> None:
    assert _faults(path.read_text()) == []


@each(
    "change",
    [
        ("sources:", "source:"),
        ("verify: none", "verfy: none"),
        ("verify: none", "verify: {scheme: nosuch}"),
        ("match:", "matches:"),
        ("{$.a: 1}", "{ref: 1}"),
        ("{$.a: 1}", "{$.a: {equal: 1}}"),
        ("{$.a: 1}", "{$.a: {gt: '5'}}"),
        ("{$.a: 1}", "{$.a: {prefix: []}}"),
        ("{$.a: 1}", "{$.a: {age: 5m}}"),
        ("{$.a: 1}", "{weekday: monday}"),
        ("{$.a: 1}", "{time: '9:00'}"),
        ("{$.a: 1}", "{any: {$.a: 1}}"),
        ("{$.a: 1}", "{$.a: {elem: {source: x}}}"),
        ("append: x", "apend: x"),
        ("append: x", "append: {path: x, timeout: 5}"),
        ("append: x", "append: {path: x, timeout: 5 weeks}"),
        ("append: x", "append: x, forward: http://h"),
        ("append: x", "append: x, retry: {on: []}"),
        ("append: x", "append: x, retry: {on: [network]}"),
        ("append: x", "append: x, retry: {on: [75]}"),
        ("append: x", "forward: http://h, retry: {on: [signal]}"),
        ("append: x", "forward: http://h, retry: {on: [700]}"),
        ("append: x", "forward: http://h, retry: {on: [42x]}"),
        ("append: x", "forward: http://h, retry: {on: 503}"),
        ("append: x", "command: [x], retry: {on: [5xx]}"),
        ("append: x", "command: [x], retry: {on: [503]}"),
    ],
)
def test_the_schema_rejects_mistakes(change: tuple[str, str]) -> None:
    text = "sources: {s: {verify: none}}\nrules: [{name: r, match: {$.a: 1}, actions: [{append: x}]}]"
    assert _faults(text) == []

    assert _faults(text.replace(*change)) != []


@examples(50)
@given(match=MATCHES)
def test_the_schema_accepts_every_condition_that_loads(match: Match) -> None:
    assert list(_conditions().iter_errors(match)) == []


# Only `check` finds these: references to other places, syntax of paths, patterns and templates, files of the machine.
BEYOND_A_SCHEMA = """
action-twice command-in-unmatched command-templated-program command-templated-script command-unverified
field-missing-dot include-bounds field-params field-params-none field-reserved-word field-time-midnight for-each-filter
item-in-respond item-in-unmatched item-path item-without-for-each operand-bounds-mixed operand-equals-field ignore-case-alone operand-blank operand-blank-in-list operand-cidr
path-filter-literal-left poll-command-without-tls path-script path-where regex-broken regex-lookahead regex-possessive retry-initial-longer
rule-name-twice rule-respond-secret rule-respond-template rule-source-glob-nothing rule-source-missing
rule-source-undefined secret-empty secret-file-missing secret-undefined secret-unset source-allow-ips
source-path-pattern-name source-path-pattern-part source-path-pattern-same source-path-pattern-twice
source-path-twice source-public-key source-secret-form source-signed-word source-twilio-url source-username
target-limits-differ target-templated target-undefined target-url template-broken template-format template-header-dash
template-unknown-name timezone-unknown
url-templated-host
""".split()


@each("path", sorted((CONFIGS / "bad").glob("*.yaml")), ids=lambda path: str(path.stem))
def test_the_schema_rejects_every_kind_of_structural_mistake(path: Path) -> None:
    try:
        faults = _faults(path.read_text())
    except DocumentError:
        return  # an editor reports invalid YAML and repeated keys itself

    assert bool(faults) is (path.stem not in BEYOND_A_SCHEMA)


def test_the_published_schema_is_current() -> None:
    assert json.loads((ROOT / "rules.schema.json").read_text()) == _schema()


def test_the_example_names_the_schema_in_its_first_line() -> None:
    first = (ROOT / "rules.example.yaml").read_text().splitlines()[0]

    assert first == "# yaml-language-server: $schema=rules.schema.json"

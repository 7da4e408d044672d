"""Complete rules files: a valid file loads without a message, an invalid file gets all its problems reported."""

from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.rules.compile.loader import Loaded, Loader
from tests.cases import each

CONFIGS = Path(__file__).parents[2] / "configs"
ENVIRON = {
    "CHAT_URL": "http://127.0.0.1:9/hush",
    "HOOK_KEY": "hush-hush",
    "WHSEC": "whsec_aHVzaA==",
    "SIGN_KEY": "aHVzaGh1c2hodXNoaHVzaA==",
    "EMPTY": "",
}


def _load(path: Path, *, require_secrets: bool = True) -> Loaded:
    text = path.read_text()
    # First lines such as `#> …` are the expected messages. Line numbers count these lines too.
    return Loader(REGISTRIES, ENVIRON, require_secrets).load(text, "rules.yaml", path.parent)


@pytest.mark.parametrize("path", sorted((CONFIGS / "good").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_valid_file_loads_without_problems(path: Path) -> None:
    loaded = _load(path)

    assert [str(problem) for problem in loaded.problems] == []
    assert loaded.ruleset is not None


@each("path", sorted((CONFIGS / "bad").glob("*.yaml")), ids=lambda path: path.stem)
def test_an_invalid_file_reports_every_problem(path: Path) -> None:
    expected = [line.removeprefix("#> ") for line in path.read_text().splitlines() if line.startswith("#> ")]

    loaded = _load(path)

    assert [str(problem).removeprefix("rules.yaml:") for problem in loaded.problems] == expected
    assert loaded.ruleset is None
    assert "hush" not in str(loaded.problems)


def test_the_folder_of_invalid_files_is_complete() -> None:
    assert len(list((CONFIGS / "bad").glob("*.yaml"))) >= 80


def test_unset_secrets_are_notes_when_nothing_will_run() -> None:
    loaded = _load(CONFIGS / "bad" / "secret-unset.yaml", require_secrets=False)

    assert loaded.ruleset is not None
    assert [problem.level for problem in loaded.problems] == [Level.NOTE]


def test_the_valid_example_uses_every_key() -> None:
    from router.rules.yaml import schema

    text = (CONFIGS / "good" / "every-key.yaml").read_text()
    models = [value for value in vars(schema).values() if isinstance(value, type) and hasattr(value, "model_fields")]
    models += [kind.options for kind in REGISTRIES.actions.values()] + [s.Options for s in REGISTRIES.schemes.values()]
    models += [kind.Options for kind in REGISTRIES.handshakes.values()]
    keys = {field.alias or name for model in models for name, field in model.model_fields.items()}

    assert [key for key in sorted(keys) if f"{key}:" not in text] == []


@pytest.mark.parametrize(
    ("rules", "warning"),
    [
        (
            "rules: [{name: r, source: a, actions: [append: x]}]",
            '1:30: warning: sources: no rule listens to source "b"',
        ),
        (
            "targets: {t: {url: 'http://h'}}\nrules: [{name: r, source: '*', actions: [append: x]}]",
            'no action uses target "t"',
        ),
        (
            "rules:\n  - {name: r, source: '*', stop: true, actions: [append: x]}\n"
            "  - {name: s, source: a, actions: [append: y]}",
            '4:5: warning: rules[1] "s": this can\'t match: rule "r" above stops every event of its sources',
        ),
        (
            "rules: [{name: r, source: '*', match: {$.a: {exists: false, gt: 1}}, actions: [append: x]}]",
            "this can't hold",
        ),
        ("rules: [{name: r, source: '*', match: {$.a: 0123}, actions: [append: x]}]", "quote it if it is text"),
    ],
)
def test_a_file_with_a_likely_mistake_loads_with_a_warning(tmp_path: Path, rules: str, warning: str) -> None:
    text = "sources: {a: {verify: none}, b: {verify: none}}\n" + rules

    loaded = Loader(REGISTRIES, {}).load(text, "rules.yaml", tmp_path)

    assert loaded.ruleset is not None
    assert len(loaded.problems) == 1
    assert warning in str(loaded.problems[0])


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"a: \xff\xfe", "rules.yaml:1:4: not UTF-8 text"),
        (b"\xff\xfea\x00", "not UTF-8 text"),
        (b"\x00" * 100, "not allowed in YAML"),
    ],
)
def test_bytes_that_are_not_utf_8_are_a_problem(tmp_path: Path, data: bytes, message: str) -> None:
    loaded = Loader(REGISTRIES, {}).load(data, "rules.yaml", tmp_path)

    assert message in str(loaded.problems[0])


def test_a_byte_order_mark_changes_nothing(tmp_path: Path) -> None:
    text = (CONFIGS / "good" / "smallest.yaml").read_bytes()
    loader = Loader(REGISTRIES, {})

    with_mark = loader.load(b"\xef\xbb\xbf" + text, "rules.yaml", tmp_path).require()

    assert with_mark.hash == loader.load(text, "rules.yaml", tmp_path).require().hash


def test_an_unreadable_file_is_a_problem(tmp_path: Path) -> None:
    loaded = Loader(REGISTRIES, {}).load_file(tmp_path / "none.yaml")

    assert "No such file" in str(loaded.problems[0])
    assert "this folder has no rules" in str(Loader(REGISTRIES, {}).load_file(tmp_path).problems[0])

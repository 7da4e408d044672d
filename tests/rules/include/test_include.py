"""`include:` in a rules file: order, names, paths, places of errors, bounds and recorded texts."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.rules.compile.loader import Loaded, Loader

MAIN = """
include: [teams/*.yaml, extra.yaml]
sources: {s: {verify: none}}
targets: {ci: {url: "http://127.0.0.1:9"}}
rules: [{name: main, actions: [forward: {target: ci}]}]
"""
RULE = "rules: [{{name: {}, source: s, actions: [append: out/{}.jsonl]}}]\n"
Write = Callable[[Mapping[str, str]], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes files below a folder, and returns the main file."""

    def make(texts: Mapping[str, str]) -> Path:
        for name, text in texts.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        return tmp_path / "rules.yaml"

    return make


def load(path: Path, **environ: str) -> Loaded:
    """Load a file with its included files."""
    return Loader(REGISTRIES, environ, require_secrets=False).load_file(path)


def errors(path: Path, **environ: str) -> list[str]:
    """The errors, with places relative to the folder of the main file."""
    return [str(problem).replace(f"{path.parent}/", "") for problem in load(path, **environ).errors]


def test_rules_are_ordered_by_entry_and_by_file_name(write: Write) -> None:
    main = write(
        {
            "rules.yaml": MAIN,
            "extra.yaml": RULE.format("extra", "x"),
            "teams/b.yaml": RULE.format("b", "b"),
            "teams/a.yaml": RULE.format("a", "a"),
            "teams/.hidden.yaml": "nonsense",
            "teams/a.cases.yaml": "nonsense",
            "teams/notes.txt": "nonsense",
            "teams/deep/c.yaml": "nonsense",
        }
    )

    loaded = load(main)

    assert [rule.name for rule in loaded.require().rules] == ["main", "a", "b", "extra"]
    assert not loaded.problems


def test_a_file_without_include_has_the_hash_of_its_text(write: Write) -> None:
    alone = "sources: {s: {verify: none}}\n" + RULE.format("a", "a")
    text = load(write({"rules.yaml": alone})).require().text

    assert (text.included, text.hash) == ((), load(write({"rules.yaml": alone})).require().hash)
    import hashlib

    assert text.hash == hashlib.sha256(alone.encode()).hexdigest()


def test_the_hash_covers_every_included_text(write: Write) -> None:
    main = write({"rules.yaml": MAIN, "extra.yaml": RULE.format("x", "x"), "teams/a.yaml": RULE.format("a", "a")})
    before = load(main).require().hash
    write({"teams/a.yaml": RULE.format("a", "changed")})
    changed = load(main).require().hash
    (main.parent / "teams/a.yaml").rename(main.parent / "teams/b.yaml")

    assert len({before, changed, load(main).require().hash}) == 3


def test_relative_paths_start_at_the_folder_of_their_file(write: Write, tmp_path: Path) -> None:
    main = write(
        {
            "rules.yaml": MAIN.replace(", extra.yaml", ""),
            "teams/a.yaml": "secrets: {k: {file: key}}\n"
            "rules: [{name: a, source: s, actions: [append: {path: out/a.jsonl, line: '{{ payload.x }}'}]}]",
            "teams/key": "a-secret-of-the-team",
        }
    )
    (tmp_path / "teams/key").chmod(0o600)

    ruleset = load(main).require()

    assert ruleset.secrets["k"].reveal() == "a-secret-of-the-team"
    action = ruleset.actions["a", "append"].action
    assert getattr(action, "base") == tmp_path / "teams/out"  # noqa: B009 - only an append has it


def test_errors_name_the_right_file_line_and_column(write: Write) -> None:
    main = write(
        {
            "rules.yaml": MAIN.replace(
                "actions: [forward: {target: ci}]", "match: {$.a: {equal: 1}}, actions: [append: x.jsonl]"
            ),
            "extra.yaml": "rules:\n  - {name: main, source: nobody, actions: [forward: {target: cy}]}\n",
            "teams/a.yaml": "sources: {s: {verify: none}}\ntargets: {ci: {url: 'http://h'}}\nrules: [\n",
            "teams/b.yaml": "rules:\n  - {name: b, actions: [append: b.jsonl]}\n  - {name: b, source: s, actions: []}\n",
        }
    )

    assert errors(main) == [
        'extra.yaml:2:12: rules[0] "main".name: duplicate rule name "main"; it is on line 5 of rules.yaml already',
        'extra.yaml:2:26: rules[0] "main".source: undefined source "nobody"; known: s',
        'extra.yaml:2:62: rules[0] "main".actions[0].forward.target: undefined target "cy"; known: ci',
        'rules.yaml:5:36: rules[0] "main".match[$.a]: unknown operator "equal"; did you mean "equals"?',
        "teams/a.yaml:4:1: not YAML: did not find expected node content; while parsing a flow node, which began on line 4",
        'teams/b.yaml:2:5: rules[0] "b": missing source; a rule of an included file names its sources, '
        "since other files may add some",
        'teams/b.yaml:3:12: rules[1] "b".name: duplicate rule name "b"; it is on line 2 already',
        'teams/b.yaml:3:35: rules[1] "b".actions: expected a list of actions, found a list with nothing in it',
    ]


@pytest.mark.parametrize("section", ["sources", "targets", "secrets"])
def test_a_name_is_defined_once_in_all_files(write: Write, section: str) -> None:
    value = {"sources": "{verify: none}", "targets": "{url: 'http://h'}", "secrets": "{env: X}"}[section]
    main = write(
        {
            "rules.yaml": MAIN + ("secrets: {k: {env: X}}\n"),
            "extra.yaml": f"{section}: {{{ {'sources': 's', 'targets': 'ci', 'secrets': 'k'}[section] }: {value}}}\n",
        }
    )

    [error] = errors(main)

    assert error.startswith(f"extra.yaml:1:{len(section) + 4}: {section}: {section[:-1]} ")
    assert error.endswith("of rules.yaml already")


def test_two_sources_in_different_files_can_not_have_the_same_path(write: Write) -> None:
    main = write(
        {
            "rules.yaml": MAIN.replace("name: main,", "name: main, source: s,"),
            "extra.yaml": "sources: {t: {verify: none, path: /hooks/s}}\n" + RULE.format("t", "t"),
        }
    )

    assert errors(main) == [
        'extra.yaml:1:14: sources.t: the path /hooks/s belongs to source "s" already; choose another path'
    ]


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("defaults: {timeout: 3s}", "extra.yaml:1:1: defaults: belongs in the main file, not in an included one"),
        ("unmatched: [append: a]", "extra.yaml:1:1: unmatched: belongs in the main file, not in an included one"),
        ("include: [x.yaml]", "extra.yaml:1:1: an included file includes no other; name that one in the main file"),
        ("rule: []", 'extra.yaml:1:1: unknown key "rule"; did you mean "rules"?'),
        (
            "version: 2",
            "extra.yaml:1:10: version: expected version 1, found the number 2; this program reads version 1 only",
        ),
        ("[]", "extra.yaml:1:1: expected a mapping with sources: and rules:, found a list with nothing in it"),
        ("", "extra.yaml:1:1: the file is empty; it needs at least sources: and rules:"),
    ],
)
def test_an_included_file_with_forbidden_keys_is_refused(write: Write, text: str, error: str) -> None:
    assert errors(write({"rules.yaml": MAIN, "extra.yaml": text})) == [error]


def test_an_included_file_may_hold_targets_sources_and_rules(write: Write) -> None:
    main = write({"rules.yaml": MAIN, "extra.yaml": "version: 1\nx-mine: &a [1]\n" + RULE.format("x", "x")})

    assert [str(problem.level) for problem in load(main).problems] == ["warning"]  # the glob matches no file


@pytest.mark.parametrize(
    ("include", "error"),
    [
        ("none.yaml", "rules.yaml:2:10: include: expected a list of files, such as teams/*.yaml, found the text \"none.yaml\""),
        ("[none.yaml]", "rules.yaml:2:11: include[0]: none.yaml can't be included: No such file or directory"),
        ("[extra.yaml, ./extra.yaml]", "rules.yaml:2:23: include[1]: this is already included; remove one of the two"),
        ("[extra.yaml, e*.yaml]", "rules.yaml:2:23: include[1]: extra.yaml is already included by include[0]; remove it from one of the two"),
        ("['**/x.yaml', extra.yaml]", "rules.yaml:2:11: include[0]: ** is not supported; write a * for each level of folders"),
        ("[teams, extra.yaml]", "rules.yaml:2:11: include[0]: teams can't be included: this is a folder; write a glob for the files in it, such as teams/*.yaml"),
        ("[{only: {sources: [s]}}, extra.yaml]", 'rules.yaml:2:11: include[0]: missing "files"'),
        ("[{files: extra.yaml, only: {source: [s]}}]", 'rules.yaml:2:38: include[0].only: unknown key "source"; did you mean "sources"?'),
        ("[{files: extra.yaml, only: {sources: s}}]", 'rules.yaml:2:47: include[0].only.sources: expected a list, found the text "s"'),
        ("[5, extra.yaml]", "rules.yaml:2:11: include[0]: expected a file or a glob, such as teams/*.yaml, found the number 5; quote it"),
    ],
)  # fmt: skip
def test_the_error_for_a_wrong_include_names_its_place(write: Write, include: str, error: str) -> None:
    main = write(
        {
            "rules.yaml": MAIN.replace("[teams/*.yaml, extra.yaml]", include),
            "extra.yaml": RULE.format("x", "x"),
            "teams/t": "",
        }
    )

    assert errors(main) == [error]


BOUNDED = """
include:
  - files: pay.yaml
    only: {sources: [stripe, pay-*], actions: [forward], targets: [pay-*, "https://pay.example:443"], secrets: [pay_*]}
secrets: {pay_key: {env: PAY_KEY}, other: {env: OTHER}}
sources: {github: {verify: none}, stripe: {verify: none}}
targets: {ci: {url: "http://127.0.0.1:9"}, pay-a: {url: "http://127.0.0.1:9"}}
rules: [{name: main, source: github, actions: [forward: {target: ci}]}]
"""


def test_an_included_file_may_do_everything_within_its_bounds(write: Write) -> None:
    main = write(
        {
            "rules.yaml": BOUNDED,
            "pay.yaml": """
secrets: {pay_own: {env: PAY_OWN}}
sources: {pay-in: {verify: {scheme: bearer, secret: {env: PAY_TOKEN}}}}
targets: {pay-b: {url: "http://127.0.0.1:9"}}
rules:
  - {name: a, source: "*", actions: [forward: {target: pay-a, headers: {X: "{{ secrets.pay_key }}"}}]}
  - {name: b, source: [stripe], actions: [forward: {target: pay-b}, {name: u, forward: https://pay.example/x}]}
""".replace("[forward: {target: pay-b}, {name", "[{forward: {target: pay-b}}, {name"),
        }
    )

    ruleset = load(
        main, PAY_KEY="a-long-value", OTHER="a-long-value", PAY_OWN="a-long-value", PAY_TOKEN="a-long-one"
    ).require()

    everything = next(rule for rule in ruleset.rules if rule.name == "a")
    assert everything.sources == {"stripe", "pay-in"}  # "*" means all sources that the file may use


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("rules: [{name: x, source: github, actions: [forward: {target: pay-a}]}]",
         'pay.yaml:1:27: rules[0] "x".source: source "github" may not be used in this file: only.sources of include[0] allows stripe, pay-*'),
        ("rules: [{name: x, source: git*, actions: [forward: {target: pay-a}]}]",
         'pay.yaml:1:27: rules[0] "x".source: no source has a name like "git*"; known: github, stripe'),
        ("rules: [{name: x, source: stripe, actions: [forward: {target: ci}]}]",
         'pay.yaml:1:63: rules[0] "x".actions[0].forward.target: target "ci" may not be used in this file: only.targets of include[0] allows pay-*, https://pay.example:443'),
        ("rules: [{name: x, source: stripe, actions: [forward: 'https://pay.example.evil/']}]",
         'pay.yaml:1:54: rules[0] "x".actions[0].forward: target "https://pay.example.evil:443" may not be used in this file: only.targets of include[0] allows pay-*, https://pay.example:443'),
        ("rules: [{name: x, source: stripe, actions: [append: a.jsonl]}]",
         'pay.yaml:1:45: rules[0] "x".actions[0]: action "append" may not be used in this file: only.actions of include[0] allows forward'),
        ("rules: [{name: x, source: stripe, stop: true, actions: [forward: {target: pay-a}]}]",
         'pay.yaml:1:41: rules[0] "x".stop: stop would hide events from rules of other files, so only: of include[0] forbids it here; remove stop'),
        ("rules: [{name: x, source: stripe, actions: [forward: {target: pay-a, headers: {X: '{{ secrets.other }}'}}]}]",
         'pay.yaml:1:83: rules[0] "x".actions[0].forward.headers.X: undefined secret "other"; known: pay_key'),
        ("targets: {mine: {url: 'http://127.0.0.1:9'}}",
         'pay.yaml:1:11: targets: target "mine" may not be used in this file: only.targets of include[0] allows pay-*, https://pay.example:443'),
        ("targets: {pay-x: {url: '{{ secrets.other }}'}}",
         'pay.yaml:1:24: targets.pay-x.url: undefined secret "other"; known: pay_key'),
        ("sources: {mine: {verify: none}}",
         'pay.yaml:1:11: sources: source "mine" may not be used in this file: only.sources of include[0] allows stripe, pay-*'),
        ("secrets: {mine: {env: PAY_MINE}}",
         'pay.yaml:1:11: secrets: secret "mine" may not be used in this file: only.secrets of include[0] allows pay_*'),
        ("secrets: {pay_x: {env: OTHER}}",
         "pay.yaml:1:18: secrets.pay_x: this file may not read environment variable OTHER: only.secrets of include[0] must allow its name too, in lower or upper case; or declare the secret in the main file"),
        ("secrets: {pay_x: {file: ../key}}",
         "pay.yaml:1:18: secrets.pay_x: this file may read only secret files below its own folder, by only.secrets of include[0]; move ../key there, or declare the secret in the main file"),
        ("rules: [{name: x, source: stripe, actions: [forward: {target: pay-a, sign: {secret: {env: OTHER}}}]}]",
         'pay.yaml:1:85: rules[0] "x".actions[0].forward.sign.secret: this file may not read environment variable OTHER: only.secrets of include[0] must allow its name too, in lower or upper case; or declare the secret in the main file'),
    ],
)  # fmt: skip
def test_the_error_for_a_file_that_exceeds_its_bounds_names_the_bound(write: Write, text: str, error: str) -> None:
    assert error in errors(
        write({"rules.yaml": BOUNDED, "pay.yaml": text}), PAY_KEY="a-long-value", OTHER="whsec_aHVzaGh1c2hodXNoaHVzaA=="
    )


def test_an_empty_bound_allows_nothing(write: Write) -> None:
    main = write(
        {
            "rules.yaml": BOUNDED.replace("actions: [forward]", "actions: []"),
            "pay.yaml": "rules: [{name: x, source: stripe, actions: [forward: {target: pay-a}]}]",
        }
    )

    assert errors(main)[0].endswith("only.actions of include[0] allows none")


def test_a_file_without_the_key_only_has_no_bounds(write: Write) -> None:
    main = write(
        {
            "rules.yaml": MAIN,
            "extra.yaml": "rules: [{name: x, source: s, stop: true, actions: [forward: {target: ci}]}]",
        }
    )

    assert errors(main) == []


def test_recorded_rules_compile_without_the_files(write: Write, tmp_path: Path) -> None:
    main = write(
        {"rules.yaml": BOUNDED, "pay.yaml": "rules: [{name: x, source: '*', actions: [forward: {target: pay-a}]}]"}
    )
    text = load(main, PAY_KEY="a-long-value", OTHER="a-long-value").require().text
    for file in tmp_path.iterdir():
        file.unlink()

    loaded = Loader(REGISTRIES, {}, require_secrets=False).load_recorded(text)

    assert [rule.name for rule in loaded.require().rules] == ["main", "x"]
    assert loaded.require().hash == text.hash
    assert next(rule for rule in loaded.require().rules if rule.name == "x").sources == {"stripe"}
    broken = replace(text, included=(replace(text.included[0], text="rules: ["),))
    assert Loader(REGISTRIES, {}).load_recorded(broken).errors[0].file.endswith("pay.yaml")


def test_an_append_cannot_write_a_file_that_include_would_load(write: Write) -> None:
    def problems(path: str) -> list[str]:
        rule = f"rules: [{{name: a, source: s, actions: [append: '{path}']}}]"
        return errors(write({"rules.yaml": MAIN, "extra.yaml": RULE.format("x", "x"), "teams/a.yaml": rule}))

    # The path of the append is relative to teams/.
    for path in ("new.yaml", "a.yaml", "../teams/new.yaml", "../extra.yaml"):
        assert ["this path leads to" in error for error in problems(path)] == [True], path
    for path in ("x-{{ payload.x }}.yaml", "{{ payload.x }}.yaml"):
        assert ["payload text could lead to" in error for error in problems(path)] == [True], path
    for path in ("new.jsonl", "out/new.yaml", "out/{{ payload.x }}.yaml"):
        assert problems(path) == [], path


def test_an_append_can_not_write_into_folders_that_a_glob_would_find(write: Write) -> None:
    text = MAIN.replace("teams/*.yaml", "teams/*/rules.yaml")
    for path, refused in (
        ("teams/new/rules.yaml", True),
        ("teams/new/log.jsonl", False),
        ("teams/{{ payload.x }}/log", True),
    ):
        main = write(
            {
                "rules.yaml": text.replace("forward: {target: ci}", f"append: '{path}'"),
                "extra.yaml": RULE.format("x", "x"),
            }
        )
        assert bool(errors(main)) is refused, path


def test_a_folder_is_loaded_with_its_own_rules(write: Write, tmp_path: Path) -> None:
    write(
        {
            "d/a.yaml": "sources: {s: {verify: none}}\ndefaults: {timeout: 3s}\n",
            "d/b.yaml": "rules: [{name: b, actions: [append: out/b.jsonl]}]\nunmatched: [append: out/u.jsonl]\n",
            "d/.c.yaml": "nonsense",
            "d/d.cases.yaml": "nonsense",
            "d/e.yml": "nonsense",
        }
    )

    ruleset = load(tmp_path / "d").require()

    assert ([rule.name for rule in ruleset.rules], len(ruleset.unmatched)) == (["b"], 1)
    assert [one.name for one in ruleset.text.included] == ["a.yaml", "b.yaml"]
    assert Loader(REGISTRIES, {}).load_recorded(ruleset.text).require().hash == ruleset.hash


def test_one_file_of_a_folder_may_set_defaults_and_unmatched(write: Write, tmp_path: Path) -> None:
    one = "defaults: {timeout: 3s}\nunmatched: [append: out/u.jsonl]\n"
    write({"d/a.yaml": "sources: {s: {verify: none}}\n" + one, "d/b.yaml": one})

    assert errors(tmp_path / "d") == [
        "d/b.yaml:1:1: duplicate defaults: it is on line 2 of d/a.yaml already; keep one".replace(
            "d/a", str(tmp_path / "d/a")
        ).replace(f"{tmp_path}/", ""),
        "d/b.yaml:2:1: duplicate unmatched: it is on line 3 of d/a.yaml already; keep one",
    ]


def test_the_error_for_a_folder_without_rules_says_so(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()

    [error] = load(tmp_path / "d").errors

    assert "this folder has no rules file (*.yaml, but no dotfile or *.cases.yaml)" in error.message


def test_an_included_file_that_others_can_write_gets_a_note(write: Write, tmp_path: Path) -> None:
    main = write({"rules.yaml": MAIN, "extra.yaml": RULE.format("x", "x")})
    (tmp_path / "extra.yaml").chmod(0o666)

    notes = [str(problem) for problem in load(main).problems if problem.level is Level.NOTE]

    assert any(
        "extra.yaml:1:1: note: serve refuses this: every user of this machine can write this file" in note
        for note in notes
    )

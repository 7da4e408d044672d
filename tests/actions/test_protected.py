"""Files that no append may write. They are checked by path when the rules load, and by the open file at each write."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.deliveries import RulesetText
from router.domain.files.protected import ProtectedPathError, ProtectedPaths
from router.domain.outcomes import Outcome, OutcomeKind
from router.plugins.action import Action, AttemptInput
from router.rules.compile.loader import Loaded, Loader

Attempt = Callable[..., Outcome]
HEAD = "sources: {s: {verify: {scheme: github, secret: {file: keys/secret}}}}\n"


def _load(folder: Path, *actions: str, commands: str = "any", protected: dict[Path, str] | None = None) -> Loaded:
    for name in ("keys", "out", "programs"):
        (folder / name).mkdir(exist_ok=True)
    (folder / "keys" / "secret").write_text("a-secret-of-some-length")
    listed = "".join(f"      - {{name: a{i}, {action}}}\n" for i, action in enumerate(actions))
    text = HEAD + "rules:\n  - name: r\n    actions:\n" + listed
    (folder / "rules.yaml").write_text(text)
    loader = Loader(REGISTRIES, {}, commands=commands, protected=protected or {})
    return loader.load_file(folder / "rules.yaml")


def _append(loaded: Loaded) -> Action:
    return next(a.action for a in loaded.require().actions.values() if a.action.type == "append")


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("{{ payload.f }}", "the rules file"),
        ("{{ payload.f }}.jsonl", "the rules file"),
        ("./{{ payload.f }}", "the rules file"),
        ("out/.././{{ payload.f }}", "no .. before"),
        ("FOLDER/{{ payload.f }}", "the rules file"),
        ("ABOVE/{{ payload.f }}", ""),
        ("/{{ payload.f }}", ""),
        ("keys/{{ payload.f }}", "a secret file"),
        ("keys/{{ headers['X-A'] }}.log", "a secret file"),
        ("store/{{ query.f }}", "the store"),
        ("link/{{ payload.f }}", "a secret file"),
        ("link-out/{{ payload.f }}", "the rules file"),
        ("out/x-{{ payload.f }}", None),
        ("out/{{ payload.f }}.jsonl", None),
        ("out/a/b/{{ payload.f }}", None),
        ("log-{{ source }}.jsonl", None),
        ("rules.yaml", "the rules file"),
        ("out/../rules.yaml", "the rules file"),
        ("keys/secret", "a secret file"),
        ("link/secret", "a secret file"),
        ("hop", "a secret file"),
        ("store/events.db-wal", "the store"),
        ("store/events.db", "the store"),
        ("deploys.jsonl", None),
        ("store/other.jsonl", None),
    ],
)
def test_a_path_to_a_protected_file_is_an_error_when_the_rules_load(
    tmp_path: Path, path: str, what: str | None
) -> None:
    folder = tmp_path / "rules"
    folder.mkdir()
    (folder / "store").mkdir()
    (folder / "link").symlink_to("keys")
    (folder / "link-out").symlink_to(".")
    (folder / "hop").symlink_to("keys/secret")
    written = path.replace("FOLDER", str(folder)).replace("ABOVE", str(tmp_path))
    protected = {folder / "store" / f"events.db{end}": "the store" for end in ("", "-wal")}

    loaded = _load(folder, f'append: "{written}"', protected=protected)

    messages = [problem.message for problem in loaded.errors]
    if what is None:
        assert messages == []
    else:
        assert any(what in message for message in messages), messages
        assert all("append" in problem.path for problem in loaded.errors)


@pytest.mark.parametrize(
    "command",
    [
        *(
            "[out/run.sh]",
            "[sh, out/run.sh]",
            "[env, A=b, python3, out/run.py]",
            "[sudo, -u, deploy, bash, -e, out/run]",
        ),
        *(
            "{shell: 'sh out/run.sh'}",
            "{argv: [make], cwd: out, stdin: none}",
            "{argv: [make, -f, out/Makefile], stdin: none}",
        ),
        *("{argv: [git, -C, out, pull], stdin: none}", "[link.sh]"),
    ],
)
def test_an_append_can_not_write_a_program_that_rules_run(tmp_path: Path, command: str) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link.sh").symlink_to("out/run.sh")
    if command == "[link.sh]":
        command = "[./link.sh]"

    before = _load(tmp_path, 'append: "out/{{ payload.f }}"', f"command: {command}")
    beside = _load(tmp_path, 'append: "out/logs/{{ payload.f }}"', f"command: {command}")

    assert any("program that rules run" in problem.message for problem in before.errors), before.problems
    assert beside.errors == ()


def test_an_append_may_write_files_that_scripts_get_as_arguments(tmp_path: Path) -> None:
    commands = ("[./x.sh, out/a.jsonl]", "[sh, x.sh, out/a.jsonl]", "[cat, out/a.jsonl]", "[tail, -f, out/a.jsonl]")

    loaded = _load(
        tmp_path, "append: out/a.jsonl", 'append: "out/{{ payload.f }}"', *(f"command: {c}" for c in commands)
    )

    assert loaded.errors == ()


def test_an_append_can_not_write_into_the_folder_of_commands(tmp_path: Path) -> None:
    for path in ("programs/{{ payload.f }}", "programs/deep/{{ payload.f }}", "programs/x.log", "link/x.log"):
        if not (tmp_path / "link").is_symlink():
            (tmp_path / "link").symlink_to("programs")
        loaded = _load(tmp_path, f'append: "{path}"', commands=str(tmp_path / "programs"))
        assert any("--commands folder" in problem.message for problem in loaded.errors), path


def _hostile(folder: Path, name: str) -> None:
    """Replace `out` by a link to a protected file or folder, after the rules were loaded."""
    target = {"rules": folder / "rules.yaml", "secret": folder / "keys" / "secret", "program": folder / "go.sh"}
    kind, _, what = name.partition(" ")
    if kind == "hardlink":
        os.link(target[what], folder / "out" / "x")
    elif kind == "symlink":
        (folder / "out" / "x").symlink_to(target[what])
    else:
        (folder / "out").rmdir()
        (folder / "out").symlink_to(target[what].parent)


@pytest.mark.parametrize(
    "name", [f"{k} {w}" for k in ("hardlink", "symlink", "folder") for w in ("rules", "secret", "program")]
)
def test_the_open_file_is_checked_instead_of_its_path(
    job: Callable[..., AttemptInput], attempt: Attempt, tmp_path: Path, name: str
) -> None:
    (tmp_path / "go.sh").write_text("#!/bin/sh\n")
    action = _append(_load(tmp_path, "append: {path: 'out/{{ payload.f }}', line: touch pwned}", "command: [./go.sh]"))
    watched = [tmp_path / "rules.yaml", tmp_path / "keys" / "secret", tmp_path / "go.sh"]
    before = [path.read_bytes() for path in watched]
    _hostile(tmp_path, name)

    outcomes = [attempt(action, job({"f": f})) for f in ("x", "rules.yaml", "secret", "go.sh", "new")]

    assert [path.read_bytes() for path in watched] == before
    if not name.startswith("symlink"):
        assert outcomes[0].kind is OutcomeKind.FAILED
        assert "where no event may write" in outcomes[0].error
    if name.startswith("folder"):
        assert not (tmp_path / "new").exists()
        assert not (tmp_path / "keys" / "new").exists()


@pytest.mark.parametrize("target", ["rules.yaml", "keys/secret", "go.sh"])
def test_a_constant_path_that_is_linked_to_a_protected_file_writes_nothing(
    job: Callable[..., AttemptInput], attempt: Attempt, tmp_path: Path, target: str
) -> None:
    (tmp_path / "go.sh").write_text("#!/bin/sh\n")
    action = _append(_load(tmp_path, "append: {path: out/x, line: touch pwned}", "command: [./go.sh]"))
    before = (tmp_path / target).read_bytes()

    for link in (os.symlink, os.link):
        link(tmp_path / target, tmp_path / "out" / "x")
        outcome = attempt(action, job({}))
        (tmp_path / "out" / "x").unlink()
        assert outcome.kind is OutcomeKind.FAILED
    assert (tmp_path / target).read_bytes() == before


def test_a_file_replaced_by_an_editor_is_protected_at_once(tmp_path: Path) -> None:
    paths = ProtectedPaths()
    paths.add(tmp_path / "rules.yaml", "the rules file")
    for text in ("one", "two"):
        (tmp_path / "new").write_text(text)
        (tmp_path / "new").rename(tmp_path / "rules.yaml")
        with (tmp_path / "rules.yaml").open() as file, pytest.raises(ProtectedPathError):
            paths.check_file(file.fileno())


def test_no_file_of_the_store_is_created(job: Callable[..., AttemptInput], attempt: Attempt, tmp_path: Path) -> None:
    protected = {tmp_path / "far" / "events.db-journal": "the store"}
    (tmp_path / "far").mkdir()
    action = _append(_load(tmp_path, "append: out/events.db-journal", protected=protected))
    (tmp_path / "out").rmdir()
    (tmp_path / "out").symlink_to("far")

    assert attempt(action, job({})).kind is OutcomeKind.FAILED
    assert list((tmp_path / "far").iterdir()) == []


def test_recorded_rules_with_a_refused_append_keep_their_other_actions(
    job: Callable[..., AttemptInput], attempt: Attempt, tmp_path: Path
) -> None:
    text = HEAD + (
        "rules:\n  - name: r\n    actions:\n"
        "      - {name: bad, append: './{{ payload.f }}'}\n"
        "      - {name: sed, command: [sed, '{{ payload.f }}']}\n"
        "      - {name: good, append: out/x}\n"
    )
    loader = Loader(REGISTRIES, {}, require_secrets=False)
    assert loader.load(text, "rules.yaml", tmp_path).ruleset is None

    actions = loader.load_recorded(RulesetText("0" * 64, text, str(tmp_path))).require().actions

    bad = attempt(actions["r", "bad"].action, job({"f": "rules.yaml"}))
    sed = attempt(actions["r", "sed"].action, job({"f": "1e touch pwned"}))
    assert (bad.kind, sed.kind) == (OutcomeKind.FAILED, OutcomeKind.FAILED)
    assert "the rules file" in bad.error
    assert "sed is none of the plain programs" in sed.error
    assert attempt(actions["r", "good"].action, job({})).kind is OutcomeKind.SUCCEEDED


def test_recorded_rules_can_not_write_files_that_the_running_rules_protect(
    job: Callable[..., AttemptInput], attempt: Attempt, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "go.sh").write_text("#!/bin/sh\n")
    text = HEAD + "rules: [{name: r, actions: [append: 'out/{{ payload.f }}', {name: b, append: out/go.sh}]}]\n"
    running = _load(tmp_path, "command: [out/go.sh]").require()
    recorded = RulesetText("0" * 64, text, str(tmp_path))
    loader = Loader(REGISTRIES, {}, require_secrets=False)

    actions = loader.load_recorded(recorded, lambda: running.protected).require().actions

    for name in ("append", "b"):
        outcome = attempt(actions["r", name].action, job({"f": "go.sh"}))
        assert (outcome.kind, "a program that rules run" in outcome.error) == (OutcomeKind.FAILED, True)
    assert (tmp_path / "out" / "go.sh").read_text() == "#!/bin/sh\n"


def test_many_protected_paths_hardly_slow_a_write(tmp_path: Path) -> None:
    import time

    paths = ProtectedPaths()
    for i in range(10_000):
        paths.add(tmp_path / f"program-{i}", "a program that rules run")
    (tmp_path / "x").touch()
    with (tmp_path / "x").open() as file:
        paths.check_file(file.fileno())
        started = time.thread_time()
        for _ in range(100):
            paths.check_file(file.fileno())

    assert time.thread_time() - started < 1  # without a cache this takes some 4 s

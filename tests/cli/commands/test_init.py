"""`init` writes rules that load without a warning. Their comments are true and the commands in them work."""

import fnmatch
import os
import re
import shlex
import subprocess
import tomllib
from collections.abc import Callable, Sequence
from itertools import combinations
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

from router.cli.starters.compose import composed
from router.cli.starters.library import Starter, starters
from router.cli.starters.preset_starters import all_starters
from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.intake.verify.preset import presets
from router.rules.compile.loader import Loaded, Loader
from tests.cli.conftest import StoreCommands
from tests.conftest import Daemon, run_in_process
from tests.intake.signed_requests import VALUES

ROOT = Path(__file__).parents[3]
KNOWN = starters()
WHSEC = ("STANDARD_WEBHOOKS", "SVIX_WEBHOOK", "CLERK_WEBHOOK", "RESEND_WEBHOOK")
Init = Callable[..., CompletedProcess[str]]


@pytest.fixture
def init(tmp_path: Path) -> Init:
    """Run init in an empty folder."""

    def run(*arguments: str) -> CompletedProcess[str]:
        return run_in_process("init", *arguments, folder=tmp_path)

    return run


def _loaded(text: str, folder: Path) -> Loaded:
    return Loader(REGISTRIES, {}, require_secrets=False).load(text, "rules.yaml", folder)


def _subsets() -> list[Sequence[Starter]]:
    every = list(KNOWN.values())
    return [every, every[::-1], *combinations(every, 1), *combinations(every, 2)]


def test_any_combination_of_starters_loads_without_problems(tmp_path: Path) -> None:
    for chosen in _subsets():
        loaded = _loaded(composed(chosen, "rules.yaml"), tmp_path)

        assert [str(problem) for problem in loaded.problems if problem.level is not Level.NOTE] == []
        assert set(loaded.require().sources) == {starter.name for starter in chosen}


def test_the_commented_out_parts_of_a_starter_load(tmp_path: Path) -> None:
    for starter in KNOWN.values():
        text = composed([starter], "rules.yaml")
        active, count = re.subn(
            r"^(      |    )# (- (?:forward|command): |allow_unverified: )", r"\1\2", text, flags=re.MULTILINE
        )
        ruleset = _loaded(active, tmp_path).require()

        assert count >= 2
        assert sorted(action.action.type for action in ruleset.actions.values()) == ["append", "command", "forward"]
        assert len(starter.title) < 100


def test_every_starter_says_how_to_set_each_secret_that_it_names() -> None:
    for starter in KNOWN.values():
        assert re.findall(r"env: (\w+)", starter.sources) == re.findall(r"export (\w+)=", starter.secret), starter.name


def test_the_suggested_command_of_each_starter_runs_its_rule(
    start: Callable[..., Daemon],
    eventually: Callable[[Callable[[], Any]], Any],
    tmp_path: Path,
    init: Init,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert init(*(f"--source={name}" for name in KNOWN)).returncode == 0
    secrets = {name: "a secret" for starter in KNOWN.values() for name in re.findall(r"export (\w+)=", starter.secret)}
    secrets |= {f"{name}_SECRET": VALUES["NEW_WHSEC"] for name in WHSEC} | {"DISCORD_PUBLIC_KEY": VALUES["NEW_HEX"]}
    daemon = start(tmp_path / "rules.yaml", env=secrets)
    for name, value in {**secrets, "WEBHOOK_ROUTER_LISTEN": f"127.0.0.1:{daemon.port}"}.items():
        monkeypatch.setenv(name, value)
    for starter in KNOWN.values():
        # The comment in the file has the same command.
        [written] = re.findall(
            rf"\n  # Try it:\n  #   (.*? \|\n  #     .*--source {starter.name}\b.*)\n",
            (tmp_path / "rules.yaml").read_text(),
        )
        assert written.replace("\n  #    ", "") == starter.trial

        # A shell runs the part before the pipe, this process the part after it. The docs' tests run whole pipes.
        echo, _, command = starter.trial.partition(" | ")
        payload = subprocess.run(["sh", "-c", echo], capture_output=True, text=True, timeout=60, check=True).stdout
        program, *arguments = shlex.split(command)
        done = run_in_process(*arguments, folder=tmp_path, input=payload)

        assert program == "webhook-router"

        assert (done.returncode, done.stderr) == (0, ""), starter.name
        [out] = re.findall(r"(?:append|path): (out/\S+)", starter.rules)
        if starter.name == "discord":  # only Discord has the key that signs
            assert "matched: discord-command" in done.stdout
        else:
            assert eventually((tmp_path / out).exists), starter.name


def test_the_suggested_commands_use_the_chosen_file_name(init: Init) -> None:
    done = init("my rules.yaml", "--source", "discord", "--source", "internal", "--source", "internal")

    assert done.stdout.startswith("wrote my rules.yaml, with discord, internal\n")
    for part in ("check 'my rules.yaml'", "test 'my rules.yaml' --source discord", "send - --rules 'my rules.yaml'"):
        assert part in done.stdout
    assert "export DISCORD_PUBLIC_KEY=" in done.stdout


def test_no_file_is_overwritten_without_force(init: Init, tmp_path: Path) -> None:
    (tmp_path / "rules.yaml").write_text("mine")
    (tmp_path / "elsewhere.yaml").symlink_to("missing.yaml")

    for file in ("rules.yaml", "elsewhere.yaml"):
        done = init(file, "--source", "github")
        assert (done.returncode, done.stdout) == (1, "")
        assert f"{file} already exists; give another name, or --force" in done.stderr
    assert (tmp_path / "rules.yaml").read_text() == "mine"

    assert init("--source", "github", "--force").returncode == 0
    assert "github" in (tmp_path / "rules.yaml").read_text()
    assert {path.name for path in tmp_path.iterdir()} == {"rules.yaml", "elsewhere.yaml"}


def test_force_replaces_only_regular_files(init: Init, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")

    for name, said in (
        ("pipe", "pipe is not a regular file"),
        ("link", "link is not a regular file"),
        ("folder", "folder is a folder; name the file in it, such as folder/rules.yaml"),
    ):
        done = init(name, "--source", "github", "--force")
        assert (done.returncode, done.stdout) == (1, "")
        assert said in done.stderr
    assert init("-", "--source", "github").returncode == 2
    assert (tmp_path / "pipe").is_fifo()
    assert {path.name for path in tmp_path.iterdir()} == {"pipe", "folder", "link"}


def test_serve_accepts_the_file_under_any_umask(init: Init, tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        assert init("--source", "github").returncode == 0
    finally:
        os.umask(before)

    assert (tmp_path / "rules.yaml").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize(
    ("word", "cure"),
    [("githup", "did you mean github?"), ("OpenAI", "did you mean openai?"), ("Prometheus", "alertmanager"),
     ("zzz", "there are github, gitlab"), ("", "there are github"), ("a\x1b[2J", "there are github")],
)  # fmt: skip
def test_the_error_for_an_unknown_source_suggests_the_nearest(init: Init, word: str, cure: str) -> None:
    done = init("--source", word)

    assert done.returncode == 2
    assert cure in done.stderr
    assert "\x1b" not in done.stderr


def test_sources_can_be_separated_by_commas(init: Init, tmp_path: Path) -> None:
    assert "write --source github" in init("github").stderr

    init("--source", "github,stripe")

    loaded = _loaded((tmp_path / "rules.yaml").read_text(), tmp_path)
    assert loaded.require().sources.keys() == {"github", "stripe"}


def test_init_asks_nothing_without_a_terminal(init: Init, tmp_path: Path) -> None:
    done = init()

    assert done.returncode == 2
    assert "name the sources, such as --source github; there are github" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("answer", "sources"),
    [("\n", ["github"]), ("1, 3\n", ["github", "stripe"]), ("deepgram 99\nnonsense\nslack\n", ["slack"])],
)
def test_init_asks_for_sources_at_a_terminal(store_commands: StoreCommands, answer: str, sources: list[str]) -> None:
    code, shown = store_commands.on_a_terminal("init", answer=answer)

    assert code == 0, shown
    assert "  1  github " in shown
    text = (store_commands.folder / "rules.yaml").read_text()
    assert re.findall(r"^  ([a-z-]+):$", text, re.MULTILINE) == sources


def test_init_gives_up_after_several_invalid_answers(store_commands: StoreCommands) -> None:
    code, shown = store_commands.on_a_terminal("init", answer="x\n0\n-1\n")

    assert code == 1
    assert "no source was chosen" in shown
    assert not (store_commands.folder / "rules.yaml").exists()


def test_init_list_shows_every_starter_and_writes_nothing(init: Init, tmp_path: Path) -> None:
    done = init("--list")

    assert [line.split()[1] for line in done.stdout.splitlines()] == list(all_starters())
    assert not list(tmp_path.iterdir())


def test_an_unwritable_path_gets_a_clear_error(init: Init) -> None:
    done = init("missing/rules.yaml", "--source", "github")

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "webhook-router: missing/rules.yaml can't be written: No such file or directory\n"


def test_every_preset_has_a_starter_that_loads_without_problems(tmp_path: Path) -> None:
    made = [starter for name, starter in all_starters().items() if name in presets()]

    loaded = _loaded(composed(made, "rules.yaml"), tmp_path)

    assert [str(problem) for problem in loaded.problems if problem.level is not Level.NOTE] == []
    assert set(loaded.require().sources) == set(presets())
    for starter in made:
        assert re.findall(r"env: (\w+)", starter.sources) == re.findall(r"export (\w+)=", starter.secret), starter.name
        assert len(starter.title) < 100


def test_init_writes_a_source_for_a_preset(init: Init, tmp_path: Path) -> None:
    done = init("--source", "linear,docker-hub")

    assert done.returncode == 0, done.stderr
    assert "export LINEAR_SECRET=" in done.stdout
    text = (tmp_path / "rules.yaml").read_text()
    assert "verify: {scheme: linear, secret: {env: LINEAR_SECRET}}" in text
    assert "preset: docker-hub" in text
    assert "did you mean linear?" in init("--source", "liner", "--force").stderr


def test_the_package_includes_every_data_file() -> None:
    [patterns] = [tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]["router"]]
    files = [path.relative_to(ROOT / "router") for path in (ROOT / "router").rglob("*") if path.is_file()]
    data = [str(path) for path in files if path.suffix not in {".py", ".pyc"}]

    assert "cli/starters/github.yaml" in data
    assert [path for path in data if not any(fnmatch.fnmatch(path, pattern) for pattern in patterns)] == []

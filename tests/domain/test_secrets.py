"""Secrets: valid and invalid values, and the files they may come from."""

import os
from pathlib import Path

import pytest

from router.daemon.registries import REGISTRIES
from router.domain.errors import Level
from router.domain.secrets import MAX_FILE_BYTES, SHORTEST
from router.rules.compile.loader import Loaded, Loader

GOOD = "0123456789abcdef"


def _load(tmp_path: Path, ref: str, *, serve: bool = True, value: str = "", trusting: bool = False) -> Loaded:
    text = (
        f"sources: {{hook: {{verify: {{scheme: token, header: X-Token, secret: {ref}}}}}}}\n"
        "rules: [{name: all, actions: [append: out.jsonl]}]\n"
    )
    loader = Loader(REGISTRIES, {"KEY": value}, require_secrets=serve, trusting=trusting)
    return loader.load(text, "rules.yaml", tmp_path)


def _told(loaded: Loaded, level: Level) -> list[str]:
    return [problem.message for problem in loaded.problems if problem.level is level]


@pytest.mark.parametrize("value", ["", " ", "\t \n", "\r\n\r\n", "\u00a0\u2003", "\0", "\x7f"])
def test_a_blank_secret_counts_as_unset(tmp_path: Path, value: str) -> None:
    (tmp_path / "key").write_text(value)
    for ref in ("{env: KEY}", "{file: key}"):
        served = _load(tmp_path, ref, value=value)
        assert served.ruleset is None
        assert "is empty" in str(served.errors) or "is blank" in str(served.errors)

        checked = _load(tmp_path, ref, serve=False, value=value)
        assert checked.ruleset is not None
        assert len(checked.warnings) == 1  # with --strict the warning fails the check


def test_an_unset_secret_gets_a_note_from_check(tmp_path: Path) -> None:
    loaded = _load(tmp_path, "{env: OTHER}", serve=False)

    assert (loaded.warnings, len(_told(loaded, Level.NOTE))) == ((), 1)


@pytest.mark.parametrize("serve", [True, False])
def test_a_short_secret_gets_a_warning(tmp_path: Path, serve: bool) -> None:
    loaded = _load(tmp_path, "{env: KEY}", serve=serve, value="x" * (SHORTEST - 1))
    assert loaded.ruleset is not None
    assert _told(loaded, Level.WARNING) == [
        "env KEY is shorter than 8 characters, so it could be guessed; make one with `openssl rand -hex 32`"
    ]

    assert _load(tmp_path, "{env: KEY}", serve=serve, value="x" * SHORTEST).problems == ()


def test_a_short_declared_secret_gets_a_warning(tmp_path: Path) -> None:
    text = (
        "secrets: {PASSWORD: {env: KEY}}\nsources: {hook: {verify: none}}\n"
        "rules: [{name: all, actions: [{forward: {url: 'http://127.0.0.1/', headers: {X-K: '{{ secrets.PASSWORD }}'}}}]}]\n"
    )
    loaded = Loader(REGISTRIES, {"KEY": "x"}).load(text, "rules.yaml", tmp_path)

    assert [problem.path for problem in loaded.warnings] == ["secrets.PASSWORD"]


@pytest.mark.parametrize("serve", [True, False])
def test_a_secret_file_must_be_a_regular_file(tmp_path: Path, serve: bool) -> None:
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (
        ("/dev/zero", "it is a device, and only a regular file is read; write its content into one"),
        ("pipe", "it is a named pipe"),
        (".", "Is a directory"),
        ("/proc/self/mem", "can't be read"),
    ):
        loaded = _load(tmp_path, f"{{file: {name}}}", serve=serve)

        assert reason in str(loaded.problems[0])
        assert (loaded.ruleset is None) == serve


def test_a_secret_file_larger_than_64_kib_is_refused(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"x" * MAX_FILE_BYTES)
    assert _load(tmp_path, "{file: key}").problems == ()

    (tmp_path / "key").write_bytes(b"x" * (MAX_FILE_BYTES + 1))
    assert "it is larger than 64 KiB; is it the right file?" in str(_load(tmp_path, "{file: key}").problems[0])


@pytest.mark.parametrize("folder", [True, False])
def test_a_secret_file_that_others_can_write_is_refused(tmp_path: Path, folder: bool) -> None:
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "key").write_text(GOOD)
    (tmp_path / "keys" / "key").chmod(0o600)
    assert _load(tmp_path, "{file: keys/key}").problems == ()
    odd = tmp_path / "keys" if folder else tmp_path / "keys" / "key"
    odd.chmod(0o777 if folder else 0o606)

    [problem] = _load(tmp_path, "{file: keys/key}").errors
    assert "secret file keys/key: every user of this machine can" in problem.message
    assert problem.message.endswith(f"and so choose the secret; chmod o-w {odd}")
    assert GOOD not in str(problem)


def test_a_command_uses_a_writable_secret_file_and_notes_that_serve_refuses_it(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(GOOD)
    (tmp_path / "key").chmod(0o606)

    loaded = _load(tmp_path, "{file: key}", serve=False, trusting=True)

    assert loaded.ruleset is not None
    assert all(secret.is_set for secret in loaded.ruleset.used_secrets.values())
    assert _told(loaded, Level.NOTE)[0].startswith("serve refuses this: secret file key: every user")


def test_checked_and_recorded_rules_do_not_read_a_writable_secret_file(tmp_path: Path) -> None:
    """As for rules that are recorded or checked by the API."""
    (tmp_path / "key").write_text(GOOD)
    (tmp_path / "key").chmod(0o606)

    loaded = _load(tmp_path, "{file: key}", serve=False)

    assert loaded.ruleset is not None
    assert not any(secret.is_set for secret in loaded.ruleset.used_secrets.values())

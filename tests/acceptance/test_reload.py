"""A changed rules file takes effect while the daemon runs. An invalid one is reported and changes nothing."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Daemon, Receiver
from tests.rules.reload.ways_of_saving import Save, emacs, git_checkout, sed_in_place, vim_by_copying, vim_by_renaming

Run = Callable[..., subprocess.CompletedProcess[str]]

RULES = """\
sources: {{open: {{verify: none}}}}
rules:
  - name: {name}
    actions: [append: out.jsonl]
"""


def _matched(daemon: Daemon) -> Any:
    # The answer to an unverified sender does not name the matched rules, so the log is read.
    seen = len(daemon.lines)
    assert daemon.post("/hooks/open", b"{}").status == 202
    return daemon.wait_for_line("event received", seen)["matched"]


def _in_place(path: Path, text: str) -> None:
    path.write_text(text)


def _renamed(path: Path, text: str) -> None:
    new = path.with_name("new.yaml")
    new.write_text(text)
    new.replace(path)


def _deleted_and_restored(path: Path, text: str) -> None:
    path.unlink()
    path.write_text(text)


@pytest.mark.parametrize("save", [_in_place, _renamed, _deleted_and_restored])
def test_an_edit_takes_effect(start: Callable[..., Daemon], save: Callable[[Path, str], None]) -> None:
    daemon = start(RULES.format(name="before"))
    assert _matched(daemon) == ["before"]

    save(daemon.rules, RULES.format(name="after"))

    line = daemon.wait_for_line("rules reloaded")
    assert (line["added"], line["removed"]) == (["after"], ["before"])
    assert _matched(daemon) == ["after"]


def test_a_swapped_symlink_triggers_a_reload(start: Callable[..., Daemon], tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "rules.yaml").write_text(RULES.format(name=name))
    (tmp_path / "data").symlink_to("one")
    (tmp_path / "rules.yaml").symlink_to("data/rules.yaml")
    daemon = start(tmp_path / "rules.yaml")

    (tmp_path / "next").symlink_to("two")
    (tmp_path / "next").replace(tmp_path / "data")

    assert daemon.wait_for_line("rules reloaded")["added"] == ["two"]


def test_an_invalid_edit_is_reported_with_its_place_and_the_old_rules_stay(
    start: Callable[..., Daemon], run: Run
) -> None:
    daemon = start(RULES.format(name="good"))

    daemon.rules.write_text(RULES.format(name="bad") + "    match: {$.ref: {equal: x}}\n    stopp: true\n")

    daemon.wait_for_line("rules not reloaded; the running rules stay")
    problems = [line["problem"] for line in daemon.lines if line["message"] == "rules file has a problem"]
    assert problems == [
        f'{daemon.rules}:5:21: rules[0] "bad".match[$.ref]: unknown operator "equal"; did you mean "equals"?',
        f'{daemon.rules}:6:5: rules[0] "bad": unknown key "stopp"; did you mean "stop"?',
    ]
    assert _matched(daemon) == ["good"]
    check = run("check", daemon.rules)
    assert check.returncode == 1
    assert check.stderr.splitlines() == problems

    daemon.rules.write_text(RULES.format(name="mended"))
    daemon.wait_for_line("rules reloaded")
    assert _matched(daemon) == ["mended"]


@pytest.mark.parametrize("text", ["", "sources: [", "a: {{ x }}", "[" * 50_000, "\x00", "sources: {}\nrules: []\n"])
def test_an_invalid_text_never_replaces_the_running_rules(start: Callable[..., Daemon], text: str) -> None:
    daemon = start(RULES.format(name="good"))

    daemon.rules.write_text(text)

    daemon.wait_for_line("rules not reloaded; the running rules stay")
    assert _matched(daemon) == ["good"]


def test_a_file_that_others_can_write_is_refused(start: Callable[..., Daemon]) -> None:
    daemon = start(RULES.format(name="good"))

    daemon.rules.write_text(RULES.format(name="foreign"))
    daemon.rules.chmod(0o666)
    os.utime(daemon.rules)

    daemon.wait_for_line("rules not reloaded; the running rules stay")


def test_sighup_reads_secret_files_again(start: Callable[..., Daemon], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old\n")
    daemon = start(
        "sources: {open: {verify: {scheme: token, header: X-Token, secret: {file: token}}}}\n"
        "rules: [{name: all, actions: [append: out.jsonl]}]\n"
    )
    assert daemon.post("/hooks/open", b"{}", {"X-Token": "old"}).status == 202

    (tmp_path / "token").write_text("new\n")
    daemon.process.send_signal(signal.SIGHUP)

    daemon.wait_for_line("rules reloaded")
    assert daemon.post("/hooks/open", b"{}", {"X-Token": "old"}).status == 401
    assert daemon.post("/hooks/open", b"{}", {"X-Token": "new"}).status == 202


def test_waiting_deliveries_use_a_corrected_url(
    start: Callable[..., Daemon], receiver: Receiver, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    rules = """
sources: {{open: {{verify: none}}}}
rules:
  - name: out
    actions: [{{forward: "{url}", retry: {{initial: 200ms, max: 200ms}}}}]
"""
    daemon = start(rules.format(url="http://127.0.0.1:9/gone"))
    daemon.post("/hooks/open", b"{}")
    daemon.wait_for_line("attempt settled", outcome="retry")

    daemon.rules.write_text(rules.format(url=receiver.url))

    eventually(lambda: receiver.requests)


def test_removed_rules_with_waiting_deliveries_are_named_up_to_a_limit(start: Callable[..., Daemon]) -> None:
    rule = "  - {{name: r{n}, actions: [forward: 'http://127.0.0.1:9']}}\n"
    rules = "".join(rule.format(n=n) for n in range(25))
    daemon = start("sources: {open: {verify: none}}\nrules:\n" + rules)
    daemon.post("/hooks/open", b"{}")

    daemon.rules.write_text(RULES.format(name="other"))

    rest = daemon.wait_for_line("further removed rules still have deliveries")
    assert (rest["rules"], rest["deliveries"]) == (5, 5)
    told = [line["rule"] for line in daemon.lines if line["message"].startswith("removed rule still has deliveries")]
    assert told == [f"r{n}" for n in range(20)]


def test_a_reload_does_not_change_running_work(
    start: Callable[..., Daemon], receiver: Receiver, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    rules = """
sources: {{open: {{verify: none}}}}
rules:
  - name: {name}
    actions: [forward: "{url}/hang"]
"""
    daemon = start(rules.format(name="slow", url=receiver.url))
    daemon.post("/hooks/open", b"{}")
    eventually(lambda: receiver.requests)

    daemon.rules.write_text(rules.format(name="other", url=receiver.url))
    daemon.wait_for_line("rules reloaded")
    receiver.release.set()

    daemon.wait_for_line("attempt settled", outcome="succeeded", rule="slow")
    assert len(receiver.requests) == 1


@pytest.mark.parametrize(
    "save", [vim_by_renaming, vim_by_copying, emacs, sed_in_place, git_checkout], ids=lambda save: save.__name__
)
def test_every_editors_way_of_saving_takes_effect(start: Callable[..., Daemon], save: Save) -> None:
    daemon = start(RULES.format(name="before"))

    save(daemon.rules, RULES.format(name="after"))

    daemon.wait_for_line("rules reloaded", added=["after"], removed=["before"], changed=[])
    assert _matched(daemon) == ["after"]
    assert not [line for line in daemon.lines if line["message"] == "rules file has a problem"]


def test_saving_with_vim_takes_effect(start: Callable[..., Daemon]) -> None:
    vim = shutil.which("vim")
    if vim is None:
        pytest.skip("there is no vim on this machine")
    daemon = start(RULES.format(name="before"))

    for number, copy in enumerate(("no", "yes", "auto")):
        edit = ("-c", f"set backup backupcopy={copy}", "-c", f"%s/name: .*/name: r{number}/", "-c", "wq")
        subprocess.run([vim, "-u", "NONE", "-i", "NONE", "-es", *edit, daemon.rules], check=True, timeout=60)
        daemon.wait_for_line("rules reloaded", added=[f"r{number}"])


def test_status_and_metric_report_a_refused_file_until_it_is_fixed(
    start: Callable[..., Daemon], run: Run, eventually: Callable[[Callable[[], Any]], Any]
) -> None:
    daemon = start(RULES.format(name="good"))

    def drift() -> Any:
        status = run("status", "--json", "--store", f"sqlite:{daemon.store}").stdout
        return json.loads(status)["rules"]["drift"]

    def differs() -> bool:
        return b"\nwebhook_router_rules_file_differs 1.0\n" in daemon.admin("/metrics").body

    assert (drift(), differs()) == (None, False)
    daemon.rules.write_text(RULES.format(name="bad") + "    stopp: true\n")
    found = eventually(lambda: (d := drift()) and d["why"] == "problems" and d)
    assert found["problems"] == [f'{daemon.rules}:5:5: rules[0] "bad": unknown key "stopp"; did you mean "stop"?']
    assert differs()

    daemon.rules.write_text(RULES.format(name="good"))
    assert daemon.wait_for_line("rules file is what runs again")["was"] == "problems"
    eventually(lambda: drift() is None)
    assert not differs()

    # Without a note of a working daemon, `status` compares the file itself.
    daemon.process.send_signal(signal.SIGSTOP)
    daemon.rules.write_text(RULES.format(name="other"))
    assert drift()["why"] == "changed"
    daemon.rules.unlink()
    assert drift()["why"] == "gone"
    daemon.kill()
    assert drift()["why"] == "gone"
    daemon.rules.write_text(RULES.format(name="good"))
    assert drift() is None


def test_a_rotated_secret_file_takes_effect_without_a_reload(start: Callable[..., Daemon], tmp_path: Path) -> None:
    (tmp_path / "token").write_text("old\n")
    daemon = start(
        "sources: {open: {verify: {scheme: token, header: X-Token, secret: {file: token}}}}\n"
        "rules: [{name: all, actions: [append: out.jsonl]}]\n"
    )

    (tmp_path / "next").write_text("new\n")
    (tmp_path / "next").replace(tmp_path / "token")

    assert daemon.wait_for_line("rules reloaded")["besides"] == ["secret file token"]
    assert daemon.post("/hooks/open", b"{}", {"X-Token": "new"}).status == 202
    assert daemon.post("/hooks/open", b"{}", {"X-Token": "old"}).status == 401


def test_a_pipe_is_refused_as_rules_file(run: Run, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")

    done = run("serve", tmp_path / "pipe", "--listen", "127.0.0.1:0", "--admin", "off")

    assert done.returncode == 3
    assert "this is not a regular file, but rules are read more than once; put them into a regular file" in done.stderr

"""Text of senders may reach plain programs, plain variables and own scripts. Anything else needs allow_code."""

import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from router.actions.command.known_programs import PLAIN, READERS
from router.actions.command.plain_variables import PREFIXES, WORDS, is_plain
from tests.cases import each

Make = Callable[..., Any]
DOCS = (Path(__file__).parents[3] / "docs" / "actions.md").read_text()

# Programs of a Debian system that run, load or write what their arguments or their input say.
OTHERS = (
    *(
        "ansible-playbook",
        "apt-get",
        "ar",
        "at",
        "batch",
        "bc",
        "cargo",
        "cmake",
        "cp",
        "crontab",
        "csh",
        "curl",
    ),
    *(
        "dd",
        "dpkg",
        "ed",
        "emacs",
        "ex",
        "expect",
        "find",
        "fish",
        "gdb",
        "git",
        "install",
        "ld.so",
        "ln",
        "logrotate",
    ),
    *(
        "m4",
        "mail",
        "make",
        "mv",
        "mysql",
        "nc",
        "ninja",
        "npm",
        "openssl",
        "parallel",
        "patch",
        "pip",
        "podman",
        "docker",
    ),
    *("psql", "pwsh", "rsync", "rpm", "scp", "screen", "script", "sed", "socat", "sqlite3", "ssh-keygen", "systemctl"),
    *("systemd-run", "tar", "tcsh", "tmux", "touch", "unzip", "vi", "vim", "watch", "wget", "xargs", "xxd", "zip"),
)
SPELLINGS = (
    "{}",
    "/usr/bin/{}",
    "env {}",
    "sudo -n {}",
    "nice {}",
    "timeout 5 {}",
    "nohup {}",
    "busybox {}",
    "env env {}",
)


@each("program", OTHERS)
def test_a_program_that_may_run_text_as_code_gets_no_senders_text(faults: Make, program: str) -> None:
    for spelling in SPELLINGS:
        argv = spelling.format(program).split()
        for more in (["{{ payload.x }}"], ["--", "{{ payload.x }}"], ["a={{ payload.x }}"], ["--x={{ payload.x }}"]):
            assert faults("command", {"argv": [*argv, *more], "stdin": "none"}), (argv, more)
        assert faults("command", {"argv": argv}), argv
        assert faults("command", {"argv": [*argv, "x"]}), argv
        assert faults("command", {"argv": argv, "stdin": "none", "env": {"REF": "{{ payload.x }}"}}), argv
        for free in ([], ["x"], ["{{ event.id }}"]):
            given = {"argv": [*argv, *free], "stdin": "none"}
            assert not [fault for fault in faults("command", given) if "plain" in fault], argv


def test_the_error_for_a_program_that_is_not_plain_names_place_and_cure(faults: Make) -> None:
    [argument] = faults("command", {"argv": ["sed", "{{ payload.x }}"], "stdin": "none"})
    [body] = faults("command", {"argv": ["xargs", "rm"]})
    [without_rule] = faults("command", {"argv": ["xargs", "rm"]}, allow_code=None)

    assert argument.startswith("argv.1: sed is none of the plain programs")
    assert "run a script of your own, or write allow_code: true in the rule" in argument
    assert body.startswith("argv.0: xargs is none of the plain programs")
    assert "write stdin: none, run a script of your own, or write allow_code: true" in body
    assert "allow_code" not in without_rule


@each("program", sorted(OTHERS))
def test_allow_code_lifts_the_restriction(faults: Make, program: str) -> None:
    found = faults("command", {"argv": [program, "x", "{{ payload.x }}"]}, allow_code=True)

    assert not [fault for fault in found if "plain" in fault]


@each("program", sorted(PLAIN))
def test_a_plain_program_may_get_senders_text(faults: Make, program: str) -> None:
    assert faults("command", {"argv": [program, "{{ payload.x }}"]}) == []
    assert faults("command", {"argv": ["sudo", "-u", "deploy", "nice", program, "{{ payload.x }}"]}) == []


@pytest.mark.parametrize("program", sorted(READERS))
def test_a_program_that_only_reads_may_get_the_body_but_no_templated_argument(faults: Make, program: str) -> None:
    assert faults("command", {"argv": [program, "x"]}) == []
    assert faults("command", {"argv": [program, "{{ payload.x }}"], "stdin": "none"})


def _own(path: Path, text: str) -> str:
    path.write_text(text)
    path.chmod(0o755)
    return f"./{path.name}"


@pytest.mark.parametrize(
    "line",
    [
        *("/bin/sh", "/bin/bash -eu", "/usr/bin/env python3", "/usr/bin/env -S python3 -u", "/usr/bin/perl -w"),
        *(
            "/usr/bin/awk -f",
            "/bin/sed -nf",
            "/usr/bin/env deno",
            "/usr/bin/expect",
            "/opt/ours/interpreter",
            "/bin/sh -ex",
        ),
    ],
)
def test_a_script_in_the_rules_folder_is_plain(faults: Make, tmp_path: Path, line: str) -> None:
    script = _own(tmp_path / "own", f"#!{line}\n")

    for before in ([], ["env", "A=b"], ["sudo", "-u", "deploy"], ["timeout", "-k", "1", "5"], ["flock", "lock"]):
        given = {"argv": [*before, script, "{{ payload.x }}"], "env": {"REF": "{{ payload.x }}"}}
        assert faults("command", given) == []


@pytest.mark.parametrize(
    "line",
    [
        *("/bin/sh -s", "/bin/sh -", "/usr/bin/make -f", "/usr/bin/xargs", "/usr/bin/sed", "/usr/bin/env -S sh -s"),
        *(
            "/usr/bin/awk",
            "/usr/bin/perl -n",
            "/usr/bin/python3 -",
            "/usr/bin/env xargs",
            "/usr/bin/sudo",
            "",
            "/bin/busybox",
        ),
    ],
)
def test_a_script_whose_first_line_runs_text_as_code_is_not_plain(faults: Make, tmp_path: Path, line: str) -> None:
    script = _own(tmp_path / "own", f"#!{line}\n")

    assert faults("command", {"argv": [script, "{{ payload.x }}"], "stdin": "none"})
    assert faults("command", {"argv": [script]})


@pytest.mark.parametrize("name", ["sed", "xargs", "bash", "find", "env"])
def test_a_link_or_copy_of_a_program_is_judged_as_that_program(faults: Make, tmp_path: Path, name: str) -> None:
    original = shutil.which(name)
    assert original
    (tmp_path / "link").symlink_to(original)
    (tmp_path / "far").symlink_to("link")
    shutil.copy(os.path.realpath(original), tmp_path / "mine")
    shutil.copy(os.path.realpath(original), tmp_path / name)

    for program in ("./link", "./far", "./mine", f"./{name}", f"{tmp_path}/mine", "../" + tmp_path.name + "/link"):
        assert faults("command", {"argv": [program]}), program
        assert faults("command", {"argv": [program, "-f{{ payload.x }}"], "stdin": "none"}), program


def test_a_plain_name_that_links_to_another_program_is_not_plain(faults: Make, tmp_path: Path) -> None:
    (tmp_path / "cat").symlink_to(shutil.which("sed") or "")
    (tmp_path / "elsewhere").mkdir()

    assert faults("command", {"argv": ["./cat", "{{ payload.x }}"]})


def test_a_script_outside_the_rules_folder_is_not_plain(
    faults: Make, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    _own(elsewhere / "go.sh", "#!/bin/sh\n")
    (tmp_path / "link.sh").symlink_to(elsewhere / "go.sh")

    for argv in ([str(elsewhere / "go.sh")], ["./link.sh"], ["sh", str(elsewhere / "go.sh")], ["sh", "link.sh"]):
        assert faults("command", {"argv": [*argv, "{{ payload.x }}"]}), argv
        assert faults("command", {"argv": [*argv, "x"], "stdin": "none"}) == []


@pytest.mark.parametrize(
    "argv",
    [
        *(["bash", "/dev/fd/0"], ["bash", "/proc/self/fd/0"], ["python3", "/dev/stdin"], ["perl", "-ne", "print"]),
        *(
            ["bash", "--rcfile", "/dev/stdin", "-i"],
            ["env", "BASH_ENV=/dev/stdin", "bash", "own.sh"],
            ["env", "-S", "sh"],
        ),
        *(["python3", "-m", "code"], ["lua", "-e", "x"], ["sh", "-o"], ["timeout", "5"], ["flock", "x", "-c", "sh"]),
        *(["node", "-r", "/dev/stdin"], ["su"], ["busybox"], ["busybox", "sh"], ["sudo", "-s"], ["sudo", "-i"]),
    ],
)
def test_a_body_that_could_be_code_is_an_error(faults: Make, argv: list[str]) -> None:
    assert faults("command", {"argv": argv})


def test_a_variable_that_runs_the_body_as_code_is_an_error(faults: Make) -> None:
    given = {"argv": ["bash", "own.sh"], "env": {"BASH_ENV": "/dev/stdin"}}

    assert any("write stdin: none" in fault for fault in faults("command", given))
    assert faults("command", {**given, "stdin": "none"}) == []


READ_BY_PROGRAMS = (
    *(
        "PATH",
        "LD_PRELOAD",
        "IFS",
        "ENV",
        "BASH_ENV",
        "PERL5OPT",
        "RUBYOPT",
        "NODE_OPTIONS",
        "JAVA_TOOL_OPTIONS",
        "GIT_DIR",
    ),
    *(
        "GIT_SSH_COMMAND",
        "SSH_ASKPASS",
        "TAR_OPTIONS",
        "PAGER",
        "EDITOR",
        "HOME",
        "HTTP_PROXY",
        "https_proxy",
        "SHELLOPTS",
    ),
    *("PS4", "PROMPT_COMMAND", "BASH_FUNC_x", "GCONV_PATH", "LOCPATH", "NLSPATH", "TERMINFO", "MAKEFLAGS", "LESSOPEN"),
    *(
        "XDG_CONFIG_HOME",
        "PYTHONSTARTUP",
        "NPM_CONFIG_REGISTRY",
        "DOCKER_HOST",
        "KUBECONFIG",
        "AWS_PROFILE",
        "PIP_INDEX_URL",
    ),
    *(
        "COMPOSE_FILE",
        "CARGO_HOME",
        "GOFLAGS",
        "TZ",
        "LC_ALL",
        "TMPDIR",
        "USER",
        "SHELL",
        "path",
        "CDPATH",
        "RSYNC_RSH",
    ),
    *(
        "PGSERVICEFILE",
        "MYSQL_HOME",
        "WEBHOOK_ROUTER_STORE",
        "CC",
        "LANG",
        "LANGUAGE",
        "MAIL",
        "MANPAGER",
        "BROWSER",
        "GREP_OPTIONS",
    ),
)


@each("name", READ_BY_PROGRAMS)
def test_a_variable_that_programs_read_may_hold_no_senders_text(faults: Make, name: str) -> None:
    for given in ({"argv": ["./own.sh"]}, {"shell": "true"}):
        assert any(f"env.{name}" in fault for fault in faults("command", {**given, "env": {name: "{{ payload.x }}"}}))
        assert not any("env" in fault for fault in faults("command", {**given, "env": {name: "constant"}}))


@pytest.mark.parametrize(
    "name",
    [
        "REF",
        "BRANCH",
        "GITHUB_SHA",
        "PUSHED_BY",
        "HEAD_COMMIT_ID",
        "TITLE",
        "TAG_NAME",
        "X",
        "HOOK_ANY_THING",
        "ref",
        "OLD_REF2",
    ],
)
def test_a_variable_that_no_program_reads_may_hold_senders_text(faults: Make, name: str) -> None:
    assert faults("command", {"shell": "true", "env": {name: "{{ payload.x }}"}}) == []


@pytest.mark.parametrize(
    "name", ["TAR_OPTIONS", "MAKEFLAGS", "HOME", "RSYNC_RSH", "LESSOPEN", "SSH_ASKPASS", "NODE_PATH"]
)
def test_with_a_commands_folder_no_variable_loads_other_code(faults: Make, tmp_path: Path, name: str) -> None:
    script = _own(tmp_path / "own", "#!/bin/sh\n")

    [fault] = faults("command", {"argv": [script], "env": {name: "x", "MODE": "fast"}}, commands=str(tmp_path))

    assert fault.startswith(f"env.{name}: {name} may make a program of the --commands folder run other code")


def test_every_plain_name_is_documented() -> None:
    section = DOCS.partition("### Plain programs\n")[2].partition("\n### ")[0]
    words = set(re.findall(r"[\w-]+", section))

    assert {*PLAIN, *READERS, *WORDS, *PREFIXES} <= words
    assert not is_plain("DELIVERY_OPTIONS")

"""Compiles the options of a command."""

import os
import re
from pathlib import Path

from router.actions.command.action import CommandAction
from router.actions.command.code_arguments import code_faults
from router.actions.command.code_files import code_files, script_files
from router.actions.command.options import CommandOptions
from router.actions.command.program_files import Folders
from router.actions.command.sender_text_guard import forbid_sender_text
from router.actions.command.text_limits import MAX_ARGUMENT, encodes
from router.actions.compiled_template import compiled_template
from router.plugins.build import Build
from router.plugins.target import TargetSpec
from router.templates import Template

_TIMEOUT_SECONDS = 300.0
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Variables that decide which code a program loads or runs.
_CODE_ENV = re.compile(
    r"PATH|LD_.*|DYLD_.*|IFS|ENV|BASH_ENV|SHELLOPTS|PS4|PROMPT_COMMAND|PYTHON.*|PERL.*|RUBY.*|NODE_.*|LUA_.*|JAVA_TOOL_OPTIONS"
    r"|GIT_.*|CLASSPATH|EDITOR|VISUAL|PAGER"
)
# The same, for programs that a program of the --commands folder may start.
_CODE_ENV_OF_PROGRAMS = re.compile(
    r".*OPTIONS|.*OPTS?|.*FLAGS|.*PATH|.*_HOME|.*_COMMAND|.*_PROXY|.*PAGER|.*STARTUP|.*_RSH|LESS(?:OPEN|CLOSE)|TERMINFO.*"
    r"|NPM_.*|PIP_.*|DOCKER_.*|COMPOSE_.*|XDG_.*|SSH_.*|KUBECONFIG|BASH_FUNC_.*|SHELL|HOME|BROWSER|WEBHOOK_ROUTER_.*"
)


def compile_command(options: CommandOptions, build: Build) -> CommandAction:
    """Compile the options to an action. Faults go to the build."""
    if (options.argv is None) == (options.shell is None):
        build.fault("expected exactly one of argv and shell")
    if build.commands == "off":
        build.fault("commands are forbidden here: the daemon was started with --commands off")
    if options.stdin == "item" and not build.has_item:
        build.fault("only a rule with for_each has an item", "stdin")
    body_on_stdin = options.stdin != "none"
    argv = tuple(compiled_template(text, build, "argv", i) for i, text in enumerate(options.argv or ()))
    cwd = build.base_dir / options.cwd if options.cwd is not None else build.base_dir
    folders = Folders(build.base_dir, cwd, Path(build.commands) if _is_bounded(build) else None, build.found)
    env = tuple((name, _env(name, text, build)) for name, text in options.env.items())
    if options.argv is not None:
        _check_argv(options.argv, argv, build, body_on_stdin=body_on_stdin)
    if not build.failed and not build.allow_code:
        forbid_sender_text(argv, env, build, folders, body_on_stdin=body_on_stdin)
    if not build.failed:
        _protect_code(argv, options.shell, build, folders)
    if options.shell is not None:
        _check_shell(options.shell, build)
    if options.cwd is not None:
        _check_cwd(options.cwd, cwd, build)
    return CommandAction(
        target=TargetSpec(build.name, options.concurrency, options.rate),
        argv=argv,
        shell=options.shell,
        env=env,
        cwd=cwd,
        stdin=options.stdin,
        timeout=options.timeout or build.timeout or _TIMEOUT_SECONDS,
        kill_after=options.kill_after,
        output_limit=options.output_limit,
        base_dir=build.base_dir,
    )


def _is_bounded(build: Build) -> bool:
    """Whether --commands limits programs to one folder."""
    return build.commands not in ("any", "off")


def _check_cwd(written: str, cwd: Path, build: Build) -> None:
    if "{{" in written:
        build.fault("cwd is constant, not a template", "cwd")
    elif "\0" in written or not encodes(written):
        build.fault("a folder's name can't contain NUL or half a surrogate pair", "cwd")
    elif not os.path.isdir(cwd):
        build.warn("this folder does not exist", "cwd")


def _check_argv(written: list[str], argv: tuple[Template, ...], build: Build, *, body_on_stdin: bool) -> None:
    if not written or not written[0]:
        build.fault("the list needs a program as its first item", "argv")
        return
    program = written[0]
    if argv[0].constant is None:
        build.fault("the program is constant: what a payload says must not choose what runs", "argv", 0)
        return
    for i, text in enumerate(written):
        if "\0" in text or not encodes(text):
            build.fault("an argument can't contain NUL or half a surrogate pair", "argv", i)
    for i, message in code_faults(argv, body_on_stdin=body_on_stdin).items():
        build.fault(message, "argv", i)
    _check_program(program, build)


def _protect_code(argv: tuple[Template, ...], shell: str | None, build: Build, folders: Folders) -> None:
    """Protect the command's code: no append may write to its files or into a folder from which its program loads
    code."""
    for path in script_files(shell, folders) if shell is not None else code_files(argv, folders):
        if path in build.found:
            continue
        build.found[path] = True
        if os.path.isdir(path):
            build.protected.add_folder(path, "the folder of a program that rules run")
        else:
            build.protected.add(path, "a program that rules run")


def _check_program(program: str, build: Build) -> None:
    path = build.base_dir / program
    if _is_bounded(build):
        folder = Path(os.path.realpath(build.commands))
        if "/" not in program or not Path(os.path.realpath(path)).is_relative_to(folder):
            build.fault(f"--commands allows only programs in {folder}; give the path of one", "argv", 0)
            return
    if "/" in program and not os.path.isfile(path):
        build.warn("this program does not exist", "argv", 0)
    elif "/" in program and not os.access(path, os.X_OK):
        build.warn("this program is not executable by this user; chmod +x may be the cure", "argv", 0)


def _check_shell(script: str, build: Build) -> None:
    if "{{" in script or "{%" in script:
        build.fault('a shell script is constant: give it payload text by env: and write "$NAME"', "shell")
    if not script.strip() or "\0" in script:
        build.fault("expected a script", "shell")
    elif not encodes(script) or len(script.encode()) > MAX_ARGUMENT:
        build.fault("the script can't be passed (over 128 KiB, or no UTF-8); put it into a file and run that", "shell")
    if _is_bounded(build):
        build.fault("--commands allows only programs in a folder; a shell script could run any", "shell")


def _env(name: str, text: str, build: Build) -> Template:
    if not _ENV_NAME.fullmatch(name):
        build.fault("expected a variable name of letters, digits and _", "env", name)
    template = compiled_template(text, build, "env", name)
    bounded = _is_bounded(build)
    if _CODE_ENV.fullmatch(name) or (bounded and _CODE_ENV_OF_PROGRAMS.fullmatch(name)):
        if template.constant is None:
            build.fault(f"{name} may decide what code runs, so it is constant; choose another name", "env", name)
        elif bounded:
            build.fault(f"{name} may make a program of the --commands folder run other code", "env", name)
    return template

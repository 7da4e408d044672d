"""Command: run a program or a constant shell script; payload text is an argument or input, never code."""

import asyncio
import errno
import os
import re
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from router.actions.command.code_files import code_files, script_files
from router.actions.command.interpreters import code_faults
from router.actions.command.plain_programs import STANDARD_INPUT, Kind, Places, kind_of
from router.actions.command.plain_variables import is_plain
from router.actions.command.process import run
from router.actions.excerpt import excerpt
from router.actions.sender_text import has_sender_text
from router.domain.errors import RenderError, TemplateError
from router.domain.outcomes import Cause, Outcome
from router.domain.units import Duration, Rate, Size
from router.observe.trace_context import trace_of
from router.plugins.action import Action, AttemptInput, Tools
from router.plugins.build import Build
from router.plugins.options import Options as Base
from router.plugins.target import TargetSpec
from router.templates import Context, Template, compile_template, context, rendered

SHORT: Mapping[type, str] = {list: "argv"}
RETRY: Mapping[str, Any] = {"attempts": 1}
CAUSES = (Cause.EXIT, Cause.SIGNAL, Cause.TIMEOUT, Cause.NOT_STARTED)
_TIMEOUT_SECONDS = 300.0
_STOP_CODES = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, 128 + signal.SIGTERM)
_STOP_SECONDS = 0.2  #: by then the daemon's own signal has arrived too
_MAX_ARGUMENT = 128 * 1024 - 1  #: bytes; Linux takes no longer single argument (MAX_ARG_STRLEN less its end)
_INHERITED = (b"PATH", b"HOME", b"USER", b"LOGNAME", b"SHELL", b"LANG", b"LC_ALL", b"TZ", b"TMPDIR")
_PATH = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# What decides which code a program loads or runs.
_CODE_ENV = re.compile(
    r"PATH|LD_.*|DYLD_.*|IFS|ENV|BASH_ENV|SHELLOPTS|PS4|PROMPT_COMMAND|PYTHON.*|PERL.*|RUBY.*|NODE_.*|LUA_.*|JAVA_TOOL_OPTIONS"
    r"|GIT_.*|CLASSPATH|EDITOR|VISUAL|PAGER"
)
# The same for programs that a bounded one may start: asked for below --commands DIR only.
_CODE_ENV_OF_PROGRAMS = re.compile(
    r".*OPTIONS|.*OPTS?|.*FLAGS|.*PATH|.*_HOME|.*_COMMAND|.*_PROXY|.*PAGER|.*STARTUP|.*_RSH|LESS(?:OPEN|CLOSE)|TERMINFO.*"
    r"|NPM_.*|PIP_.*|DOCKER_.*|COMPOSE_.*|XDG_.*|SSH_.*|KUBECONFIG|BASH_FUNC_.*|SHELL|HOME|BROWSER|WEBHOOK_ROUTER_.*"
)


class Options(Base):
    """Run a program. Exit code 0 is success."""

    argv: list[str] | None = Field(default=None, description="Program and arguments, each a template; no shell.")
    shell: str | None = Field(
        default=None, description="A constant script for /bin/sh; the event comes by env and stdin."
    )
    env: dict[str, str] = Field(default_factory=dict, description="Environment variables to add; values are templates.")
    cwd: str | None = Field(default=None, description="Folder to run in; that of the rules file.")
    stdin: Literal["body", "none"] = Field(default="body", description="What comes by standard input: the raw body.")
    timeout: Duration | None = Field(default=None, description="After it the process group is ended; 5m.")
    kill_after: Duration = Field(default=5.0, description="Time from TERM to KILL.")
    output_limit: Size = Field(
        default=16 * 1024, description="How much output is kept with the attempt: the end of it."
    )
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(default=1, description="Runs under way at once.")
    rate: Rate | None = Field(default=None, description="Runs started in a time, such as 10/m.")


@dataclass(frozen=True, slots=True)
class CommandAction:
    """A compiled command."""

    target: TargetSpec
    argv: tuple[Template, ...]
    shell: str | None
    env: tuple[tuple[str, Template], ...]
    cwd: Path
    stdin: bool
    timeout: float
    kill_after: float
    output_limit: int
    base_dir: Path
    type: str = "command"

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """See Action.preview."""
        values = context(job, mask_secrets=True)
        env = {name: template.render(values) for name, template in self.env}
        what = {"shell": self.shell} if self.shell is not None else {"argv": self._arguments(values)}
        return {**what, "env": env, "cwd": str(self.cwd)}

    async def attempt(self, job: AttemptInput, tools: Tools) -> Outcome:
        """See Action.attempt."""
        try:
            argv, env = await rendered(self._rendered, job)
        except RenderError as error:
            return Outcome.failed(str(error))
        try:
            done = await run(
                [text.encode() for text in argv],
                threads=tools.processes,
                cwd=os.fsencode(self.cwd),
                env=env,
                stdin=job.event.body if self.stdin else b"",
                timeout=self.timeout,
                kill_after=self.kill_after,
                output_limit=self.output_limit,
            )
        except OSError as error:
            return Outcome.retry(self._reason(error, argv[0]), cause=Cause.NOT_STARTED)
        shown = excerpt(done.output, self.output_limit, end=True)
        if done.code in _STOP_CODES and not done.timed_out:
            # A service manager tells the daemon and its commands to stop at the same moment, in any order.
            await asyncio.sleep(_STOP_SECONDS)
            if tools.stopping():
                return Outcome.interrupted("it was told to stop together with the daemon")
        if done.timed_out:
            reason = f"not done within {self.timeout:g} s, so it was ended"
            return Outcome.retry(reason, done.code, shown, cause=Cause.TIMEOUT)
        if done.code == 0:
            return Outcome.succeeded(0, shown)
        if done.code < 0:
            return Outcome.retry(f"ended by signal {-done.code}", done.code, shown, cause=Cause.SIGNAL)
        return Outcome.retry(f"exit code {done.code}", done.code, shown, cause=Cause.EXIT)

    def _rendered(self, job: AttemptInput) -> tuple[list[str], dict[bytes, bytes]]:
        values = None if self._constant else context(job, mask_secrets=False)
        argv = ["/bin/sh", "-c", self.shell] if self.shell is not None else self._arguments(values)
        return argv, self._environment(job, values)

    @property
    def _constant(self) -> bool:
        """Whether nothing of it depends on the event."""
        return all(template.constant is not None for template in (*self.argv, *(template for _, template in self.env)))

    def _arguments(self, values: Context | None) -> list[str]:
        argv: list[str] = []
        ended = False
        for i, template in enumerate(self.argv):
            text = _render(template, values)
            _check_text(text, f"argv[{i}]", "; pass long or binary data by stdin")
            # Payload text that begins with a dash would be taken for an option.
            if text.startswith("-") and not template.text.startswith("-") and not ended:
                raise RenderError(f'argv[{i}] would begin with a dash; put "--" before it, if the program knows that')
            ended = ended or template.constant == "--"
            argv.append(text)
        if "/" in argv[0]:
            argv[0] = str(self.base_dir / argv[0])
        return argv

    def _environment(self, job: AttemptInput, values: Context | None) -> dict[bytes, bytes]:
        delivery = job.claim.delivery
        env = {
            **_inherited(),
            b"WEBHOOK_ROUTER_EVENT_ID": job.claim.event.id.encode(),
            b"WEBHOOK_ROUTER_SOURCE": job.claim.event.source.encode(),
            b"WEBHOOK_ROUTER_RULE": delivery.rule.encode(),
            b"WEBHOOK_ROUTER_ACTION": delivery.action.encode(),
            b"WEBHOOK_ROUTER_DELIVERY_ID": delivery.id.encode(),
            b"WEBHOOK_ROUTER_ATTEMPT": str(job.claim.attempt).encode(),
        }
        # An action that names a trace of its own has left the event's.
        if (trace := trace_of(job.event.headers)) is not None and "TRACEPARENT" not in {name for name, _ in self.env}:
            env[b"TRACEPARENT"] = trace.parent().encode()
            if trace.state:
                env[b"TRACESTATE"] = trace.state.encode()
        for name, template in self.env:
            value = _render(template, values)
            _check_text(f"{name}={value}", f"env.{name}", "; pass long or binary data by stdin")
            env[name.encode()] = value.encode()
        return env

    def _reason(self, error: OSError, program: str) -> str:
        """Why it could not be run; the program's name is constant, so it may be told."""
        name = Path(program).name
        if not os.path.isdir(self.cwd):
            return f"the folder to run in (cwd) is not there: {self.cwd.name}"
        if error.errno == errno.ENOENT:
            return f"{name} is not there, or the interpreter in its first line isn't"
        if error.errno == errno.EACCES:
            return f"{name} is not executable by this user; chmod +x may be the cure"
        if error.errno == errno.ENOEXEC:
            return f"{name} is no program; a script needs a first line such as #!/bin/sh"
        if error.errno == errno.ECHILD:
            return f"how {name} ended is not known: something else waited for it"
        if error.errno == errno.E2BIG:
            return "arguments and environment are too long together; pass data by stdin"
        return f"{name} can't be run: {os.strerror(error.errno or 0)}"


@cache
def _inherited() -> dict[bytes, bytes]:
    """What a program gets of the daemon's environment: nothing that could hold a secret."""
    return {b"PATH": _PATH} | {name: os.environb[name] for name in _INHERITED if name in os.environb}


def _render(template: Template, values: Context | None) -> str:
    if template.constant is not None:
        return template.constant
    assert values is not None
    return template.render(values)


def compile(options: Options, build: Build) -> Action:  # noqa: A001 - the name that every action module has
    """Options in, Action out; faults go to the build."""
    if (options.argv is None) == (options.shell is None):
        build.fault("expected exactly one of argv and shell")
    if build.commands == "off":
        build.fault("commands are forbidden here: the daemon was started with --commands off")
    argv = tuple(_template(text, build, "argv", i) for i, text in enumerate(options.argv or ()))
    cwd = build.base_dir / options.cwd if options.cwd is not None else build.base_dir
    places = Places(
        build.base_dir, cwd, None if build.commands in ("any", "off") else Path(build.commands), build.found
    )
    env = tuple((name, _env(name, text, build)) for name, text in options.env.items())
    if options.argv is not None:
        _check_argv(options.argv, argv, build, body_on_stdin=options.stdin == "body")
    if not build.failed and not build.allow_code:
        _check_sender_text(argv, env, build, places, body_on_stdin=options.stdin == "body")
    if not build.failed:
        _protect_code(argv, options.shell, build, places)
    if options.shell is not None:
        _check_shell(options.shell, build)
    if options.cwd is not None and "{{" in options.cwd:
        build.fault("cwd is constant, not a template", "cwd")
    elif options.cwd is not None and ("\0" in options.cwd or not _encodes(options.cwd)):
        build.fault("a folder's name can't contain NUL or half a surrogate pair", "cwd")
    elif options.cwd is not None and not os.path.isdir(cwd):
        build.warn("this folder is not there", "cwd")
    return CommandAction(
        target=TargetSpec(build.name, options.concurrency, options.rate),
        argv=argv,
        shell=options.shell,
        env=env,
        cwd=cwd,
        stdin=options.stdin == "body",
        timeout=options.timeout or build.timeout or _TIMEOUT_SECONDS,
        kill_after=options.kill_after,
        output_limit=options.output_limit,
        base_dir=build.base_dir,
    )


def _check_argv(written: list[str], argv: tuple[Template, ...], build: Build, *, body_on_stdin: bool) -> None:
    if not written or not written[0]:
        build.fault("the list needs a program as its first item", "argv")
        return
    program = written[0]
    if argv[0].constant is None:
        build.fault("the program is constant: what a payload says must not choose what runs", "argv", 0)
        return
    for i, text in enumerate(written):
        if "\0" in text or not _encodes(text):
            build.fault("an argument can't contain NUL or half a surrogate pair", "argv", i)
    for i, message in code_faults(argv, body_on_stdin=body_on_stdin).items():
        build.fault(message, "argv", i)
    _check_program(program, build)


def _check_sender_text(
    argv: tuple[Template, ...],
    env: tuple[tuple[str, Template], ...],
    build: Build,
    places: Places,
    *,
    body_on_stdin: bool,
) -> None:
    """Sender's text goes to plain programs and plain variables only, unless the rule says allow_code."""
    allow = ", or write allow_code: true in the rule if the sender may decide what it does"
    if build.allow_code is None:  # actions of `unmatched` have no rule to say it
        allow = ""
    cure = f"run a script of your own{allow}"
    arguments = [i for i, template in enumerate(argv) if has_sender_text(template)]
    variables = [name for name, template in env if has_sender_text(template)]
    for name in variables:
        if not is_plain(name):
            build.forbid(f"programs may take {name} for more than data; call it HOOK_{name}{allow}", "env", name)
    for name, template in env:
        if body_on_stdin and template.constant is not None and STANDARD_INPUT.search(template.constant):
            build.forbid(f"{name} could make the event's body code; write stdin: none, {_or(cure)}", "env", name)
    if not argv or not (arguments or variables or body_on_stdin):
        return
    kind, program = kind_of(argv, places), Path(argv[0].text).name
    if arguments and kind is not Kind.PLAIN:
        why = f"{program} is none of the plain programs (docs/actions.md), so payload text in its arguments may be code"
        build.forbid(f"{why}; {cure}", "argv", arguments[0])
    elif variables and kind is Kind.OTHER:
        why = f"{program} is none of the plain programs (docs/actions.md), so payload text in its variables may be code"
        build.forbid(f"{why}; {cure}", "env", variables[0])
    if body_on_stdin and kind is Kind.OTHER:
        why = f"{program} is none of the plain programs (docs/actions.md), so the event's body on its input may be code"
        build.forbid(f"{why}; write stdin: none, {_or(cure)}", "argv", 0)


def _or(cure: str) -> str:
    return cure if ", or " in cure else f"or {cure}"


def _protect_code(argv: tuple[Template, ...], shell: str | None, build: Build, places: Places) -> None:
    """No append may write to what this command runs, nor into a folder that its program may read code from."""
    for path in script_files(shell, places) if shell is not None else code_files(argv, places):
        if path in build.found:
            continue
        build.found[path] = True
        if os.path.isdir(path):
            build.protected.add_folder(path, "the folder of a program that rules run")
        else:
            build.protected.add(path, "a program that rules run")


def _check_program(program: str, build: Build) -> None:
    path = build.base_dir / program
    if build.commands not in ("any", "off"):
        folder = Path(os.path.realpath(build.commands))
        if "/" not in program or not Path(os.path.realpath(path)).is_relative_to(folder):
            build.fault(f"--commands allows only programs in {folder}; give the path of one", "argv", 0)
            return
    if "/" in program and not os.path.isfile(path):
        build.warn("this program is not there", "argv", 0)
    elif "/" in program and not os.access(path, os.X_OK):
        build.warn("this program is not executable by this user; chmod +x may be the cure", "argv", 0)


def _check_shell(script: str, build: Build) -> None:
    if "{{" in script or "{%" in script:
        build.fault('a shell script is constant: give it payload text by env: and write "$NAME"', "shell")
    if not script.strip() or "\0" in script:
        build.fault("expected a script", "shell")
    elif not _encodes(script) or len(script.encode()) > _MAX_ARGUMENT:
        build.fault("the script can't be passed (over 128 KiB, or no UTF-8); put it into a file and run that", "shell")
    if build.commands not in ("any", "off"):
        build.fault("--commands allows only programs in a folder; a shell script could run any", "shell")


def _env(name: str, text: str, build: Build) -> Template:
    if not _ENV_NAME.fullmatch(name):
        build.fault("an environment variable's name is letters, digits and _", "env", name)
    template = _template(text, build, "env", name)
    bounded = build.commands not in ("any", "off")
    if _CODE_ENV.fullmatch(name) or (bounded and _CODE_ENV_OF_PROGRAMS.fullmatch(name)):
        if template.constant is None:
            build.fault(f"{name} may decide what code runs, so it is constant; choose another name", "env", name)
        elif bounded:
            build.fault(f"{name} may make a program of the --commands folder run other code", "env", name)
    return template


def _template(text: str, build: Build, *place: str | int) -> Template:
    try:
        return compile_template(text, secrets=build.secrets)
    except TemplateError as error:
        build.fault(str(error), *place)
        return Template(text, constant=text)


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_text(text: str, what: str, cure: str) -> None:
    if "\0" in text:
        raise RenderError(f"{what} would contain NUL{cure}")
    if not _encodes(text):
        raise RenderError(f"{what} would contain a character that can't be encoded{cure}")
    if len(text.encode()) > _MAX_ARGUMENT:
        raise RenderError(f"{what} would be longer than 128 KiB{cure}")

"""The action type `command`."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from router.actions.command.options import CommandOptions
from router.domain.outcomes import Cause
from router.plugins.action import Action, ActionType
from router.plugins.build import Build

if TYPE_CHECKING:
    from router.actions.command.programs import Programs

_HINTS: Mapping[str, tuple[str, ...]] = {
    "did you mean \"command\"? It runs a program: command: [program, argument], or command: {shell: …}":
        ("exec", "execute", "executecommand", "run", "script", "shell", "cmd", "bash", "sh", "python", "process",
         "program", "spawn", "job", "hook"),
    "to send mail, run a program such as sendmail by command, or forward to a mail service":
        ("email", "mail", "smtp", "sendmail", "mailto"),
    "there is no such action; run a program by command, or forward to a service that does it":
        ("queue", "kafka", "amqp", "rabbitmq", "sqs", "sns", "redis", "mqtt", "nats", "database", "db", "sql",
         "postgres", "mysql", "s3", "lambda"),
}  # fmt: skip


def _compile(options: Any, build: Build) -> Action:
    from router.actions.command.compile import compile_command  # noqa: PLC0415 - to list the types needs no templates

    return compile_command(options, build)


def _open_programs() -> "AbstractAsyncContextManager[Programs]":
    from router.actions.command.programs import open_programs  # noqa: PLC0415 - a daemon alone runs any

    return open_programs()


COMMAND = ActionType(
    name="command",
    options=CommandOptions,
    compile=_compile,
    short_forms={list: "argv"},
    value_hints={str: "for a shell script, write {shell: …}"},
    causes=(Cause.EXIT, Cause.SIGNAL, Cause.TIMEOUT, Cause.NOT_STARTED),
    retry_defaults={"attempts": 1},
    answers=True,
    danger="run this command",
    confidential_keys=frozenset({"env", "command"}),
    hints=_HINTS,
    status_word="exit code",
    status_prefix="exit ",
    open_resources=_open_programs,
)

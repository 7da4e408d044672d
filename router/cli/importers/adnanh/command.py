"""What a hook runs, as a command action.

Arguments and variables are templates. Files, and the raw body as an argument, have no key of their own here. A short
constant script in the rules file makes them from its standard input and its variables.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from router.cli.importers.adnanh.document import Commented
from router.cli.importers.adnanh.hooks import Hook, Parameter
from router.cli.importers.adnanh.notes import CantCarry, Notes
from router.cli.importers.adnanh.values import BODY, HookValues

_TIMEOUT = "1d"
_AT_ONCE = 16
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_GO_DURATION = re.compile(r"\d+(?:ms|s|m|h)")


@dataclass(slots=True)
class Command:
    """Writes the command of one hook."""

    hook: Hook
    values: HookValues
    notes: Notes
    script: list[str] = field(default_factory=list)  #: lines that prepare files and the body
    files: list[str] = field(default_factory=list)  #: shell variables that name a file to remove
    env: dict[str, str] = field(default_factory=dict)
    reads_body: bool = False

    def action(self) -> dict[str, Any]:
        """The options of `command`. Raises CantCarry."""
        arguments = [self._argument(parameter, number) for number, parameter in enumerate(self.hook.arguments, 1)]
        self._variables()
        for parameter in self.hook.files:
            self._file(parameter)
        program = self._program()
        argv = [program, *(text for text, _ in arguments)]
        if self.script or self.reads_body:
            argv = ["sh", "-c", self._script([shell for _, shell in arguments]), *argv]
        stdin = "body" if self.reads_body else "none"
        options: dict[str, Any] = {"argv": argv, "stdin": stdin, "env": self.env, "cwd": self.hook.folder}
        options = {key: value for key, value in options.items() if value}
        options["concurrency"] = self.hook.most_at_once or Commented(
            _AT_ONCE, ("webhook runs them at the same time; 1 would run them one after another",)
        )
        options["timeout"] = self._timeout()
        return options

    def _timeout(self) -> Any:
        if not self.hook.timeout:
            return Commented(_TIMEOUT, ("webhook waits for ever; here a script that hangs is ended after this time",))
        if not _GO_DURATION.fullmatch(self.hook.timeout):
            raise CantCarry(self.hook.place, f'the command-timeout "{self.hook.timeout}" is not a number with one unit')
        return self.hook.timeout

    def _program(self) -> str:
        """The program. Webhook looks for a relative name in the working directory, if the hook has one."""
        command, folder = self.hook.command, self.hook.folder
        if command.startswith("/") or not folder:
            if "/" in command and not command.startswith("/"):
                self.notes.add(
                    self.hook.place, f"{command} is looked for from the rules file's folder, not from the daemon's"
                )
            return command
        return f"{folder.rstrip('/')}/{command}"

    def _argument(self, parameter: Parameter, number: int) -> tuple[str, str]:
        """The argument, and how the script passes it on."""
        if parameter.source == BODY and not self.values.is_text:
            self.reads_body = True
            return "", '"$body"'
        return self.values.template(parameter), f'"${{{number}}}"'

    def _variables(self) -> None:
        for parameter in self.hook.variables:
            name = self._variable(parameter, parameter.variable or f"HOOK_{parameter.name}")
            if parameter.source == BODY and not self.values.is_text:
                self.reads_body = True
                self.script.append(f'export {name}="$body"')
            else:
                self.env[name] = self.values.template(parameter)

    def _file(self, parameter: Parameter) -> None:
        name = self._variable(parameter, parameter.variable or f"HOOK_{parameter.name.upper()}")
        decode = " | base64 -d" if parameter.base64 else ""
        if parameter.source == BODY and not self.values.is_text:
            self.reads_body = True
            content = '"$body"'
        else:
            content_name = f"HOOK_DATA_{len(self.files) + 1}"
            self.env[content_name] = self.values.template(parameter)
            content = f'"${content_name}"'
        folder = ' -p "$PWD"' if self.hook.folder else ""
        self.script.append(f"{name}=$(mktemp{folder}) && export {name} || exit")
        self.script.append(f'printf %s {content}{decode} > "${name}" || exit')
        self.files.append(name)
        if parameter.source != BODY:
            self.notes.add(parameter.place, "the content of this file travels in a variable, so it has 128 KiB at most")

    def _variable(self, parameter: Parameter, name: str) -> str:
        plain = re.sub(r"[^A-Za-z0-9_]", "_", name)
        if not _VARIABLE.fullmatch(plain):
            raise CantCarry(parameter.place, f'"{name}" is not a variable name; give it an envname')
        if plain != name:
            self.notes.add(parameter.place, f"the variable {name} is {plain} here; a name has letters, digits and _")
        return plain

    def _script(self, arguments: Iterable[str]) -> str:
        """The constant script around the program; its arguments are the program and the program's arguments."""
        lines = ["set -u"]
        if self.reads_body:
            lines.append("body=$(cat; echo .) && body=${body%.}")
        lines += self.script
        call = " ".join(['"$0"', *arguments])
        if not self.files:
            return "\n".join([*lines, f"exec {call}"]) + "\n"
        removed = " ".join(f'"${name}"' for name in self.files)
        return "\n".join([*lines, call, "code=$?", f"rm -f {removed}", "exit $code"]) + "\n"

"""Keeps a sender's text from programs that may run it, unless the rule says `allow_code`."""

from pathlib import Path

from router.actions.command.plain_programs import kind_of
from router.actions.command.plain_variables import is_plain
from router.actions.command.program_files import Folders
from router.actions.command.program_kind import STANDARD_INPUT, ProgramKind
from router.actions.sender_text import has_sender_text
from router.plugins.build import Build
from router.templates import Template


def forbid_sender_text(
    argv: tuple[Template, ...],
    env: tuple[tuple[str, Template], ...],
    build: Build,
    folders: Folders,
    *,
    body_on_stdin: bool,
) -> None:
    """Allow sender's text only in plain programs and plain variables. Faults go to the build."""
    allow = ", or write allow_code: true in the rule if the sender may decide what it does"
    if build.allow_code is None:  # actions of `unmatched` have no rule to say it
        allow = ""
    cure = f"run a script of your own{allow}"
    arguments = [i for i, template in enumerate(argv) if has_sender_text(template, open_path=build.open_path)]
    variables = [name for name, template in env if has_sender_text(template, open_path=build.open_path)]
    for name in variables:
        if not is_plain(name):
            build.forbid(f"programs may take {name} for more than data; call it HOOK_{name}{allow}", "env", name)
    for name, template in env:
        if body_on_stdin and template.constant is not None and STANDARD_INPUT.search(template.constant):
            build.forbid(f"{name} could make the event's body code; write stdin: none, {_or(cure)}", "env", name)
    if not argv or not (arguments or variables or body_on_stdin):
        return
    kind, program = kind_of(argv, folders), Path(argv[0].text).name
    if arguments and kind is not ProgramKind.PLAIN:
        why = f"{program} is none of the plain programs (docs/actions.md), so payload text in its arguments may be code"
        build.forbid(f"{why}; {cure}", "argv", arguments[0])
    elif variables and kind is ProgramKind.OTHER:
        why = f"{program} is none of the plain programs (docs/actions.md), so payload text in its variables may be code"
        build.forbid(f"{why}; {cure}", "env", variables[0])
    if body_on_stdin and kind is ProgramKind.OTHER:
        why = f"{program} is none of the plain programs (docs/actions.md), so the event's body on its input may be code"
        build.forbid(f"{why}; write stdin: none, {_or(cure)}", "argv", 0)


def _or(cure: str) -> str:
    return cure if ", or " in cure else f"or {cure}"

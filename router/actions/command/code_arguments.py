"""Arguments that a program would run as code. They must be constant.

These are the text after an interpreter's `-c`, its script, the program that `env` or `sudo` runs, and what `ssh` gives
to the remote shell. Only programs with a known name are checked: no list of programs is complete.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from router.actions.command.program_kind import STANDARD_INPUT
from router.templates import Template

_INTERPRETER = re.compile(
    r"(?:ba|da|z|k|fi|tc|c|a)?sh|busybox|pypy[\d.]*|python[\d.]*|perl[\d.]*|ruby[\d.]*|node|nodejs|deno|bun|php[\d.]*"
    r"|lua[\d.]*|luajit|tclsh[\d.]*|Rscript|pwsh|[gmn]?awk"
)
# These run the program in their arguments; some also take a shell command line.
_WRAPPER = re.compile(
    r"env|sudo|doas|nice|ionice|chrt|nohup|setsid|stdbuf|time|xargs|parallel|strace|systemd-run|unshare|nsenter"
    r"|timeout|chroot|flock|su|runuser|script|watch"
)
_WRAPPER_OF_SHELL = re.compile(r"flock|su|runuser|script|watch")
_WRAPPER_WITH_OPERAND = re.compile(r"timeout|chroot|flock")  #: a time, a folder or a file comes before the program
_REMOTE = re.compile(r"ssh|rsh|mosh")
# Short options with code as their value or attached, and long ones.
_SHORT = re.compile(r"-[A-Za-z]*[ceEprR]")
_LONG = re.compile(r"--?(?:eval|execute|run|print|command|Command|exec)\b")


def code_faults(argv: Sequence[Template], *, body_on_stdin: bool) -> dict[int, str]:
    """Faults, by the index of the argument."""
    found: dict[int, str] = {}
    interprets = wraps = False
    for i, template in enumerate(argv):
        name = Path(template.constant).name if template.constant is not None else ""
        if i == 0 or wraps:
            found |= _operand_faults(argv, i, name, body_on_stdin=body_on_stdin)
        if interprets:
            found |= _flag_faults(argv, i)
        wraps = wraps or (i == 0 and bool(_WRAPPER.fullmatch(name)))
        interprets = interprets or bool(_INTERPRETER.fullmatch(name) or _WRAPPER_OF_SHELL.fullmatch(name))
    return found


def _operand_faults(argv: Sequence[Template], at: int, name: str, *, body_on_stdin: bool) -> dict[int, str]:
    """Faults of an interpreter's script, of a wrapper's program, and of everything after `ssh`'s host."""
    if _REMOTE.fullmatch(name):
        why = f"{name} hands this to a shell on the other side, so it is constant; send payload text by stdin"
        return {i: why for i in range(at + 1, len(argv)) if argv[i].constant is None}
    interprets, wraps = bool(_INTERPRETER.fullmatch(name)), bool(_WRAPPER.fullmatch(name))
    if not interprets and not wraps:
        return {}
    wanted = 2 if _WRAPPER_WITH_OPERAND.fullmatch(name) else 1
    for i in range(at + 1, len(argv)):
        text = argv[i].text
        if argv[i].constant is None and not text.startswith("-"):
            return {i: f"{name} would run what the payload names; write that out, and give payload text after it"}
        if interprets and body_on_stdin and (text in ("-", "-s") or STANDARD_INPUT.fullmatch(text)):
            return {i: f"{name} would run the event's body; give it a script, or say stdin: none"}
        if interprets and (_SHORT.match(text) or _LONG.match(text)):
            return {}  # the code is constant: see _flag_faults
        if not text.startswith("-") and not (wraps and ("=" in text or _is_value(argv[i - 1].text, text))):
            wanted -= 1
            if not wanted:
                return {}
    if interprets and body_on_stdin:
        return {at: f"{name} without a script would run the event's body; give it a script, or say stdin: none"}
    return {}


def _is_value(before: str, text: str) -> bool:
    """Whether an argument is the value of the option before it (sudo -u deploy) and not a program."""
    return bool(re.fullmatch(r"-[A-Za-z]", before)) and not re.search(r"[/.]", text)


def _flag_faults(argv: Sequence[Template], at: int) -> dict[int, str]:
    """Faults of code after an option such as -c: attached, or the next argument that is not an option."""
    written = argv[at].text
    literal = re.split(r"\{\{|\{%|\{#", written)[0]
    if not (_SHORT.match(literal) or _LONG.match(literal)):
        return {}
    why = f"what follows {literal} is code, so it is constant; give payload text as a further argument"
    if argv[at].constant is None:
        return {at: why}
    for i in range(at + 1, len(argv)):
        if argv[i].constant is None:
            return {i: why}
        if not argv[i].text.startswith("-"):
            break
    return {}

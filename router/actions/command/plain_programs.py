"""Which programs may take a sender's text as arguments or on standard input, unless the rule says `allow_code`.

Turned round on purpose: nobody can list all programs that run a part of what they are given (sed, xargs, make, find,
tar, psql …). So a short list of programs is plain, scripts of one's own count as plain, and all others are not.
"""

import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

from router.actions.command.plain_variables import is_plain
from router.templates import Template

#: They neither run, load nor write what their arguments and their input say.
PLAIN = frozenset(
    (
        *("base32", "base64", "basename", "b2sum", "cat", "cksum", "cut", "dirname", "echo", "expr", "false"),
        *("fold", "grep", "head", "logger", "ls", "md5sum", "nl", "od", "printf", "readlink", "realpath"),
        *("rev", "seq", "sha1sum", "sha224sum", "sha256sum", "sha384sum", "sha512sum", "sleep", "stat", "sum"),
        *("tac", "tail", "test", "tr", "true", "uname", "uptime", "wc", "yes"),
    )
)
#: The same for their input alone: their arguments may name a file to write, a program to run, or be one.
READERS = frozenset({"date", "df", "gzip", "id", "jq", "sort", "tee", "uniq"})

_MULTICALL = frozenset({"busybox", "toybox", "coreutils"})  #: one program of many names
_SYSTEM = tuple(Path(folder) for folder in ["/bin", "/sbin", "/lib", "/lib64", "/usr", "/snap", "/nix", "/gnu"])
_OWN_BELOW_SYSTEM = Path("/usr/local")
_MOST_LINKS = 4  #: interpreters of interpreters, wrappers of wrappers
_FIRST_LINE = 256  #: bytes that Linux reads of a script's first line
STANDARD_INPUT = re.compile(r"/dev/stdin|/dev/fd/0+|/proc/(?:self|thread-self|\$\$|\d+)/fd/0+|/dev/tty")


class Kind(Enum):
    """What a program may be given of a sender's text."""

    PLAIN = "arguments and input"
    READER = "input"
    OTHER = "nothing"


@dataclass(frozen=True, slots=True)
class Places:
    """Where a command's programs and scripts are looked for."""

    base_dir: Path  #: the program starts from here
    cwd: Path  #: scripts, and what a wrapper runs
    commands: Path | None = None  #: the folder of --commands
    found: dict[Any, Any] = field(default_factory=dict, compare=False)  #: what is known by now, for other commands

    def is_own(self, file: str) -> bool:
        """Whether a resolved file is one's own: below the rules file's folder or in that of --commands."""
        path = Path(file)
        if any(path.is_relative_to(folder) for folder in _SYSTEM) and not path.is_relative_to(_OWN_BELOW_SYSTEM):
            return False
        return any(path.is_relative_to(os.path.realpath(own)) for own in (self.base_dir, self.commands) if own)


@dataclass(frozen=True, slots=True)
class Interpreter:
    """How an interpreter is told what to run. Options other than these make it a program that is not plain."""

    code: re.Pattern[str] | None  #: the option that the code itself follows
    flags: re.Pattern[str]  #: options that change nothing about what is code
    valued: frozenset[str] = frozenset()  #: such options with a value after them
    file: frozenset[str] = frozenset()  #: options that the script follows
    inline: bool = False  #: the first operand is code, not a script


@dataclass(frozen=True, slots=True)
class Wrapper:
    """How a program that runs another is told which. Options other than these make it a program that is not plain."""

    flags: re.Pattern[str]
    valued: frozenset[str] = frozenset()
    operands: int = 0  #: before the program
    variables: bool = False  #: NAME=value may stand before the program


_SHELL = Interpreter(
    re.compile(r"-[euxvfnCl]*c"), re.compile(r"-[euxvfCl]+|--posix|--norc|--noprofile|-p"), frozenset({"-o"})
)
_PYTHON = Interpreter(re.compile(r"-[EsSuBIbOv]*c"), re.compile(r"-[EsSuBIbOv]+"), frozenset({"-W", "-X"}))
_PERL = Interpreter(re.compile(r"-[wWtTuU]*[eE]"), re.compile(r"-[wWtTuU]+"))
_RUBY = Interpreter(re.compile(r"-w?e"), re.compile(r"-w|-W\d?|-U"))
_NODE = Interpreter(re.compile(r"-e|-p|--eval|--print"), re.compile(r"--no-[a-z-]+|--enable-source-maps"))
_PHP = Interpreter(re.compile(r"-r"), re.compile(r"-[qn]+"), file=frozenset({"-f"}))
_SCRIPT_ONLY = Interpreter(None, re.compile(r"--vanilla|--no-save"))
_AWK = Interpreter(None, re.compile(r"--posix|--sandbox"), frozenset({"-F", "-v"}), frozenset({"-f"}), inline=True)
_INTERPRETERS = (
    (re.compile(r"(?:ba|da|z|k|mk|a)?sh"), _SHELL),
    (re.compile(r"(?:pypy|python)[\d.]*"), _PYTHON),
    (re.compile(r"perl[\d.]*"), _PERL),
    (re.compile(r"ruby[\d.]*"), _RUBY),
    (re.compile(r"node|nodejs"), _NODE),
    (re.compile(r"php[\d.]*"), _PHP),
    (re.compile(r"lua[\d.]*|luajit|tclsh[\d.]*|Rscript"), _SCRIPT_ONLY),
    (re.compile(r"[gmn]?awk|original-awk"), _AWK),
)
_NONE = re.compile(r"(?!)")
_WRAPPERS = {
    "env": Wrapper(re.compile(r"-i|-"), frozenset({"-u"}), variables=True),
    "sudo": Wrapper(re.compile(r"-[nEHkP]+"), frozenset({"-u", "-g"}), variables=True),
    "doas": Wrapper(re.compile(r"-n"), frozenset({"-u"})),
    "nice": Wrapper(re.compile(r"-n?\d+|--adjustment=\d+"), frozenset({"-n"})),
    "ionice": Wrapper(re.compile(r"-[cn]\d|-t"), frozenset({"-c", "-n"})),
    "nohup": Wrapper(_NONE),
    "setsid": Wrapper(re.compile(r"-w|--wait")),
    "stdbuf": Wrapper(re.compile(r"-[ioe][L\d]\w*"), frozenset({"-i", "-o", "-e"})),
    "timeout": Wrapper(
        re.compile(r"--foreground|--preserve-status|--(?:signal|kill-after)=\w+"), frozenset({"-k", "-s"}), 1
    ),
    "flock": Wrapper(re.compile(r"-[nxseuo]+|--nonblock|--exclusive|--shared"), frozenset({"-w", "-E"}), 1),
}


def kind_of(argv: Sequence[Template], places: Places) -> Kind:
    """What the program may be given, seen through wrappers, interpreters, first lines and symlinks."""
    parts = tuple(map(_Part.of, argv))
    key = (parts, places.base_dir, places.cwd)
    if key not in places.found:
        places.found[key] = _kind(parts, places, first=True, links=_MOST_LINKS)
    kind: Kind = places.found[key]
    return kind


@dataclass(frozen=True, slots=True)
class _Part:
    """One element of an argument list."""

    text: str | None  #: None: it depends on the event
    literal: str = ""  #: what is written; of one that depends on the event, the name of the variable that it may set

    @classmethod
    def of(cls, template: Template) -> "_Part":
        variable = re.match(r"[A-Za-z_]\w*=", template.text)
        return cls(
            template.constant, template.text if template.constant is not None else variable[0] if variable else ""
        )


def _kind(argv: Sequence[_Part], places: Places, *, first: bool, links: int) -> Kind:
    if not argv or argv[0].text is None or not argv[0].text or links == 0:
        return Kind.OTHER
    program = argv[0].text
    path = program_path(program, places, first=first)
    real = os.path.realpath(path)
    name, real_name = Path(program).name, Path(real).name
    if real_name in _MULTICALL:
        if name in _MULTICALL:
            return _applet(argv, places, links)
        real_name = name
    if "/" in program and places.is_own(real):
        own = _own(real, real_name)
        if own is not None:
            return own
    names = {name, real_name} if "/" in program or path.is_absolute() else {name}
    interpreter = _interpreter(real_name) or _interpreter(name)
    if interpreter is not None:
        return _interpreted(interpreter, argv, places)
    wrapper = _WRAPPERS.get(real_name) if real_name == name or name not in _WRAPPERS else None
    if wrapper is not None:
        return _wrapped(wrapper, argv, places, links)
    if "/" in program and not _is_installed(real):
        return Kind.OTHER
    if names <= PLAIN:
        return Kind.PLAIN
    return Kind.READER if names <= PLAIN | READERS else Kind.OTHER


def program_path(program: str, places: Places, *, first: bool) -> Path:
    """Where a program is; its bare name when PATH has none of it."""
    if "/" in program:
        return (places.base_dir if first else places.cwd) / program
    return Path(_found(program) or program)


@cache
def _found(program: str) -> str | None:
    return shutil.which(program) if "\0" not in program else None


def _is_installed(real: str) -> bool:
    path = Path(real)
    return any(path.is_relative_to(folder) for folder in _SYSTEM)


def _is_known(name: str) -> bool:
    """Whether a program of this name runs what it is given, wherever it lies: a copy of bash stays bash."""
    return name in _WRAPPERS or name in _MULTICALL or name in DANGEROUS or _interpreter(name) is not None


#: Names that are never taken for a program of one's own: they run, load or write what they are told to.
DANGEROUS = frozenset(
    (
        *("ansible-playbook", "at", "batch", "bun", "cargo", "cmake", "crontab", "csh", "curl", "dd", "deno"),
        *("docker", "ed", "emacs", "eval", "ex", "expect", "find", "fish", "gdb", "git", "install", "ld.so"),
        *("m4", "mail", "make", "mysql", "nc", "ncat", "ninja", "npm", "npx", "nsenter", "openssl", "parallel"),
        *("patch", "php-cgi", "pip", "podman", "psql", "pwsh", "rsync", "script", "sed", "socat", "sqlite3"),
        *("ssh", "su", "systemd-run", "tar", "tcsh", "tclsh", "time", "unshare", "unzip", "vi", "vim", "watch"),
        *("wget", "xargs", "zip"),
    )
)

#: Those of them that run the script that a first line gives them, and leave its arguments and input to it.
_RUN_SCRIPTS = frozenset({"ansible-playbook", "bun", "csh", "deno", "expect", "fish", "pwsh", "tcsh", "tclsh"})
_TAKES_CODE = re.compile(r"-|-\w*[csenpEm]\w*|--(?:eval|print|command|execute).*")  #: in a script's first line


def is_interpreter(name: str) -> bool:
    """Whether a program of this name runs a script."""
    return _interpreter(name) is not None


def is_wrapper(name: str) -> bool:
    """Whether a program of this name runs the program that its arguments name."""
    return name in _WRAPPERS or name in _MULTICALL


def _interpreter(name: str) -> Interpreter | None:
    return next((found for pattern, found in _INTERPRETERS if pattern.fullmatch(name)), None)


def _applet(argv: Sequence[_Part], places: Places, links: int) -> Kind:
    """`busybox NAME …`: judged as that program."""
    if len(argv) < 2 or argv[1].text is None or "/" in argv[1].text:
        return Kind.OTHER
    name = argv[1].text
    if name in PLAIN:
        return Kind.PLAIN
    if name in READERS:
        return Kind.READER
    interpreter = _interpreter(name)
    if interpreter is not None:
        return _interpreted(interpreter, argv[1:], places)
    return _wrapped(_WRAPPERS[name], argv[1:], places, links) if name in _WRAPPERS else Kind.OTHER


def _own(real: str, name: str) -> Kind | None:
    """A program of one's own is plain, if what its first line names runs it rather than the sender's text.

    None: it is a known program that lies in one's own folder.
    """
    first = _first_line(real)
    if first is None:
        is_there = os.path.isfile(real)
        return None if is_there and (_is_known(name) or _is_copy(real)) else Kind.PLAIN
    program, _, rest = first.partition(" ")
    words = [rest.strip()] if rest.strip() else []
    if Path(program).name == "env":
        words = [word for word in rest.split() if word not in ("-S", "-i", "-") and "=" not in word]
        program, words = (words[0].removeprefix("-S"), words[1:]) if words else ("", [])
    return _by_first_line(Path(program).name, words)


def _by_first_line(name: str, words: Sequence[str]) -> Kind:
    how = _interpreter(name)
    if how is None:
        is_plain_sed = name == "sed" and bool(words) and bool(re.fullmatch(r"-[nErsuz]*f", words[0]))
        takes_more = not name or name in _WRAPPERS or name in _MULTICALL or name in DANGEROUS - _RUN_SCRIPTS
        return Kind.OTHER if takes_more and not is_plain_sed else Kind.PLAIN
    if how.inline and not any(re.fullmatch(r"-\w*f", word) for word in words):
        return Kind.OTHER
    return (
        Kind.OTHER
        if any(_TAKES_CODE.fullmatch(word) and not how.flags.fullmatch(word) for word in words)
        else Kind.PLAIN
    )


def _first_line(real: str) -> str | None:
    """What stands after `#!`; None: it is no script, or not there yet."""
    try:
        descriptor = os.open(real, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return None
    try:
        begin = os.read(descriptor, _FIRST_LINE)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return begin[2:].split(b"\n", 1)[0].decode(errors="replace").strip() if begin.startswith(b"#!") else None


def _is_copy(real: str) -> bool:
    """Whether a native program is one of the machine's programs that run what they are given, under another name."""
    try:
        size = os.stat(real).st_size  # noqa: PTH116 - a text
    except OSError:
        return False
    return any(_same(real, other) for other in _dangerous_files().get(size, ()))


@cache
def _dangerous_files() -> dict[int, list[str]]:
    """The machine's programs of such names, by size."""
    found: dict[int, list[str]] = {}
    every = "sh bash dash ash zsh ksh mksh python3 perl ruby node php lua luajit tclsh awk gawk mawk busybox toybox"
    for name in sorted({*DANGEROUS, *_WRAPPERS, *every.split()}):
        path = _found(name)
        if path is not None:
            real = os.path.realpath(path)
            found.setdefault(os.stat(real).st_size, []).append(real)  # noqa: PTH116 - a text
    return found


def _same(one: str, other: str) -> bool:
    try:
        with open(one, "rb") as first, open(other, "rb") as second:  # noqa: PTH123 - a text
            while (part := first.read(1 << 20)) == second.read(1 << 20):
                if not part:
                    return True
    except OSError:
        return False
    return False


def _interpreted(how: Interpreter, argv: Sequence[_Part], places: Places) -> Kind:
    """Plain when the code stands in the rules file, or is a script of one's own: what follows is then data."""
    i = 1
    while i < len(argv):
        text = argv[i].text
        if text is None:
            return Kind.OTHER
        if how.code is not None and how.code.fullmatch(text):
            code = argv[i + 1].text if i + 1 < len(argv) else None
            return Kind.PLAIN if code is not None and not code.startswith("-") else Kind.OTHER
        if text in how.file or (text == "--" and not how.inline):
            return _script(argv, i + 1, places)
        if text in how.valued:
            if i + 1 >= len(argv) or argv[i + 1].text is None:
                return Kind.OTHER
            i += 2
        elif how.flags.fullmatch(text):
            i += 1
        elif text.startswith("-"):
            return Kind.OTHER
        else:
            return Kind.PLAIN if how.inline else _script(argv, i, places)
    return Kind.OTHER


def _script(argv: Sequence[_Part], at: int, places: Places) -> Kind:
    text = argv[at].text if at < len(argv) else None
    if not text or text.startswith("-") or "\0" in text:
        return Kind.OTHER
    return Kind.PLAIN if places.is_own(os.path.realpath(places.cwd / text)) else Kind.OTHER


def _wrapped(how: Wrapper, argv: Sequence[_Part], places: Places, links: int) -> Kind:
    """Judged as the program that it runs."""
    i, operands = 1, how.operands
    while i < len(argv):
        part = argv[i]
        if how.variables and operands == 0 and re.match(r"[A-Za-z_]\w*=", part.literal):
            name, _, value = part.literal.partition("=")
            if (part.text is None and not is_plain(name)) or STANDARD_INPUT.search(value):
                return Kind.OTHER
            i += 1
        elif part.text is None:
            return Kind.OTHER
        elif part.text == "--":
            i += 1
            return _kind(argv[i + operands :], places, first=False, links=links - 1)
        elif part.text in how.valued:
            i += 2
        elif how.flags.fullmatch(part.text):
            i += 1
        elif part.text.startswith("-"):
            return Kind.OTHER
        elif operands:
            operands -= 1
            i += 1
        else:
            return _kind(argv[i:], places, first=False, links=links - 1)
    return Kind.OTHER

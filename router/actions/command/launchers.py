"""Programs that run another one: interpreters run a script, wrappers run the program in their arguments."""

import re
from dataclasses import dataclass

from router.actions.command.known_programs import MULTICALL


@dataclass(frozen=True, slots=True)
class Interpreter:
    """The options by which an interpreter gets its code. An interpreter with any other option is not plain."""

    code: re.Pattern[str] | None  #: the option after which the code itself stands
    flags: re.Pattern[str]  #: options that leave the choice of the code unchanged
    valued: frozenset[str] = frozenset()  #: flags that take a value
    file: frozenset[str] = frozenset()  #: options after which the script stands
    inline: bool = False  #: the first operand is code, not a script


@dataclass(frozen=True, slots=True)
class Wrapper:
    """The options of a program that runs another one. A wrapper with any other option is not plain."""

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
WRAPPERS = {
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


def is_interpreter(name: str) -> bool:
    """Whether a program of this name runs a script."""
    return interpreter_of(name) is not None


def is_wrapper(name: str) -> bool:
    """Whether a program of this name runs the program that its arguments name."""
    return name in WRAPPERS or name in MULTICALL


def interpreter_of(name: str) -> Interpreter | None:
    """The interpreter of this name; None if there is no such interpreter."""
    return next((found for pattern, found in _INTERPRETERS if pattern.fullmatch(name)), None)

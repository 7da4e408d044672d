"""What the daemon and its view process tell each other. They are one program, so their objects travel as they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from router.admin.reading import Reading
from router.daemon.processes.start import Logging, RulesToLoad
from router.daemon.settings import Settings
from router.domain.reply import Reply

CHANNELS = 4  #: questions at once, as many as the admin listener asks of the store

Channel = Connection
"""Between one thread of each process: a question, its answer, the next question."""


@dataclass(frozen=True, slots=True)
class ViewStart:
    """What the view process is told when it starts. It ends when the rules change: another one begins."""

    settings: Settings
    environ: Mapping[str, str]
    logging: Logging
    rules: RulesToLoad
    daemon: int  #: the daemon's process id


@dataclass(frozen=True, slots=True)
class Ready:
    """Its first message: it answers from here on."""

    forked_from: int  #: the forkserver's process id
    version: str  #: of the program that it has loaded
    problem: str = ""  #: why it can't answer, and has ended


@dataclass(frozen=True, slots=True)
class Question:
    """A reading, and what only the daemon knows at that moment."""

    reading: Reading
    checks: Mapping[str, bool]  #: of readiness
    clock: bytes  #: of router.daemon.wall_clock


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, or why there is none. All are empty after a fault: then the daemon meets it as well, and reports it."""

    reply: Reply | None = None
    store_error: str = ""
    problem: tuple[int, str] | None = None  #: of a view: status and text
    lines: tuple[bytes, ...] = field(default=())  #: of the log, written meanwhile

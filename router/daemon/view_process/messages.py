"""The messages between the daemon and its view process. Both run the same program, so objects are sent as they are."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from multiprocessing.connection import Connection

from router.admin.reading import Reading
from router.daemon.processes.start import Logging, RulesToLoad
from router.daemon.settings import Settings
from router.domain.reply import Reply

CHANNELS = 4  #: questions at once, as many as requests of the admin listener may use the store

Channel = Connection
"""Between one thread of each process: a question, its answer, the next question."""


@dataclass(frozen=True, slots=True)
class ViewStart:
    """The data that the view process gets at its start. It ends when the rules change, and a new one starts."""

    settings: Settings
    environ: Mapping[str, str]
    logging: Logging
    rules: RulesToLoad
    daemon: int  #: the daemon's process id


@dataclass(frozen=True, slots=True)
class Ready:
    """Its first message: it answers from now on."""

    forked_from: int  #: the process id of its forkserver
    version: str  #: of the program that it has loaded
    problem: str = ""  #: why it can't answer and has ended


@dataclass(frozen=True, slots=True)
class Question:
    """A reading, with the facts that only the daemon knows."""

    reading: Reading
    checks: Mapping[str, bool]  #: of readiness
    clock: bytes  #: of router.daemon.wall_clock


@dataclass(frozen=True, slots=True)
class Answer:
    """A reply, or why there is none. Everything is empty after a fault: then the daemon makes the reading itself and
    reports it."""

    reply: Reply | None = None
    store_error: str = ""
    problem: tuple[int, str] | None = None  #: of a view: status and text
    lines: tuple[bytes, ...] = field(default=())  #: lines that were logged in the meantime

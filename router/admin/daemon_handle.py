"""What the admin listener needs of the daemon."""

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from router.domain.reply import Reply
from router.rules.compile.loader import Loader
from router.rules.reload.drift import Reloaded, ReloadRefused
from router.rules.ruleset import Ruleset
from router.store.contract import Store


@dataclass(frozen=True, slots=True)
class DaemonHandle:
    """Any thread may call its functions."""

    store: Store
    rules: Path  #: the rules file
    ruleset: Callable[[], Ruleset]  #: the current one
    loader: Loader  #: for rules that are just checked: an unset secret is a note
    reload: Callable[[float], Reloaded | ReloadRefused]  #: waits so many seconds for the result
    metrics: Callable[[str], Reply]  #: takes a scrape's Accept header
    checks: Callable[[], Mapping[str, bool]]  #: by name; all are true when the daemon is ready
    busy: Callable[[], bool]  #: whether events are arriving
    stopping: Callable[[], bool]
    now_ms: Callable[[], int]
    changing: threading.Lock = field(default_factory=threading.Lock)  #: one replay, cancel or reroute at a time
    checking: threading.Lock = field(default_factory=threading.Lock)  #: one rules file at a time

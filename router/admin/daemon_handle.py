"""What the admin listener is handed of the daemon."""

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
    """Any thread may call what is in it."""

    store: Store
    rules: Path  #: the rules file
    ruleset: Callable[[], Ruleset]  #: the one that is current
    loader: Loader  #: for rules that are only looked at: unset secrets are notes
    reload: Callable[[float], Reloaded | ReloadRefused]  #: waits so many seconds for what comes of it
    metrics: Callable[[str], Reply]  #: from a scrape's Accept header
    checks: Callable[[], Mapping[str, bool]]  #: what has to be true of a daemon that is ready
    busy: Callable[[], bool]  #: whether events are arriving
    stopping: Callable[[], bool]
    now_ms: Callable[[], int]
    changing: threading.Lock = field(default_factory=threading.Lock)  #: one replay, cancel or reroute at a time
    checking: threading.Lock = field(default_factory=threading.Lock)  #: one rules file at a time

"""Wires the stations together, and owns start, stop and reload."""

import gc
import logging
import os
import shlex
import signal
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from router import __version__
from router.actions.registry import ACTIONS, check_target_url
from router.admin.auth.token import find_token
from router.admin.daemon_handle import DaemonHandle
from router.admin.listener import admin_listener
from router.admin.metrics.expiry import MetricExpiry
from router.daemon.fd_limit import grant
from router.daemon.retention import Retention
from router.daemon.settings import Settings
from router.daemon.signals import Signals
from router.daemon.source_log import SourceLog
from router.daemon.status_notes import note_process, note_rules
from router.daemon.systemd import Systemd, forget
from router.daemon.watchdog import Watchdog
from router.delivery.dispatcher import Dispatcher
from router.domain.address import Address
from router.domain.deliveries import RulesetText
from router.domain.errors import Level, StartError, StoreError
from router.domain.files.protected import STORE_SUFFIXES
from router.http.server import Server
from router.http.waitress_server import WaitressServer
from router.http.wsgi import wsgi_app
from router.intake.handshake.registry import HANDSHAKES
from router.intake.receiver import Receiver
from router.intake.verify.registry import SCHEMES
from router.observe.metrics import Metrics
from router.plugins.registries import Registries
from router.rules.compile.loader import Loaded, Loader
from router.rules.reload.drift import Drift, DriftReason, Reloaded, ReloadRefused
from router.rules.reload.reloader import Reloader
from router.rules.reload.rules_file import NO_FILE, RulesFile, Unusable
from router.rules.reload.ruleset_diff import MOST_NAMES, RulesetDiff
from router.rules.ruleset import Current, Ruleset
from router.runtime.pacing import freeze_garbage
from router.runtime.wakeups import wake_up
from router.store.sqlite.file import disk_free, disk_usage
from router.store.sqlite.store import SqliteStore

if TYPE_CHECKING:
    from router.admin.metrics.exposition import Exposition

ANSWER_SECONDS = 5.0  #: what a stop allows for requests whose answer is under way
_WAITRESS_THREADS = 32  #: each waits for a commit with one request; with 8 it collapses under 1,000 connections
_COLLECTED_AFTER = (20_000, 50, 100)  #: objects and rounds; Python's 700 are a tenth of one large payload
_LAST_SECONDS = 30.0  #: what a stop may take beside answers and --grace: joining threads, the last settles, closing
_RECORD_SECONDS = 10.0  #: how long a start or reload waits for the ruleset's text to be on disk

REGISTRIES = Registries(ACTIONS, SCHEMES, HANDSHAKES, check_target_url)

log = structlog.get_logger()


def now_ms() -> int:
    """The wall clock, ms."""
    return time.time_ns() // 1_000_000


class App:
    """One running daemon. Start and stop belong to the main thread."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str] | None = None,
        lines_lost: Callable[[], int] = lambda: 0,
    ) -> None:
        self._settings = settings
        self._lines_lost = lines_lost
        self._metrics = Metrics()
        self._environ = os.environ if environ is None else environ
        self._systemd = Systemd(self._environ)
        self._watchdog: Watchdog | None = None
        forget(os.environ)
        self._loader = Loader(
            REGISTRIES, self._environ, require_secrets=True, commands=settings.commands, protected=_protected(settings)
        )
        self._stopping = False

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT. Raises StartError or RulesError when it can't start."""
        self._start()
        number = None
        try:
            while (number := self._signals.wait()) == signal.SIGHUP:
                self._reloader.reload_soon()
        finally:
            self._shut_down(number)

    def _start(self) -> None:
        ruleset = self._load()
        self._store = self._open_store()
        try:
            self._record(ruleset)
            current = Current(ruleset)
            self._current = current
            self._dispatcher = Dispatcher(
                current, self._store, self._compile_recorded, now_ms, lambda: self._stopping, self._metrics
            )
            receiver = Receiver(
                current,
                self._store,
                now_ms,
                self._settings.trusted_proxies,
                metrics=self._metrics,
                verbose=log.is_enabled_for(logging.DEBUG),
            )
            listen, admin = self._settings.listen, self._settings.admin
            self._intake = self._make_intake(receiver)
            self._forgetting = MetricExpiry(self._metrics, current, self._store)
            try:
                self._admin = self._make_admin(admin) if admin is not None else None
            except StartError:
                self._intake.stop(0)
                raise
        except StoreError as error:
            self._store.close()
            raise StartError(f"{error}; `webhook-router store check` tells what is wrong with the store") from None
        except BaseException:
            self._store.close()
            raise
        self._reloader = Reloader(
            self._settings.rules,
            self._loader,
            current,
            self._record,
            self._applied,
            begun=self._systemd.reloading,
            refused=self._refused,
            drifted=self._drifted,
            busy=self._intake.is_busy,
        )
        self._announcer = SourceLog(Address(listen.host, self._intake.port))
        self._retention = Retention(
            self._store, self._settings.keep, self._settings.keep_dead, now_ms, self._metrics.removed
        )
        # Where it was ignored by who started us, the kernel would throw the exit codes of commands away.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._signals = Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self._loaded_at = now_ms()
        self._metrics.loaded(self._loaded_at)
        note_process(self._store, self._loaded_at, *self._addresses())
        self._note_rules(None)
        self._dispatcher.start()
        self._intake.start()
        if self._admin is not None:
            self._admin.start()
        self._announcer.tell(ruleset)
        self._reloader.start()
        self._retention.start()
        freeze_garbage()
        # Answered requests leave no cycles behind (a test says so), so there is little to collect.
        gc.set_threshold(*_COLLECTED_AFTER)
        self._announce(ruleset)
        self._systemd.ready(self._standing())
        if self._systemd.watchdog_seconds is not None:
            self._watchdog = self._watch(self._systemd.watchdog_seconds)
            self._watchdog.start()

    def _make_intake(self, receiver: Receiver) -> Server | WaitressServer:
        settings = self._settings
        host, port = settings.listen.host, settings.listen.port
        connections = grant(settings.max_connections)
        if settings.server == "waitress":
            app = wsgi_app(
                receiver.handle,
                body_limit=receiver.body_limit,
                answered=receiver.answered,
                refusals=receiver.refusals,
            )
            return WaitressServer(
                app,
                host,
                port,
                threads=_WAITRESS_THREADS,
                connections=connections,
                # One limit for all paths, which the application narrows; waitress takes no other until a restart.
                largest_body=max((source.max_body for source in self._current.ruleset.sources.values()), default=0),
                request_seconds=settings.request_timeout,
            )
        return Server(
            receiver.handle,
            host,
            port,
            body_limit=receiver.body_limit,
            answered=receiver.answered,
            refusals=receiver.refusals,
            wake_up=wake_up,
            connections=connections,
            request_seconds=settings.request_timeout,
        )

    def _watch(self, seconds: float) -> Watchdog:
        loops = {"intake": self._intake.ping, "delivery": self._dispatcher.ping}
        threads = {"store": lambda: self._store.alive, "reload": lambda: self._reloader.alive}
        return Watchdog(seconds, self._systemd.works, loops, threads)

    def _make_admin(self, address: Address) -> WaitressServer:
        settings = self._settings
        daemon = DaemonHandle(
            store=self._store,
            path=settings.store.resolve(),
            rules=settings.rules,
            ruleset=lambda: self._current.ruleset,
            loader=replace(self._loader, require_secrets=False),
            reload=self._reload_now,
            metrics=self._exposition().reply,
            checks=self._checks,
            busy=self._intake.is_busy,
            stopping=lambda: self._stopping,
            now_ms=now_ms,
        )
        token = find_token(settings.admin_token_file, self._environ, settings.store)
        return admin_listener(daemon, address, token, settings.admin_hosts, settings.request_timeout)

    def _reload_now(self, timeout: float) -> Reloaded | ReloadRefused:
        return self._reloader.reload_now(timeout)

    def _load(self) -> Ruleset:
        loaded = self._read_rules()
        for problem in loaded.problems:
            if loaded.ruleset is not None and problem.level is Level.WARNING:
                log.warning("rules file has a doubtful place", problem=str(problem))
        return loaded.require()

    def _read_rules(self) -> Loaded:
        file = RulesFile(self._settings.rules)
        text = file.read()
        if not isinstance(text, Unusable):
            return self._loader.load(text, str(file.path), Path(file.folder()))
        if text.why is DriftReason.WRITABLE or text.problem.message == NO_FILE:
            raise StartError(f"{file.path}: {text.problem.message}")
        return self._loader.load_file(file.path)  # which says what is wrong

    def _open_store(self) -> SqliteStore:
        try:
            return SqliteStore(self._settings.store, on_commit=self._metrics.committed)
        except StoreError as error:
            raise StartError(str(error)) from None

    def _record(self, ruleset: Ruleset) -> None:
        """Keep the ruleset's text: deliveries name it by hash, and it must be there before they are."""
        try:
            self._store.put_ruleset(ruleset.text, now_ms()).result(_RECORD_SECONDS)
        except TimeoutError:
            raise StoreError("the store did not take the rules' text in time; is its disk slow or full?") from None

    def _compile_recorded(self, text: RulesetText) -> Ruleset:
        """Compile rules of the past; raises RulesError. A secret that is gone by now is the attempt's problem."""
        return replace(self._loader, require_secrets=False).load_recorded(text).require()

    def _applied(self, ruleset: Ruleset, change: RulesetDiff) -> None:
        self._systemd.ready(self._standing())
        self._loaded_at = now_ms()
        self._metrics.reloaded(self._loaded_at)
        self._forgetting.forget(self._metrics.counted(), time.monotonic())
        self._note_rules(None)
        self._announcer.tell(ruleset)
        waiting = self._store.waiting(change.removed)
        for rule, count in list(waiting.items())[:MOST_NAMES]:
            log.warning(
                "removed rule still has deliveries; they follow its recorded text",
                rule=rule,
                deliveries=count,
                cancel=f"webhook-router deliveries cancel --rule {shlex.quote(rule)}",
            )
        if len(waiting) > MOST_NAMES:
            rest = list(waiting.values())[MOST_NAMES:]
            log.warning("further removed rules still have deliveries", rules=len(rest), deliveries=sum(rest))

    def _refused(self, _: ReloadRefused) -> None:
        self._metrics.refused()
        self._systemd.ready(self._standing())

    def _drifted(self, drift: Drift | None) -> None:
        if drift is None:
            self._metrics.agreed()
        self._note_rules(drift)
        self._systemd.status(self._standing())

    def _standing(self) -> str:
        """What `systemctl status` shows."""
        ruleset, drift = self._current.ruleset, self._reloader.drift()
        words = f"serving on {self._addresses()[0]}, {len(ruleset.rules)} rules, hash {ruleset.hash[:12]}"
        return f"{words}; the rules file is not what runs: {drift.problems[0]}" if drift else words

    def _note_rules(self, drift: Drift | None) -> None:
        note_rules(self._store, self._current.ruleset, self._settings.rules, self._loaded_at, drift)

    def _checks(self) -> dict[str, bool]:
        return {
            "store": self._store.writable(),
            "rules": True,  # a daemon without rules does not start, and a reload never takes them away
            "dispatcher": self._dispatcher.alive,
            # From the first moment of a stop: its sender has to be sent elsewhere before the intake closes.
            "intake": self._intake.alive and not self._stopping,
        }

    def _exposition(self) -> "Exposition":
        from router.admin.metrics.exposition import Exposition, GaugeSources  # noqa: PLC0415 - `check` and the like need not wait for it

        sights = GaugeSources(
            loads=self._dispatcher.loads,
            ready=lambda: all(self._checks().values()),
            store_healthy=self._store.writable,
            connections=self._intake.connections,
            lines_lost=self._lines_lost,
            busy=self._intake.is_busy,
            disk=self._disk,
            differs=lambda: self._reloader.drift() is not None,
        )
        return Exposition(self._metrics, self._forgetting, self._current, self._store, sights, now_ms)

    def _disk(self) -> tuple[int, int]:
        return sum(disk_usage(self._settings.store)), disk_free(self._settings.store)

    def _announce(self, ruleset: Ruleset) -> None:
        listen, admin = self._addresses()
        log.info(
            "serving",
            version=__version__,
            listen=listen,
            admin=admin,
            file=str(self._settings.rules),
            rules=len(ruleset.rules),
            hash=ruleset.hash[:12],
            store=str(self._settings.store),
        )

    def _addresses(self) -> tuple[str, str | None]:
        """Where it listens, with the ports that were really taken."""
        admin = self._settings.admin
        shown = str(Address(admin.host, self._admin.port)) if admin and self._admin else None
        return str(Address(self._settings.listen.host, self._intake.port)), shown

    def _shut_down(self, number: signal.Signals | None) -> None:
        """Stop in the order of the data: what feeds a station ends before the station does.

        Intake first, so that nothing new comes; then deliveries, which settle into the store; the store last.
        The admin listener goes late, so that probes see a daemon that is not ready rather than none.
        """
        self._stopping = True
        log.info("stopping", signal=number.name if number else None)
        self._systemd.stopping(ANSWER_SECONDS + self._settings.grace + _LAST_SECONDS)
        if self._watchdog is not None:
            self._watchdog.stop()
        self._reloader.stop()
        self._retention.stop()
        self._intake.stop(ANSWER_SECONDS)
        self._dispatcher.stop(self._settings.grace)
        if self._admin is not None:
            self._admin.stop(1)
        self._store.close()
        log.info("stopped")


def _protected(settings: Settings) -> dict[Path, str]:
    """What no append may write, beside what the rules file names itself."""
    store = os.path.realpath(settings.store)
    found = {Path(f"{store}{suffix}"): "the store" for suffix in STORE_SUFFIXES}
    found[Path(f"{store}.token")] = "the admin token"
    if settings.admin_token_file is not None:
        found[settings.admin_token_file.absolute()] = "the admin token"
    found[settings.rules.absolute()] = "the rules file"
    return found

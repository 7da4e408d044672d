"""Starts and stops the parts of the daemon, in order."""

import gc
import signal
import sys
from concurrent.futures import Future
from dataclasses import dataclass, field

import structlog

from router import __version__
from router.daemon.parts import Parts
from router.daemon.registries import REGISTRIES
from router.daemon.settings import Settings
from router.daemon.signals import Signals
from router.daemon.status_notes import note_process, wait_for_note
from router.daemon.systemd import Systemd
from router.daemon.watchdog import Watchdog
from router.domain.listen_address import ListenAddress
from router.runtime.pacing import GC_THRESHOLD, freeze_garbage

ANSWER_SECONDS = 5.0  #: how long a stop waits for answers under way
LAST_SECONDS = 30.0  #: how long a stop may take besides answers and --grace: joining threads, the last settles, closing

log = structlog.get_logger()


@dataclass(slots=True)
class Lifecycle:
    """Starts and stops the parts. Only the main thread may call it."""

    settings: Settings
    parts: Parts
    systemd: Systemd
    watchdog: Watchdog | None = field(default=None)
    _started_at: int = field(default=0)  #: ms

    def start(self) -> Signals:
        """Start the parts against the flow of the data: a part starts after the parts that it feeds. Returns the
        signals that arrive from now on."""
        # If the parent process ignores SIGCHLD, the kernel would discard the exit codes of commands.
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signals = Signals(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
        self.start_parts()
        return signals

    def start_parts(self) -> None:
        """Start the parts, and leave the signals to the program that hosts the intake."""
        parts = self.parts
        ruleset = parts.current.ruleset
        parts.reports.started()
        self._started_at = parts.reports.loaded_at
        if parts.delivers:
            parts.dispatcher.start()
        if parts.node is not None:
            parts.node.start(parts.dispatcher.fleet_side if parts.delivers else None)
        parts.intake.start()
        wait_for_note(self._note_process())
        if parts.admin is not None:
            parts.admin.start()
        parts.reports.sources.log_changes(ruleset)
        parts.reloader.start()
        parts.retention.start()
        parts.own_events.start()
        if parts.polling is not None:
            parts.polling.start()
        parts.certificates.start()
        freeze_garbage()
        # Answered requests leave no reference cycles (a test checks it), so there is little to collect.
        gc.set_threshold(*GC_THRESHOLD)
        self._log_plugins()
        self._log_serving()
        self._show_link()
        self.systemd.ready(parts.reports.status())
        if parts.processes is not None:
            parts.processes.changed = self._processes_changed
        self._start_watchdog()

    def stop(self, number: signal.Signals | None) -> None:
        """Stop in the order of the data: a part stops before the parts that it feeds.

        Intake first, so that no event arrives; then deliveries, which settle into the store; the store last. The admin
        listener stops late, so that probes reach a daemon that answers "not ready".
        """
        parts = self.parts
        parts.stopping.set()
        log.info("stopping", signal=number.name if number else None)
        self.systemd.stopping(ANSWER_SECONDS + self.settings.grace + LAST_SECONDS)
        if self.watchdog is not None:
            self.watchdog.stop()
        parts.reloader.stop()
        parts.certificates.stop()
        parts.own_events.stop()
        parts.retention.stop()
        if parts.polling is not None:
            parts.polling.stop()
        parts.intake.stop(ANSWER_SECONDS)
        parts.dispatcher.stop(self.settings.grace)
        if parts.admin is not None:
            parts.admin.stop(1)
        if parts.views is not None:
            parts.views.stop()
        if parts.node is not None:
            parts.node.stop()
        parts.store.close()
        log.info("stopped")

    def _note_process(self) -> "Future[None]":
        processes = self.parts.processes
        told = processes.processes() if processes is not None else ()
        return note_process(self.parts.store, self._started_at, *self._addresses(), told, REGISTRIES.plugins)

    def _processes_changed(self) -> None:
        """Note that an intake process ended, or that a new one serves in its place."""
        if not self.parts.stopping.is_set():
            self._note_process()
            self.systemd.status(self.parts.reports.status())

    def _start_watchdog(self) -> None:
        seconds = self.systemd.watchdog_seconds
        if seconds is None:
            return
        parts = self.parts
        loops = {"intake": parts.intake.ping}
        if parts.delivers:
            loops["delivery"] = parts.dispatcher.ping
        threads = {"store": lambda: parts.store.alive, "reload": lambda: parts.reloader.alive}
        self.watchdog = Watchdog(seconds, self.systemd.works, loops, threads)
        self.watchdog.start()

    def _log_plugins(self) -> None:
        for one in REGISTRIES.plugins:
            facts = {"kind": one.kind, "name": one.name, "package": one.package}
            if one.error:
                log.warning("plugin can't be used", **facts, error=one.error)
            else:
                log.info("plugin loaded", **facts)

    def _log_serving(self) -> None:
        listen, admin = self._addresses()
        parts = self.parts
        ruleset = parts.current.ruleset
        log.info(
            "serving",
            version=__version__,
            listen=listen,
            admin=admin,
            file=str(self.settings.rules),
            rules=len(ruleset.rules),
            hash=ruleset.hash[:12],
            store=str(self.settings.store),
            **({"processes": self.settings.processes} if self.settings.processes > 1 else {}),
            **({"tls": parts.certificates.listeners} if parts.certificates.listeners else {}),
        )

    def _show_link(self) -> None:
        """Print a link to the page, for the person at the terminal. It never goes to a log, since it signs in."""
        _, admin = self._addresses()
        if admin is None or self.parts.site is None or not sys.stderr.isatty():
            return
        scheme = "http" if self.settings.admin_tls is None else "https"
        url = f"{scheme}://{admin}" if self.settings.admin_url is None else self.settings.admin_url.origin
        code = self.parts.site.sessions.make_code()
        sys.stderr.write(f"The page: {url}/sign-in?code={code} (once, within 10 minutes)\n")
        sys.stderr.flush()

    def _addresses(self) -> tuple[str, str | None]:
        """The addresses of intake and admin listener, with the ports that were bound."""
        parts, admin = self.parts, self.settings.admin
        shown = str(ListenAddress(admin.host, parts.admin.port)) if admin and parts.admin else None
        return str(ListenAddress(self.settings.listen.host, parts.intake.port)), shown

"""Builds the daemon from its parts, and runs it until a signal stops it."""

import logging as levels
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import structlog

from router import __version__
from router.actions.registry import ACTIONS
from router.admin.auth.token import find_read_token, find_token
from router.admin.daemon_handle import DaemonHandle
from router.admin.listener import access_check, admin_listener
from router.admin.metrics.expiry import MetricExpiry
from router.admin.page.site import Site
from router.admin.reading import answered_here
from router.daemon.certificate_watch import CertificateWatch
from router.daemon.first_load import load_rules
from router.daemon.intake_server import THREADS_THAT_WAIT, intake_server
from router.daemon.lifecycle import Lifecycle
from router.daemon.no_intake import NoIntake
from router.daemon.node import Node
from router.daemon.own_events import OwnEvents
from router.daemon.parts import Intake, Parts
from router.daemon.processes.pool import IntakeProcesses
from router.daemon.processes.start import Logging
from router.daemon.recorded_rules import RecordedRules
from router.daemon.retention import Retention
from router.daemon.rules_loader import rules_loader
from router.daemon.rules_reports import RulesReports
from router.daemon.settings import Settings
from router.daemon.source_log import SourceLog
from router.daemon.systemd import Systemd, remove_variables
from router.daemon.view_process.process import ViewProcess
from router.daemon.wall_clock import now_ms
from router.delivery.dispatcher import Dispatcher
from router.domain.errors import StartError, StoreError
from router.domain.listen_address import ListenAddress
from router.http.certificate import Certificate
from router.http.server import Server
from router.http.waitress_server import WaitressServer
from router.intake.first_answer import Answers
from router.intake.poll.polling import Polling
from router.intake.receiver import Receiver
from router.observe.logging.line_writer import Lines
from router.observe.metrics import Metrics
from router.rules.reload.reloader import Reloader
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.runtime.lease import Lease
from router.store.contract import EventSink, Store
from router.store.fleet import NodeFacts
from router.store.location import beside
from router.store.open import open_store

if TYPE_CHECKING:
    from router.admin.metrics.exposition import Exposition

MakeIntake = Callable[[Receiver], Intake]

log = structlog.get_logger()


class App:
    """One daemon. Only the main thread may use it."""

    def __init__(
        self,
        settings: Settings,
        environ: Mapping[str, str] | None = None,
        lines: Lines | None = None,
        logging: Logging = Logging(),  # noqa: B008 - immutable
    ) -> None:
        """`lines` takes the log's lines, also those of intake processes, which log by `logging`."""
        self._settings = settings
        self._lines = lines
        self._logging = logging
        self._make_intake: MakeIntake | None = None
        self._metrics = Metrics()
        self._environ = os.environ if environ is None else environ
        self._systemd = Systemd(self._environ)
        remove_variables(os.environ)
        self._loader = rules_loader(settings, self._environ)

    def run(self) -> None:
        """Serve until SIGTERM or SIGINT; reload on SIGHUP. Raises StartError or RulesError when it can't start."""
        ruleset = load_rules(self._loader, self._settings.rules)
        parts = self._build(ruleset)
        lifecycle = Lifecycle(self._settings, parts, self._systemd)
        signals = lifecycle.start()
        number = None
        try:
            while (number := signals.wait()) == signal.SIGHUP:
                parts.reloader.reload_soon()
                parts.certificates.reload_soon()
        finally:
            lifecycle.stop(number)

    def start(self, make_intake: MakeIntake) -> Lifecycle:
        """Start the daemon below another server, which calls the intake that is made. Raises StartError or RulesError.

        The signals stay that server's. `stop` of what is given back stops the daemon.
        """
        self._make_intake = make_intake
        parts = self._build(load_rules(self._loader, self._settings.rules))
        lifecycle = Lifecycle(self._settings, parts, self._systemd)
        lifecycle.start_parts()
        return lifecycle

    def _build(self, ruleset: Ruleset) -> Parts:
        try:
            store = open_store(self._settings.store, self._metrics.committed)
        except StoreError as error:
            raise StartError(str(error)) from None
        try:
            return self._build_on(store, ruleset)
        except StoreError as error:
            store.close()
            raise StartError(f"{error}; `webhook-router store check` tells what is wrong with the store") from None
        except BaseException:
            store.close()
            raise

    def _build_on(self, store: Store, ruleset: Ruleset) -> Parts:
        settings, metrics = self._settings, self._metrics
        stopping = threading.Event()
        current = CurrentRuleset(ruleset)
        recorded = RecordedRules(store, self._loader, current)
        lease = Lease()
        node = self._join(store, current, recorded, lease)
        dispatcher = Dispatcher(
            current,
            store,
            recorded.compile,
            ACTIONS,
            now_ms,
            stopping.is_set,
            metrics,
            lease=lease,
            guard_lock=_guard_lock(settings),
            node=node,
        )
        receiver = Receiver(
            current,
            dispatcher.sink,
            now_ms,
            settings.trusted_proxies,
            metrics=metrics,
            answers=dispatcher.first_answers,
            verbose=log.is_enabled_for(levels.DEBUG),
        )
        if self._make_intake is not None or settings.server == "waitress":
            dispatcher.first_answers.limit(THREADS_THAT_WAIT)
        certificates = self._load_certificates()
        processes = (
            self._intake_processes(dispatcher.sink, ruleset, dispatcher.first_answers)
            if settings.processes > 1 and "intake" in settings.roles
            else None
        )
        if "intake" not in settings.roles:
            intake: Intake = NoIntake()
        elif self._make_intake is not None:
            intake = self._make_intake(receiver)
        else:
            intake = processes or intake_server(settings, receiver, ruleset, certificates.get("intake"))
        expiry = MetricExpiry(metrics, current, store)
        sources = SourceLog(ListenAddress(settings.listen.host, intake.port), settings.tls is not None)
        own_events = OwnEvents(store, current, str(settings.rules), now_ms, settings.tells)
        reports = RulesReports(settings, current, store, metrics, expiry, self._systemd, sources, own_events)
        if processes is not None:
            reports.processes = processes.serving
        reloader = Reloader(
            settings.rules,
            self._loader,
            current,
            lambda found: _prepare(found, recorded, node, processes),
            reports.applied,
            swapped=processes.swap if processes is not None else lambda _: None,
            begun=self._systemd.reloading,
            refused=reports.refused,
            drifted=reports.drifted,
            busy=intake.is_busy,
        )
        leads = node.leads if node is not None else lambda: True
        retention = Retention(
            store, settings.keep, settings.keep_dead, now_ms, metrics.removed, leads, lambda: current.ruleset.keeps
        )
        watch = CertificateWatch(certificates, lambda _: processes.renew() if processes is not None else None)
        parts = Parts(store, current, dispatcher, intake, reloader, reports, retention, stopping, watch, own_events)
        if "intake" in settings.roles:
            polls = node.polls if node is not None else lambda _: True
            parts.polling = Polling(store, current, now_ms, metrics, polls, settings.tells.failing)
            if node is not None:
                node.polled = lambda: [
                    name for name, one in current.ruleset.sources.items() if one.poll and one.enabled
                ]
            reports.polls_changed = parts.polling.rules_changed
        parts.node, parts.delivers = node, "delivery" in settings.roles
        if settings.admin is not None:
            try:
                parts.admin = self._admin_listener(parts, settings.admin, certificates.get("admin"))
            except StartError:
                intake.stop(0)
                raise
        return parts

    def _join(self, store: Store, current: CurrentRuleset, recorded: RecordedRules, lease: Lease) -> Node | None:
        """Become a node of a store that several share; record the rules, unless they are older than the fleet's. Raises
        StoreError."""
        fleet, settings = store.fleet, self._settings
        if fleet is None:
            recorded.record(current.ruleset)
            return None
        host = socket.gethostname()
        facts = NodeFacts(settings.node or host, host, os.getpid(), __version__, settings.roles, settings.actions)
        node = Node(fleet, store, facts, lease, settings.lease, lambda: current.ruleset.hash)

        def activate() -> None:
            recorded.record(current.ruleset)
            node.activated(current.ruleset.hash)

        node.activate = activate
        node.join()
        try:
            node.record_rules()
        except BaseException:
            node.stop()
            raise
        return node

    def _intake_processes(self, store: EventSink, ruleset: Ruleset, answers: Answers) -> IntakeProcesses:
        lines = self._lines or Lines(sys.stderr.buffer)
        return IntakeProcesses(
            self._settings, self._environ, self._logging, lines, store, self._metrics, ruleset, answers
        )

    def _load_certificates(self) -> dict[str, Certificate]:
        """Load the certificates, by listener name. Raises StartError."""
        files = {"intake": self._settings.tls, "admin": self._settings.admin_tls}
        return {listener: Certificate(found) for listener, found in files.items() if found is not None}

    def _admin_listener(
        self, parts: Parts, address: ListenAddress, certificate: Certificate | None
    ) -> WaitressServer | Server:
        settings = self._settings
        parts.views = self._view_process(parts)
        daemon = DaemonHandle(
            store=parts.store,
            rules=settings.rules,
            ruleset=lambda: parts.current.ruleset,
            loader=replace(self._loader, require_secrets=False),
            reload=parts.reloader.reload_now,
            metrics=self._exposition(parts).reply,
            checks=parts.checks,
            busy=parts.intake.is_busy,
            stopping=parts.stopping.is_set,
            now_ms=now_ms,
            elsewhere=answered_here if parts.views is None else parts.views.answer,
        )
        token = find_token(settings.admin_token_file, self._environ, beside(settings.store))
        read_token = find_read_token(settings.admin_read_token_file, self._environ, token)
        parts.site = Site(daemon, access_check(address, token, read_token, settings.admin_hosts, settings.admin_url))
        return admin_listener(parts.site, address, settings.request_timeout, certificate)

    def _view_process(self, parts: Parts) -> ViewProcess | None:
        """None below another server, whose processes are its own, and where others could enter (CVE-2022-42919)."""
        if self._make_intake is not None or sys.version_info < (3, 11, 1):
            return None
        lines, busy = self._lines or Lines(sys.stderr.buffer), parts.intake.is_busy
        return ViewProcess(self._settings, self._environ, self._logging, lines, parts.current, busy, parts.checks)

    def _exposition(self, parts: Parts) -> "Exposition":
        # `check` and the like need not wait for it.
        from router.admin.metrics.exposition import Exposition, GaugeSources, ProcessCounts  # noqa: PLC0415

        processes = parts.processes

        gauges = GaugeSources(
            loads=parts.dispatcher.loads,
            ready=parts.is_ready,
            store_healthy=parts.store.writable,
            connections=parts.intake.connections,
            lines_lost=lambda: self._lines_lost(processes),
            busy=parts.intake.is_busy,
            disk=parts.store.size,
            certificates=parts.certificates.expirations,
            processes=lambda: ProcessCounts() if processes is None else ProcessCounts(*processes.counts()),
            collect=(lambda: None) if processes is None else processes.collect,
            polls=lambda: () if parts.polling is None else parts.polling.states(),
            faults=parts.store.faults,
            node=lambda: None if parts.node is None else parts.node.counts,
            differs=lambda: parts.reloader.drift() is not None,
        )
        return Exposition(self._metrics, parts.reports.expiry, parts.current, parts.store, gauges, now_ms)

    def _lines_lost(self, processes: IntakeProcesses | None) -> int:
        ours = self._lines.lost if self._lines is not None else 0
        return ours + (processes.lines_lost() if processes is not None else 0)


def _guard_lock(settings: Settings) -> Path | None:
    """A restarted owner of a store runs interrupted commands at once, so it waits for the guard of the one before it. A
    node's are run again when its lease has ended."""
    store = settings.store
    return Path(f"{os.path.realpath(store)}.guard") if isinstance(store, Path) else None


def _prepare(ruleset: Ruleset, recorded: RecordedRules, node: Node | None, processes: IntakeProcesses | None) -> None:
    """Do the steps of a reload that can fail: store the text, and prepare the intake processes. Raises RouterError."""
    recorded.record(ruleset)
    if node is not None:
        node.activated(ruleset.hash)
    if processes is not None:
        processes.prepare(ruleset)

"""Builds the daemon from its parts, and runs it until a signal stops it."""

import logging as levels
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path

import structlog

from router.actions.registry import ACTIONS
from router.admin.metrics.expiry import MetricExpiry
from router.daemon.admin_side import AdminSide
from router.daemon.certificate_watch import CertificateWatch
from router.daemon.first_load import load_rules
from router.daemon.intake_server import THREADS_THAT_WAIT, intake_server
from router.daemon.joining import join_fleet
from router.daemon.launch import Launch
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
from router.daemon.wall_clock import now_ms
from router.delivery.dispatcher import Dispatcher
from router.domain.errors import StartError, StoreError
from router.domain.listen_address import ListenAddress
from router.http.certificate import Certificate
from router.intake.poll.polling import Polling
from router.intake.receiver import Receiver
from router.observe.logging.line_writer import Lines
from router.observe.metrics import Metrics
from router.rules.reload.reloader import Reloader
from router.rules.ruleset import CurrentRuleset, Ruleset
from router.runtime.lease import Lease
from router.store.contract import Store
from router.store.open import open_store

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
        self._make_intake: MakeIntake | None = None
        self._metrics = Metrics()
        environ = os.environ if environ is None else environ
        self._systemd = Systemd(environ)
        remove_variables(os.environ)
        self._loader = rules_loader(settings, environ)
        self._lines = lines or Lines(sys.stderr.buffer)
        self._launch = Launch(settings, dict(environ), logging, self._lines)

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
        node = None
        if store.fleet is None:
            recorded.record(ruleset)
        else:
            node = join_fleet(store.fleet, settings, recorded, lease)
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
        certificates = _load_certificates(settings)
        intake = self._intake(dispatcher, current, certificates.get("intake"))
        own_events = OwnEvents(store, current, str(settings.rules), now_ms, settings.tells)
        reports = self._reports(store, current, intake, own_events)
        reloader = self._reloader(recorded, node, intake, reports)
        retention = self._retention(store, current, node)
        processes = intake if isinstance(intake, IntakeProcesses) else None
        watch = CertificateWatch(certificates, lambda _: processes.renew() if processes is not None else None)
        parts = Parts(store, current, dispatcher, intake, reloader, reports, retention, stopping, watch, own_events)
        if "intake" in settings.roles:
            parts.polling = self._polling(store, current, node)
            reports.polls_changed = parts.polling.rules_changed
        parts.node, parts.delivers = node, "delivery" in settings.roles
        if settings.admin is not None:
            self._add_admin(parts, settings.admin, certificates.get("admin"))
        return parts

    def _intake(self, dispatcher: Dispatcher, current: CurrentRuleset, certificate: Certificate | None) -> Intake:
        """What takes requests. Raises StartError."""
        settings, answers = self._settings, dispatcher.first_answers
        if self._make_intake is not None or settings.server == "waitress":
            answers.limit(THREADS_THAT_WAIT)
        if "intake" not in settings.roles:
            return NoIntake()
        if settings.processes > 1:
            return IntakeProcesses(self._launch, dispatcher.sink, self._metrics, current.ruleset, answers)
        receiver = Receiver(
            current,
            dispatcher.sink,
            now_ms,
            settings.trusted_proxies,
            metrics=self._metrics,
            answers=answers,
            verbose=log.is_enabled_for(levels.DEBUG),
        )
        if self._make_intake is not None:
            return self._make_intake(receiver)
        return intake_server(settings, receiver, current.ruleset, certificate)

    def _reports(self, store: Store, current: CurrentRuleset, intake: Intake, own_events: OwnEvents) -> RulesReports:
        settings, metrics = self._settings, self._metrics
        expiry = MetricExpiry(metrics, current, store)
        sources = SourceLog(ListenAddress(settings.listen.host, intake.port), settings.tls is not None)
        reports = RulesReports(settings, current, store, metrics, expiry, self._systemd, sources, own_events)
        if isinstance(intake, IntakeProcesses):
            reports.processes = intake.serving
        return reports

    def _reloader(self, recorded: RecordedRules, node: Node | None, intake: Intake, reports: RulesReports) -> Reloader:
        processes = intake if isinstance(intake, IntakeProcesses) else None
        return Reloader(
            self._settings.rules,
            self._loader,
            recorded.current,
            lambda found: _prepare(found, recorded, node, processes),
            reports.applied,
            swapped=processes.swap if processes is not None else lambda _: None,
            begun=self._systemd.reloading,
            refused=reports.refused,
            drifted=reports.drifted,
            busy=intake.is_busy,
        )

    def _retention(self, store: Store, current: CurrentRuleset, node: Node | None) -> Retention:
        settings = self._settings
        leads = node.leads if node is not None else lambda: True
        removed, keeps = self._metrics.removed, lambda: current.ruleset.keeps
        return Retention(store, settings.keep, settings.keep_dead, now_ms, removed, leads, keeps)

    def _polling(self, store: Store, current: CurrentRuleset, node: Node | None) -> Polling:
        polls = node.polls if node is not None else lambda _: True
        if node is not None:
            node.polled = lambda: [name for name, one in current.ruleset.sources.items() if one.poll and one.enabled]
        return Polling(store, current, now_ms, self._metrics, polls, self._settings.tells.failing)

    def _add_admin(self, parts: Parts, address: ListenAddress, certificate: Certificate | None) -> None:
        hosted = self._make_intake is not None
        side = AdminSide(parts, self._launch, self._loader, self._metrics, lambda: self._lines.lost, hosted)
        try:
            side.listen(address, certificate)
        except StartError:
            parts.intake.stop(0)
            raise


def _load_certificates(settings: Settings) -> dict[str, Certificate]:
    """Load the certificates, by listener name. Raises StartError."""
    files = {"intake": settings.tls, "admin": settings.admin_tls}
    return {listener: Certificate(found) for listener, found in files.items() if found is not None}


def _guard_lock(settings: Settings) -> Path | None:
    """A restarted owner of a store runs interrupted commands at once, so it waits for the guard of the one before it. A
    node's are run again when its lease has ended."""
    store = settings.store
    return Path(f"{os.path.realpath(store)}.guard") if isinstance(store, Path) else None


def _prepare(ruleset: Ruleset, recorded: RecordedRules, node: Node | None, processes: IntakeProcesses | None) -> None:
    """Do the steps of a reload that can fail: store the text, and prepare the intake processes. Raises RouterError."""
    recorded.record(ruleset)
    if node is not None:
        node.known.activated(ruleset.hash)
    if processes is not None:
        processes.prepare(ruleset)

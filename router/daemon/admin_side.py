"""Wires the admin listener to the other parts of the daemon: what it asks of them, and what a scrape reads."""

import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from router.admin.auth.token import find_read_token, find_token
from router.admin.daemon_handle import DaemonHandle
from router.admin.listener import access_check, admin_listener
from router.admin.page.site import Site
from router.admin.reading import answered_here
from router.daemon.launch import Launch
from router.daemon.parts import Parts
from router.daemon.view_process.process import ViewProcess
from router.daemon.wall_clock import now_ms
from router.domain.listen_address import ListenAddress
from router.http.certificate import Certificate
from router.observe.metrics import Metrics
from router.rules.compile.loader import Loader
from router.store.location import beside

if TYPE_CHECKING:
    from router.admin.metrics.exposition import Exposition


@dataclass(frozen=True, slots=True)
class AdminSide:
    """Adds the admin listener to the parts."""

    parts: Parts
    launch: Launch
    loader: Loader
    metrics: Metrics
    lines_lost: Callable[[], int]  #: log lines of this process that could not be written
    is_hosted: bool  #: whether another program's server calls the intake

    def listen(self, address: ListenAddress, certificate: Certificate | None) -> None:
        """Bind the address, without serving yet. Raises StartError."""
        settings, environ, parts = self.launch.settings, self.launch.environ, self.parts
        parts.views = self._view_process()
        token = find_token(settings.admin_token_file, environ, beside(settings.store))
        read_token = find_read_token(settings.admin_read_token_file, environ, token)
        access = access_check(address, token, read_token, settings.admin_hosts, settings.admin_url)
        parts.site = Site(self._handle(), access)
        parts.admin = admin_listener(parts.site, address, settings.request_timeout, certificate)

    def _handle(self) -> DaemonHandle:
        parts = self.parts
        return DaemonHandle(
            store=parts.store,
            rules=self.launch.settings.rules,
            ruleset=lambda: parts.current.ruleset,
            loader=replace(self.loader, require_secrets=False),
            reload=parts.reloader.reload_now,
            metrics=self._exposition().reply,
            checks=parts.checks,
            busy=parts.intake.is_busy,
            stopping=parts.stopping.is_set,
            now_ms=now_ms,
            elsewhere=answered_here if parts.views is None else parts.views.answer,
        )

    def _view_process(self) -> ViewProcess | None:
        """None below another server, whose processes are its own, and where others could enter (CVE-2022-42919)."""
        if self.is_hosted or sys.version_info < (3, 11, 1):
            return None
        parts = self.parts
        return ViewProcess(self.launch, parts.current, parts.intake.is_busy, parts.checks)

    def _exposition(self) -> "Exposition":
        # `check` and the like need not wait for it.
        from router.admin.metrics.exposition import Exposition, GaugeSources, ProcessCounts  # noqa: PLC0415

        parts, processes = self.parts, self.parts.processes
        gauges = GaugeSources(
            loads=parts.dispatcher.loads,
            ready=parts.is_ready,
            store_healthy=parts.store.writable,
            connections=parts.intake.connections,
            lines_lost=lambda: self.lines_lost() + (0 if processes is None else processes.lines_lost()),
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
        return Exposition(self.metrics, parts.reports.expiry, parts.current, parts.store, gauges, now_ms)

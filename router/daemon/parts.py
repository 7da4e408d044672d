"""The parts of a running daemon."""

import threading
from dataclasses import dataclass, field

from router.admin.page.site import Site
from router.daemon.certificate_watch import CertificateWatch
from router.daemon.intake_server import IntakeServer
from router.daemon.no_intake import NoIntake
from router.daemon.node import Node
from router.daemon.own_events import OwnEvents
from router.daemon.processes.pool import IntakeProcesses
from router.daemon.retention import Retention
from router.daemon.rules_reports import RulesReports
from router.daemon.view_process.process import ViewProcess
from router.daemon.wsgi_intake import WsgiIntake
from router.delivery.dispatcher import Dispatcher
from router.http.server import Server
from router.http.waitress_server import WaitressServer
from router.intake.poll.polling import Polling
from router.rules.reload.reloader import Reloader
from router.rules.ruleset import CurrentRuleset
from router.store.contract import Store

Intake = IntakeServer | IntakeProcesses | WsgiIntake | NoIntake


@dataclass(slots=True)
class Parts:
    """What the daemon starts and stops."""

    store: Store
    current: CurrentRuleset
    dispatcher: Dispatcher
    intake: Intake
    reloader: Reloader
    reports: RulesReports
    retention: Retention
    stopping: threading.Event  #: set when a stop begins
    certificates: CertificateWatch
    own_events: OwnEvents
    polling: Polling | None = field(default=None)  #: None: a node that takes no events
    node: Node | None = field(default=None)  #: None: it owns its store alone
    delivers: bool = True  #: False: this node only receives events
    admin: WaitressServer | Server | None = field(default=None)  #: None: no admin listener
    site: Site | None = None  #: the operator's page, on the admin listener
    views: ViewProcess | None = None  #: what the admin listener hands readings to

    @property
    def processes(self) -> IntakeProcesses | None:
        """The intake processes; None: the daemon's own process takes requests."""
        return self.intake if isinstance(self.intake, IntakeProcesses) else None

    def checks(self) -> dict[str, bool]:
        """The checks of readiness, by name, and whether each holds."""
        return {
            "store": self.store.writable(),
            "rules": True,  # a daemon without rules does not start, and a reload never takes them away
            "dispatcher": self.dispatcher.alive or not self.delivers,
            # False as soon as a stop begins, so that senders go elsewhere before the intake closes.
            "intake": self.intake.alive and not self.stopping.is_set(),
        }

    def is_ready(self) -> bool:
        """Whether every check holds."""
        return all(self.checks().values())

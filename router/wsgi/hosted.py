"""The daemon below another program's WSGI server: it starts with the first request, and stops with the process."""

import atexit
import os
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog

from router.cli.commands.serve import from_environment
from router.domain.errors import RouterError, StartError
from router.http.wsgi import Environ, StartResponse
from router.observe.logging import setup as logs

if TYPE_CHECKING:
    from router.daemon.lifecycle import Lifecycle
    from router.daemon.wsgi_intake import WsgiIntake
    from router.intake.receiver import Receiver
    from router.observe.logging.line_writer import Lines

AGAIN_SECONDS = 1.0  #: from a start that failed to the next: the process that has the store may be about to end
_ONE_PROCESS = "a WSGI server must run router.wsgi:app in one process with threads, such as --workers 1 --threads 32"

log = structlog.get_logger()


class HostedDaemon:
    """A WSGI application. Any number of threads may call it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lifecycle: Lifecycle | None = None
        self._intake: WsgiIntake | None = None
        self._pid = 0  #: of the process that started it
        self._tried_by = 0  #: process that tried to start it last: a forked one has not tried yet
        self._again_at = 0.0  #: monotonic
        self._lines: Lines | None = None
        self._closed = False
        os.register_at_fork(after_in_child=self._forked)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        intake = self._intake
        if intake is None or self._pid != os.getpid():
            intake = self._start()
        if intake is None:
            from router.daemon.wsgi_intake import unavailable  # noqa: PLC0415 - the first request loads the daemon

            return unavailable(start_response)
        return intake(environ, start_response)

    def close(self) -> None:
        """Stop the daemon: requests get a 503 from here on. Called at the end of the process, if not before."""
        with self._lock:
            self._closed = True
            lifecycle, self._lifecycle = self._lifecycle, None
            if lifecycle is not None and self._pid == os.getpid():
                lifecycle.stop(None)

    def _forked(self) -> None:
        self._lock = threading.Lock()  # a thread that is not in this process may hold the other one

    def _start(self) -> "WsgiIntake | None":
        """Start the daemon, unless another thread just did; None when it can't start."""
        with self._lock:
            if self._intake is not None and self._pid == os.getpid():
                return self._intake
            if self._closed or (self._tried_by == os.getpid() and time.monotonic() < self._again_at):
                return None
            self._tried_by = os.getpid()
            self._again_at = time.monotonic() + AGAIN_SECONDS
            try:
                if self._pid:
                    self._lines = None  # the thread that writes them is not in this process
                    raise StartError(f"this process was forked from one in which it runs already; {_ONE_PROCESS}")
                self._begin()
            except RouterError as error:
                self._log_failure(error)
                return None
            return self._intake

    def _begin(self) -> None:
        from router.daemon.app import App  # noqa: PLC0415 - importing `app` must cost nothing
        from router.daemon.wsgi_intake import WsgiIntake  # noqa: PLC0415

        settings, level, style = from_environment()
        self._log_by(level, style)
        if settings.processes > 1:
            raise StartError("WEBHOOK_ROUTER_PROCESSES is for `webhook-router serve`; unset it below a WSGI server")
        if settings.tls is not None:
            raise StartError("WEBHOOK_ROUTER_TLS_CERT is for `webhook-router serve`; the WSGI server speaks TLS")
        intakes: list[WsgiIntake] = []

        def make_intake(receiver: "Receiver") -> WsgiIntake:
            intakes.append(WsgiIntake(receiver, settings.listen.port))
            return intakes[0]

        self._lifecycle = App(settings, lines=self._lines).start(make_intake)
        self._pid, self._intake = os.getpid(), intakes[0]
        atexit.register(self.close)

    def _log_by(self, level: str, style: str) -> None:
        if self._lines is None:
            self._lines = logs.configure(level, style)

    def _log_failure(self, error: RouterError) -> None:
        self._log_by("info", "auto")
        text = str(error)
        if "in use by another daemon" in text:
            text = f"{text}; {_ONE_PROCESS}"
        log.error("the daemon can't start below this WSGI server; requests are answered 503", error=text)

"""Logs the sources: the URL of each, and a warning for those that are not verified."""

from dataclasses import dataclass, field

import structlog

from router.domain.listen_address import ListenAddress
from router.rules.compile.polled import SCHEME
from router.rules.ruleset import Ruleset
from router.rules.source import Source

log = structlog.get_logger()


@dataclass(slots=True)
class SourceLog:
    """Logs each source once: at the start, and after the reload that adds or changes it.

    Belongs to one thread at a time: the one that starts the daemon, then the one that reloads.
    """

    listen: ListenAddress  #: with the port that was bound
    tls: bool = False  #: whether senders need https
    logged: dict[str, tuple[object, ...]] = field(default_factory=dict)  #: by source: the facts that were logged

    def log_changes(self, ruleset: Ruleset) -> None:
        """Log the sources that are new, changed or gone since the last call."""
        for source in ruleset.sources.values():
            polled = (source.poll.place, source.poll.settings) if source.poll is not None else ()
            facts = (source.path, source.scheme, source.methods, source.allow_ips, source.enabled, *polled)
            if self.logged.get(source.name) != facts:
                self.logged[source.name] = facts
                self._log_source(source)
        for name in [name for name in self.logged if name not in ruleset.sources]:
            path, scheme, *_ = self.logged.pop(name)
            text = "source is gone; its path is answered 404"
            log.info(text if scheme != SCHEME else "source is gone; it is not polled", source=name, path=path)

    def _log_source(self, source: Source) -> None:
        if source.poll is not None:
            if source.enabled:
                log.info("source is polled", source=source.name, url=source.poll.place, every=source.poll.every)
            else:
                log.info("source is disabled; it is not polled", source=source.name, path=source.path)
            return
        if not source.enabled:
            log.info("source is disabled; its path is answered 404", source=source.name, path=source.path)
            return
        url = f"http{'s' if self.tls else ''}://{self.listen.from_here}{source.path}"
        verified = source.verifier.verifies
        log.info("source", source=source.name, url=url, path=source.path, scheme=source.scheme, verified=verified)
        if verified:
            return
        if source.allow_ips:
            allowed = [str(network) for network in source.allow_ips]
            log.warning("source is not verified: anyone at an allowed address may send", source=source.name,
                        path=source.path, allow_ips=allowed)  # fmt: skip
        elif self.listen.is_loopback:
            log.warning("source is not verified: every program on this machine may send", source=source.name,
                        path=source.path)  # fmt: skip
        else:
            log.error("source is not verified: anyone who reaches the listen address may send; set verify or allow_ips",
                      source=source.name, path=source.path, listen=str(self.listen))  # fmt: skip

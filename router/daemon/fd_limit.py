"""Raises the limit of open files for the wanted connections. Where it can't, it lowers the number of connections."""

import resource

import structlog

_OTHERS = 1024  #: descriptors for targets' connections, commands' pipes and the store

log = structlog.get_logger()


def grant(wanted: int) -> int:
    """The number of connections that the intake may hold open. It leaves open files for the rest of the daemon."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = wanted + _OTHERS
    if soft < needed:
        most = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
        soft = max(soft, most)
    granted = min(wanted, soft - min(_OTHERS, soft // 2))
    if granted < wanted:
        log.warning("fewer connections than asked for: raise the limit of open files", connections=granted, limit=soft)
    return granted

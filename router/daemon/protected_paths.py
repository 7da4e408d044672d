"""The daemon's own files, which no append may write."""

import os
from pathlib import Path

from router.daemon.settings import Settings
from router.domain.files.protected import STORE_SUFFIXES
from router.store.location import beside


def protected_paths(settings: Settings) -> dict[Path, str]:
    """By path: what is there. The rules file's own secrets and programs are protected when the file is compiled."""
    store = os.path.realpath(beside(settings.store))
    found = {Path(f"{store}{suffix}"): "the store" for suffix in STORE_SUFFIXES}
    found[Path(f"{store}.token")] = "the admin token"
    if settings.admin_token_file is not None:
        found[settings.admin_token_file.absolute()] = "the admin token"
    found[settings.rules.absolute()] = "the rules file"
    for files in (settings.tls, settings.admin_tls):
        if files is not None:
            found |= {path.absolute(): "a TLS certificate or key" for path in files.paths()}
    return found

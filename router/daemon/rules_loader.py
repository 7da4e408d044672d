"""The loader of the running rules, with the daemon's settings."""

from collections.abc import Mapping

from router.daemon.protected_paths import protected_paths
from router.daemon.registries import REGISTRIES
from router.daemon.settings import Settings
from router.rules.compile.loader import Loader


def rules_loader(settings: Settings, environ: Mapping[str, str]) -> Loader:
    """The loader of the main process, and of each intake process."""
    protected = protected_paths(settings)
    return Loader(REGISTRIES, environ, require_secrets=True, commands=settings.commands, protected=protected)

"""Loads the rules file when the daemon starts."""

from pathlib import Path

import structlog

from router.domain.errors import Level, StartError
from router.rules.compile.loader import Loaded, Loader
from router.rules.reload.drift import DriftReason
from router.rules.reload.rules_file import NO_FILE, RulesFile, Unusable
from router.rules.ruleset import Ruleset

log = structlog.get_logger()


def load_rules(loader: Loader, path: Path) -> Ruleset:
    """Load the rules, and log the warnings. Raises StartError or RulesError."""
    loaded = _load(loader, path)
    for problem in loaded.problems:
        if loaded.ruleset is not None and problem.level is Level.WARNING:
            log.warning("rules file has a doubtful place", problem=str(problem))
    return loaded.require()


def _load(loader: Loader, path: Path) -> Loaded:
    file = RulesFile(path)
    text = file.read()
    if not isinstance(text, Unusable):
        return loader.load(text.main, str(file.path), Path(file.folder()), text.included)
    if text.why is DriftReason.WRITABLE or text.problem.message == NO_FILE:
        raise StartError(f"{text.problem.file}: {text.problem.message}")
    return loader.load_file(file.path)  # its problems say why the file is unusable

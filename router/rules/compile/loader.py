"""From the text of a rules file to a Ruleset, or to every problem that it has."""

import errno
import hashlib
import os
import re
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from router.domain.deliveries import RulesetText
from router.domain.errors import Level, Problem, RulesError
from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.protected import ProtectedPaths
from router.domain.secrets import SecretRef, check_form
from router.domain.work_budget import bounded
from router.plugins.registries import Registries
from router.plugins.target import TargetSpec
from router.rules.compile.context import LoadContext
from router.rules.compile.request_headers import check_read_headers
from router.rules.compile.retry import load_retry
from router.rules.compile.rules import load_rules, load_unmatched
from router.rules.compile.sources import load_sources
from router.rules.reload.file_stat import FileStat
from router.rules.reload.rules_file import exposed_rules
from router.rules.ruleset import Ruleset
from router.rules.yaml.document import MAX_BYTES, TOO_LARGE, DocumentError, MappingNode, large_parts, read_with_flaws
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath, unknown_key
from router.rules.yaml.problems import ProblemReport
from router.rules.yaml.schema import TOP_KEYS, DefaultsOptions, TargetOptions
from router.runtime.pacing import GC_PAUSED, let_go

VERSION = 1
SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A ruleset with what `check` has to say of it, or no ruleset and why."""

    ruleset: Ruleset | None
    problems: tuple[Problem, ...]  #: sorted by place
    secret_files: Mapping[Path, FileStat] = field(default_factory=dict)  #: that were read, as they were just before
    unset: frozenset[Problem] = frozenset()  #: those of the problems that are unset secrets

    @property
    def errors(self) -> tuple[Problem, ...]:
        """What keeps it from loading."""
        return tuple(problem for problem in self.problems if problem.level is Level.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """What probably isn't meant."""
        return tuple(problem for problem in self.problems if problem.level is Level.WARNING)

    def require(self) -> Ruleset:
        """The ruleset. Raises RulesError with all errors when there is none."""
        if self.ruleset is None:
            raise RulesError(self.errors)
        return self.ruleset


@dataclass(frozen=True, slots=True)
class Loader:
    """Compiles rules files; what it needs besides a file's text."""

    registries: Registries
    environ: Mapping[str, str]
    require_secrets: bool = True  #: False for `check` and `test`: unset secrets are notes
    commands: str = "any"  #: what commands rules may run: any, off, or a folder
    protected: Mapping[Path, str] = field(default_factory=dict)  #: what no append may write, beside what the file names
    trusting: bool = False  #: True for commands: secret files that others can write are used, with a note

    def load_file(self, path: Path) -> Loaded:
        """Load a file, or a pipe that a shell opened for us; relative paths in it start from its own folder."""
        try:
            text = read_file(path, MAX_BYTES + len(BOM_UTF8), pipes=True)
        except Unreadable as error:
            message = f"the rules file can't be read: {error}" if error.number != errno.EFBIG else TOO_LARGE
            if error.number == errno.ENOENT:
                message += "; is the path right? `webhook-router init` writes one to start from"
            return Loaded(None, (Problem(str(path), 1, 1, "", message),))
        with GC_PAUSED:
            loaded = self._load(text, str(path), Path(os.path.realpath(path)).parent, rules_file=path)
        exposed = exposed_rules(path)
        if exposed is None:
            return loaded
        note = Problem(str(path), 1, 1, "", f"serve refuses this: {exposed}", Level.NOTE)
        return replace(loaded, problems=tuple(sorted((*loaded.problems, note))))

    def load_recorded(self, text: RulesetText, running: Callable[[], ProtectedPaths] | None = None) -> Loaded:
        """Load a text that the store kept; its appends write nothing either that the `running` rules protect."""
        name = f"rules {text.hash[:12]}"
        with GC_PAUSED:
            return self._load(text.text, name, Path(text.base_dir), recorded=True, running=running)

    def load(self, text: bytes | str, file: str, base_dir: Path) -> Loaded:
        """Load a text; `file` is how messages call it."""
        with GC_PAUSED:
            return self._load(text, file, base_dir, rules_file=base_dir / Path(file).name)

    def _load(
        self,
        text: bytes | str,
        file: str,
        base_dir: Path,
        *,
        rules_file: Path | None = None,
        recorded: bool = False,
        running: Callable[[], ProtectedPaths] | None = None,
    ) -> Loaded:
        report = ProblemReport(file, recorded)
        if isinstance(text, bytes):
            try:
                text = text.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                line = error.object[: error.start].count(b"\n") + 1
                column = error.start - error.object[: error.start].rfind(b"\n")
                problem = Problem(file, line, column, "", "not UTF-8 text; save the file as UTF-8")
                return Loaded(None, (problem,))
        try:
            root, flaws = read_with_flaws(text)
        except DocumentError as error:
            problems = [Problem(file, f.line, f.column, "", f.message, Level(f.level)) for f in error.flaws]
            return Loaded(None, tuple(sorted(problems)))
        for flaw in flaws:
            report.note(Problem(file, flaw.line, flaw.column, "", flaw.message, Level(flaw.level)))
        context = LoadContext(
            report, base_dir, self.registries, self.environ, self.require_secrets, self.commands, self.trusting
        )
        context.recorded = recorded
        context.protected = ProtectedPaths(running)
        self._protect(context, rules_file)
        digest = hashlib.sha256(text.encode()).hexdigest()
        with bounded():
            ruleset = _compile(context, NodePath(report, root, ""), RulesetText(digest, text, str(base_dir)))
        let_go(large_parts(root))
        return Loaded(
            None if report.failed else ruleset,
            tuple(report.sorted()),
            context.secret_files,
            frozenset(context.unset),
        )

    def _protect(self, context: LoadContext, rules_file: Path | None) -> None:
        protected = context.protected
        for path, what in self.protected.items():
            protected.add(path, what)
        if rules_file is not None:
            protected.add(rules_file, "the rules file")


def _compile(context: LoadContext, root: NodePath, text: RulesetText) -> Ruleset | None:
    if not isinstance(root.node, MappingNode):
        root.error(f"expected a mapping with sources: and rules:, found {root.found()}")
        return None
    _top_keys(root)
    _version(root)
    for key, load in (("secrets", _secrets), ("targets", _targets), ("defaults", _defaults), ("sources", load_sources)):
        if root.has(key):
            load(context, root.at(key))
    rules = load_rules(context, root.at("rules")) if root.has("rules") else []
    unmatched = load_unmatched(context, root.at("unmatched")) if root.has("unmatched") else []
    context.finish()
    if context.report.failed:
        return None
    _warn_unused(context, root, {source for rule in rules for source in rule.sources}, bool(unmatched))
    return Ruleset(
        text,
        tuple(rules),
        context.sources,
        context.targets,
        context.secrets,
        tuple(unmatched),
        _sections(root),
        context.held,
        context.secret_files,
        context.protected,
    )


def _top_keys(root: NodePath) -> None:
    for key, _ in root.entries():
        if key not in TOP_KEYS and not key.startswith("x-"):
            root.key_error(key, unknown_key(key, TOP_KEYS))
    if not root.has("sources"):
        root.error("missing sources: where events come from, and how their senders are verified")
    if not root.has("rules") and not root.has("unmatched"):
        root.error("missing rules: which events go where")


def _version(root: NodePath) -> None:
    version = root.at("version")
    if root.has("version") and not (type(version.data) is int and version.data == VERSION):
        version.error(f"expected version {VERSION}, found {version.found()}; this program reads version {VERSION} only")


def _secrets(context: LoadContext, node_path: NodePath) -> None:
    if not node_path.expect_mapping("names to {env: NAME} or {file: PATH}"):
        return
    for name, below in node_path.entries():
        if not SECRET_NAME.fullmatch(name):
            node_path.key_error(name, "a secret's name is letters, digits and _, since templates write secrets.name")
            continue
        fault = check_form(below.data)
        if fault:
            below.error(fault)
            continue
        ref = read(below, SecretRef)
        if ref is not None:
            context.secrets[name] = context.secret(ref, below, name)


def _targets(context: LoadContext, node_path: NodePath) -> None:
    if not node_path.expect_mapping("names to {url: …}"):
        return
    for name, below in node_path.entries():
        if not TARGET_NAME.fullmatch(name):
            node_path.key_error(name, "a target's name is letters, digits, . _ and -, up to 64")
            continue
        options = read(below, TargetOptions)
        # Only forwards go to named targets.
        retry = load_retry(below.at("retry"), context.registries.actions["forward"]) if below.has("retry") else None
        if retry is not None:
            context.target_retry[name] = retry
        if options is None:
            context.targets[name] = TargetSpec(name, 1)  # so that its users aren't blamed as well
            continue
        check_read_headers(below.at("url"))
        for message in context.registries.check_target_url(options.url, context.secrets):
            below.at("url").error(message)
        context.targets[name] = TargetSpec(name, options.concurrency, options.rate, options.url, options.breaker)


def _defaults(context: LoadContext, node_path: NodePath) -> None:
    options = read(node_path, DefaultsOptions)
    if options is not None:
        context.defaults = options
    if node_path.has("retry"):
        context.retry = load_retry(node_path.at("retry"), None)


def _sections(root: NodePath) -> dict[str, str]:
    """Digests of what is no rule, to tell after a reload what changed: `sources.github`, `defaults`, `unmatched`."""
    found: dict[str, str] = {}
    for key, below in root.entries():
        if key in ("secrets", "targets", "sources"):
            found |= {f"{key}.{name}": entry.digest for name, entry in below.entries()}
        elif key in ("defaults", "unmatched"):
            found[key] = below.digest
    return found


def _warn_unused(context: LoadContext, root: NodePath, used_sources: set[str], unmatched: bool) -> None:
    for name in context.sources:
        if name not in used_sources and not unmatched:
            root.at("sources").key_warn(name, f'no rule listens to source "{name}"')
    for name in context.targets:
        if name not in context.used_targets:
            root.at("targets").key_warn(name, f'no action uses target "{name}"')

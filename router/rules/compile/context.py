"""The state that the parts of the loader share while they compile one file."""

import errno
import fnmatch
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from router.domain.errors import Level, Problem
from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.protected import ProtectedPaths
from router.domain.files.trust import exposure, readable_by_all
from router.domain.nearest_word import shortened
from router.domain.secrets import SHORTEST, Found, Secret, SecretRef
from router.plugins.build import Build, RuleFacts
from router.plugins.registries import Registries
from router.plugins.target import TargetSpec
from router.rules.compile.documents import Document, Place
from router.rules.compile.retry import RetryLayer
from router.rules.include.bounds import Bounds, is_like
from router.rules.match.conditions import Condition
from router.rules.own_source import OWN_SOURCE
from router.rules.reload.file_stat import FileStat, secret_file_stat
from router.rules.source import Source
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport
from router.rules.yaml.schema import DefaultsOptions
from router.runtime.pacing import paced

MAX_NAMED_BYTES = 1024 * 1024  #: of a file of certificates; a bundle of all public authorities has a fifth of this


@dataclass
class LoadContext:
    """The compilation of one file: its settings, and the results of the sections compiled so far."""

    report: ProblemReport
    base_dir: Path
    registries: Registries
    environ: Mapping[str, str]
    require_secrets: bool  #: an unset secret is an error (serve, reload) or a note (check, test)
    commands: str  #: any, off, or the folder of the allowed programs
    trusting: bool = False  #: accept, with a note, secret files that other users can write
    zone: tzinfo = UTC  #: of the conditions on `time` and `weekday`
    defaults: DefaultsOptions = field(default_factory=DefaultsOptions)
    secrets: dict[str, Secret] = field(default_factory=dict)
    targets: dict[str, TargetSpec] = field(default_factory=dict)
    sources: dict[str, Source] = field(default_factory=dict)
    broken_sources: set[str] = field(default_factory=set)  #: the names of sources with errors
    used_targets: set[str] = field(default_factory=set)
    target_limits: dict[str, TargetSpec] = field(default_factory=dict)  #: by target, the limits of its first action
    retry: RetryLayer | None = None  #: the one in `defaults`
    target_retry: dict[str, RetryLayer] = field(default_factory=dict)  #: of the named targets that have one
    #: conditions that hold for all events of these sources
    known: dict[frozenset[str], list[Condition]] = field(default_factory=dict)
    secret_files: dict[Path, FileStat] = field(default_factory=dict)  #: the files read, with their state just before
    used_secrets: dict[str, Secret] = field(default_factory=dict)  #: by their origin
    sent_secrets: dict[str, Secret] = field(default_factory=dict)  #: of actions and targets, beside the declared ones
    listened_sources: int = 0  #: the sum, over the rules so far, of the sources that they listen to
    source_sets: dict[frozenset[str], frozenset[str]] = field(default_factory=dict)  #: equal sets share one object
    globs: dict[str, frozenset[str]] = field(default_factory=dict)  #: by glob, the sources whose names match it
    unset: list[Problem] = field(default_factory=list)  #: problems of secrets that are not set
    protected: ProtectedPaths = field(default_factory=ProtectedPaths)
    found: dict[Any, Any] = field(default_factory=dict)  #: what plugins found on the disk, so that they look only once
    document: Document | None = None  #: the document that is being compiled
    places: dict[tuple[str, str], Place] = field(default_factory=dict)  #: where each name of each section is defined
    source_paths: dict[Hashable, str] = field(default_factory=dict)  #: by path, the source that has it
    recorded: bool = False  #: the text comes from the store: only actions that a guard forbids fail
    _at_end: list[tuple[Build, NodePath]] = field(default_factory=list)

    @property
    def bounds(self) -> Bounds | None:
        """The limits on what the current document may use."""
        return self.document.bounds if self.document is not None else None

    def folder_of(self, node_path: NodePath) -> Path:
        """The folder where relative paths in this file start."""
        return node_path.report.folder or self.base_dir

    def define(self, section: str, parent: NodePath, name: str) -> bool:
        """Whether the section may define this name here. Reports a name that is taken or not allowed."""
        first = self.places.get((section, name))
        if first is not None:
            word = section.removesuffix("s")
            parent.key_error(name, f'{word} "{shortened(name)}" is defined {first.seen_from(parent)} already')
            return False
        self.places[section, name] = Place(parent.report.file, parent.key_line(name))
        if self.bounds is not None and not self.bounds.allows(section, name):
            parent.key_error(name, self.bounds.refusal(section, name))
        return True

    def allowed_secrets(self) -> dict[str, Secret]:
        """The declared secrets that the current document may use."""
        bounds = self.bounds
        if bounds is None or bounds.secrets is None:
            return self.secrets
        return {name: secret for name, secret in self.secrets.items() if bounds.allows("secrets", name)}

    def source(self, name: str) -> Source:
        """A source of the file, or the source of the router's own events."""
        return self.sources.get(name, OWN_SOURCE)

    def sources_like(self, glob: str) -> frozenset[str]:
        """The sources whose names match the glob."""
        found = self.globs.get(glob)
        if found is None:
            found = self.globs[glob] = frozenset(fnmatch.filter(self.sources, glob))
            self.listened_sources += len(self.sources) // 8  # matching the names takes about as long
        return found

    def secret(self, ref: SecretRef, node_path: NodePath, name: str | None = None) -> Secret:
        """Resolve a secret; reports one that is unset and not optional."""
        folder = self.folder_of(node_path)
        self._check_bounds(ref, node_path)
        if ref.file is not None:
            path = folder / ref.file
            self.secret_files[path] = secret_file_stat(path)
            self.protected.add(path, "a secret file")
        found = ref.resolve(folder, self.environ, trusting=self.trusting)
        secret = found.secret
        # an included file has its own folder, and so another "file token"
        own = node_path.report.folder if ref.file is not None else None
        self.used_secrets[ref.name if own is None else f"file {own}/{ref.file}"] = secret or Secret(ref.name, None)
        if secret is None:
            self._report_unset(ref, found, node_path)
            return Secret(name or ref.name, None)
        self._report_weak(ref, secret, found.fault, node_path)
        return Secret(name, secret.reveal()) if name else secret

    def _check_bounds(self, ref: SecretRef, node_path: NodePath) -> None:
        """Report a secret whose origin `only.secrets` does not allow. A check of the name alone would not protect
        it."""
        bounds = self.bounds
        if bounds is None or bounds.secrets is None:
            return
        if ref.env is not None and not is_like(ref.env.lower(), [glob.lower() for glob in bounds.secrets]):
            node_path.error(
                f"this file may not read environment variable {ref.env}: only.secrets of {bounds.path} must allow its "
                "name too, in lower or upper case; or declare the secret in the main file"
            )
        elif ref.file is not None and (ref.file.startswith("/") or ".." in ref.file.split("/")):
            node_path.error(
                f"this file may read only secret files below its own folder, by only.secrets of {bounds.path}; move "
                f"{ref.file} there, or declare the secret in the main file"
            )

    def _report_unset(self, ref: SecretRef, found: Found, node_path: NodePath) -> None:
        if ref.optional:
            return
        level = Level.ERROR if self.require_secrets else Level.WARNING if found.is_blank else Level.NOTE
        cure = "set it before the daemon starts" if ref.file is None else "write it there"
        message = found.fault if "; " in found.fault else f"{found.fault}; {cure}"
        self.unset.append(node_path.report.add(node_path.node, node_path.path, message, level))

    def _report_weak(self, ref: SecretRef, secret: Secret, fault: str, node_path: NodePath) -> None:
        if fault:
            node_path.report.add(node_path.node, node_path.path, f"serve refuses this: {fault}", Level.NOTE)
        if len(secret.reveal()) < SHORTEST:
            node_path.warn(
                f"{secret.name} is shorter than {SHORTEST} characters, so it could be guessed; make one with"
                " `openssl rand -hex 32`"
            )
        if ref.file is not None and readable_by_all(self.folder_of(node_path) / ref.file):
            cure = f"chmod o-r {ref.file}"
            node_path.report.add(
                node_path.node, node_path.path, f"every user of this machine can read {ref.name}; {cure}", Level.NOTE
            )

    def read_file(self, name: str, node_path: NodePath, *, private: bool) -> bytes | None:
        """Read a file that an option names, such as a certificate. Reports one that can't be used."""
        path = self.folder_of(node_path) / name
        bounds = self.bounds
        if bounds is not None and bounds.secrets is not None and (name.startswith("/") or ".." in name.split("/")):
            node_path.error(
                f"this file may read only files below its own folder, by only.secrets of {bounds.path}; "
                f"move {name} there"
            )
            return None
        self.secret_files[path] = secret_file_stat(path)
        self.protected.add(path, "a certificate or its key")
        try:
            content = read_file(path, MAX_NAMED_BYTES)
        except Unreadable as error:
            level = Level.ERROR if self.require_secrets else Level.NOTE
            cure = "; write it there before the daemon starts" if error.number == errno.ENOENT else ""
            message = f"{name} can't be read: {error}{cure}"
            self.unset.append(node_path.report.add(node_path.node, node_path.path, message, level))
            return None
        if private and readable_by_all(path):
            node_path.note(f"every user of this machine can read {name}; chmod o-r {name}")
        exposed = exposure(path)
        if exposed is None:
            return content
        message = f"{name}: {exposed.sentence('choose whom the router trusts, and who it is')}"
        if not self.trusting:
            level = Level.ERROR if self.require_secrets else Level.NOTE
            node_path.report.add(node_path.node, node_path.path, message, level)
            return None
        node_path.note(f"serve refuses this: {message}")
        return content

    def sent_secret(self, ref: SecretRef, node_path: NodePath) -> Secret:
        """See `secret`; outcomes of attempts hide its value."""
        found = self.secret(ref, node_path)
        if found.is_set:
            self.sent_secrets[f"{node_path.report.file} {found.name}"] = found
        return found

    def build(self, name: str, node_path: NodePath, facts: RuleFacts = RuleFacts(), *, sends: bool = False) -> Build:  # noqa: B008 - immutable
        """The inputs of a plugin that compiles this node. `sends`: its secrets are sent to others."""
        secret = self.sent_secret if sends else self.secret
        find: Callable[[SecretRef, tuple[str | int, ...]], Secret] = lambda ref, place: secret(  # noqa: E731
            ref, node_path.at(*place)
        )
        return Build(
            name=name,
            base_dir=self.folder_of(node_path),
            targets=self.targets,
            secrets=self.allowed_secrets(),
            find_secret=find,
            find_file=lambda file, place, private: self.read_file(file, node_path.at(*place), private=private),
            hidden=self.sent_secrets,
            require_secrets=self.require_secrets,
            timeout=self.defaults.timeout,
            commands=self.commands,
            allow_code=facts.allow_code,
            protected=self.protected,
            matched=facts.matched,
            open_path=facts.open_path,
            has_item=facts.has_item,
            recorded=self.report.recorded,
            found=self.found,
        )

    def report_faults(self, build: Build, node_path: NodePath) -> bool:
        """Report a plugin's faults at their places in the file. Returns whether one was an error."""
        for fault in build.faults:
            below = node_path.at(*fault.place)
            below.report.add(below.node, below.path, fault.message, fault.level)
        errors = any(fault.level is Level.ERROR for fault in build.faults)
        if build.at_end and not errors and not self.recorded:
            self._at_end.append((build, node_path))
        return errors

    def finish(self) -> None:
        """Run the checks that need the whole file compiled."""
        for build, node_path in paced(self._at_end):
            build.faults.clear()
            for check in build.at_end:
                check()
            build.at_end.clear()
            self.report_faults(build, node_path)
        self._at_end.clear()

    def forbidden_by(self, build: Build) -> str | None:
        """The guard's reason if this is a recorded text and only guards forbid the action; otherwise None."""
        errors = [fault for fault in build.faults if fault.level is Level.ERROR]
        only_guards = all(fault.is_guard for fault in errors)
        return errors[0].message if self.recorded and errors and only_guards else None

"""Loads a rules file: a Ruleset, or all its problems."""

import errno
import hashlib
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from router.domain.deliveries import RulesetText
from router.domain.errors import Level, Problem, RulesError
from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.protected import ProtectedPaths
from router.domain.work_budget import bounded
from router.plugins.registries import Registries
from router.rules.compile.context import LoadContext
from router.rules.compile.sections import compile_ruleset
from router.rules.reload.file_stat import FileStat
from router.rules.reload.rules_file import exposed_rules
from router.rules.ruleset import Ruleset
from router.rules.yaml.document import MAX_BYTES, TOO_LARGE, read_with_problems
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import detach_items
from router.rules.yaml.problems import ProblemReport
from router.rules.yaml.yaml_problem import DocumentError, YamlProblem
from router.runtime.pacing import GC_PAUSED, let_go


@dataclass(frozen=True, slots=True)
class Loaded:
    """A ruleset with its warnings, or None with its errors."""

    ruleset: Ruleset | None
    problems: tuple[Problem, ...]  #: sorted by line and column
    secret_files: Mapping[Path, FileStat] = field(default_factory=dict)  #: the files read, as they were just before
    unset: frozenset[Problem] = frozenset()  #: the problems that are secrets not set

    @property
    def errors(self) -> tuple[Problem, ...]:
        """The problems that prevent loading."""
        return tuple(problem for problem in self.problems if problem.level is Level.ERROR)

    @property
    def warnings(self) -> tuple[Problem, ...]:
        """Places that probably mean something else than intended."""
        return tuple(problem for problem in self.problems if problem.level is Level.WARNING)

    def require(self) -> Ruleset:
        """The ruleset. Raises RulesError with all errors."""
        if self.ruleset is None:
            raise RulesError(self.errors)
        return self.ruleset


@dataclass(frozen=True, slots=True)
class Loader:
    """Compiles rules files, with these plugins and settings."""

    registries: Registries
    environ: Mapping[str, str]
    require_secrets: bool = True  #: False for `check` and `test`: unset secrets are notes
    commands: str = "any"  #: the programs that rules may run: any, off, or those in a folder
    protected: Mapping[Path, str] = field(default_factory=dict)  #: more files that append must not write
    trusting: bool = False  #: True in the CLI's commands: secret files that other users can write are used, with a note

    def load_file(self, path: Path) -> Loaded:
        """Load a file, or a pipe from the shell; its own folder is the base of relative paths."""
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
        """Load a text that the store recorded. Its appends write nothing that the `running` rules protect."""
        name = f"rules {text.hash[:12]}"
        with GC_PAUSED:
            return self._load(text.text, name, Path(text.base_dir), recorded=True, running=running)

    def load(self, text: bytes | str, file: str, base_dir: Path) -> Loaded:
        """Load a text; messages call it `file`."""
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
        report = ProblemReport(file, recorded, self.registries.confidential_keys)
        if isinstance(text, bytes):
            try:
                text = text.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                line = error.object[: error.start].count(b"\n") + 1
                column = error.start - error.object[: error.start].rfind(b"\n")
                problem = Problem(file, line, column, "", "not UTF-8 text; save the file as UTF-8")
                return Loaded(None, (problem,))
        try:
            root, problems = read_with_problems(text)
        except DocumentError as error:
            return Loaded(None, tuple(sorted(_located(file, found) for found in error.problems)))
        for found in problems:
            report.note(_located(file, found))
        context = LoadContext(
            report, base_dir, self.registries, self.environ, self.require_secrets, self.commands, self.trusting
        )
        context.recorded = recorded
        context.protected = ProtectedPaths(running)
        self._protect(context, rules_file)
        digest = hashlib.sha256(text.encode()).hexdigest()
        with bounded():
            ruleset = compile_ruleset(context, NodePath(report, root, ""), RulesetText(digest, text, str(base_dir)))
        let_go(detach_items(root))
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


def _located(file: str, problem: YamlProblem) -> Problem:
    return Problem(file, problem.line, problem.column, "", problem.message, Level(problem.level))

"""Loads a rules file: a Ruleset, or all its problems."""

import errno
import os
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from router.domain.deliveries import IncludedText, RulesetText
from router.domain.errors import Level, Problem, RulesError
from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.protected import ProtectedPaths
from router.domain.work_budget import bounded
from router.plugins.registries import Registries
from router.rules.compile.context import LoadContext
from router.rules.compile.documents import Document
from router.rules.compile.included import included_documents, parse_document, protect_included, read_included
from router.rules.compile.sections import compile_ruleset
from router.rules.include.entries import DIRECTORY_TEXT, load_include
from router.rules.include.files import IncludedBytes, ruleset_hash
from router.rules.reload.file_stat import FileStat
from router.rules.reload.rules_file import exposed_rules
from router.rules.ruleset import Ruleset
from router.rules.yaml.document import MAX_BYTES, TOO_LARGE
from router.rules.yaml.nodes import detach_items
from router.rules.yaml.problems import ProblemReport
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
        """Places that probably mean something else than was intended."""
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
        """Load a file with the files that it includes, a folder of files, or a pipe from the shell.

        Relative paths start at the file's own folder.
        """
        if os.path.isdir(path):
            with GC_PAUSED:
                loaded = self._load(DIRECTORY_TEXT, str(path), os.path.realpath(path), rules_file=path)
            return _with_exposed(loaded, path)
        try:
            text = read_file(path, MAX_BYTES + len(BOM_UTF8), pipes=True)
        except Unreadable as error:
            message = f"the rules file can't be read: {error}" if error.number != errno.EFBIG else TOO_LARGE
            if error.number == errno.ENOENT:
                message += "; is the path right? `webhook-router init` writes one to start from"
            return Loaded(None, (Problem(str(path), 1, 1, "", message),))
        with GC_PAUSED:
            loaded = self._load(text, str(path), str(Path(os.path.realpath(path)).parent), rules_file=path)
        return _with_exposed(loaded, path)

    def load_recorded(self, text: RulesetText, running: Callable[[], ProtectedPaths] | None = None) -> Loaded:
        """Load a text that the store recorded. Its appends can't write files that the `running` rules protect."""
        name = f"rules {text.hash[:12]}"
        with GC_PAUSED:
            return self._load(text.text, name, text.base_dir, _as_read(text), recorded=True, running=running)

    def load_again(self, text: RulesetText, file: str) -> Loaded:
        """Load a text that another process has compiled, with the included texts that it read."""
        return self.load(text.text, file, Path(text.base_dir), _as_read(text))

    def load(
        self, text: bytes | str, file: str, base_dir: Path, included: Sequence[IncludedBytes] | None = None
    ) -> Loaded:
        """Load a text. `file` is its name in messages. `included` are the files that it includes; if None, they are
        read."""
        with GC_PAUSED:
            return self._load(text, file, str(base_dir), included, rules_file=base_dir / Path(file).name)

    def _load(
        self,
        text: bytes | str,
        file: str,
        base_dir: str,
        included: Sequence[IncludedBytes] | None = None,
        *,
        rules_file: Path | None = None,
        recorded: bool = False,
        running: Callable[[], ProtectedPaths] | None = None,
    ) -> Loaded:
        report = ProblemReport(file, recorded, self.registries.confidential_keys)
        main = parse_document(text, report)
        if main is None:
            return Loaded(None, tuple(report.sorted()))
        context = LoadContext(
            report, Path(base_dir), self.registries, self.environ, self.require_secrets, self.commands, self.trusting
        )
        context.recorded = recorded
        context.protected = ProtectedPaths(running)
        patterns = load_include(main)
        if included is None:
            included = read_included(main, patterns, base_dir, rules_file or Path(base_dir, file))
        of_folder = text in (DIRECTORY_TEXT, DIRECTORY_TEXT.encode())
        documents = [Document(main), *included_documents(main, patterns, included, base_dir, of_folder=of_folder)]
        self._protect(context, rules_file)
        protect_included(context.protected, patterns, included, base_dir)
        plain = text if isinstance(text, str) else text.decode("utf-8-sig")
        texts = tuple(IncludedText(one.pattern, one.name, _plain(one.data), one.folder) for one in included)
        ruleset_text = RulesetText(ruleset_hash(text, included), plain, base_dir, texts)
        with bounded():
            ruleset = compile_ruleset(context, documents, ruleset_text)
        for document in documents:
            let_go(detach_items(document.root.node))
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


def _plain(data: bytes) -> str:
    return data.decode("utf-8-sig", "replace")  # a file that is not UTF-8 has an error, so its text is never recorded


def _as_read(text: RulesetText) -> list[IncludedBytes]:
    """The included files of a text as they were read."""
    return [IncludedBytes(one.pattern, one.name, one.text.encode(), one.base_dir) for one in text.included]


def _with_exposed(loaded: Loaded, path: Path) -> Loaded:
    """Add a note for each file that `serve` refuses because other users can write it."""
    folder = path if path.is_dir() else path.parent
    included = [folder / one.name for one in (loaded.ruleset.text.included if loaded.ruleset else ())]
    notes = [
        Problem(str(file), 1, 1, "", f"serve refuses this: {exposed}", Level.NOTE)
        for file in [path, *included]
        if (exposed := exposed_rules(file)) is not None
    ]
    return replace(loaded, problems=tuple(sorted((*loaded.problems, *notes)))) if notes else loaded

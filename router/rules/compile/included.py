"""Reads, parses and protects the files that a rules file includes."""

import errno
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from router.domain.errors import Level, Problem
from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.protected import ProtectedPaths
from router.rules.compile.documents import Document
from router.rules.include.entries import IncludePattern
from router.rules.include.files import MAX_FILES, IncludedBytes, IncludedFile, find
from router.rules.yaml.document import MAX_BYTES, TOO_LARGE, read_with_problems
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.problems import ProblemReport
from router.rules.yaml.yaml_problem import DocumentError, YamlProblem


def parse_document(text: bytes | str, report: ProblemReport) -> NodePath | None:
    """The document of a file's text; None if it can't be parsed, which is reported."""
    if isinstance(text, bytes):
        try:
            text = text.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = error.object[: error.start].count(b"\n") + 1
            column = error.start - error.object[: error.start].rfind(b"\n")
            report.note(Problem(report.file, line, column, "", "not UTF-8 text; save the file as UTF-8"))
            return None
    try:
        root, problems = read_with_problems(text)
    except DocumentError as error:
        for found in error.problems:
            report.note(_located(report.file, found))
        return None
    for found in problems:
        report.note(_located(report.file, found))
    return NodePath(report, root, "")


def read_included(
    main: NodePath, patterns: Sequence[IncludePattern], base_dir: str, rules_file: Path
) -> list[IncludedBytes]:
    """Read the files that the patterns name; reports those that can't be read."""
    by_text = {pattern.text: pattern for pattern in patterns}
    found = find(base_dir, by_text, rules_file)
    if len(found) > MAX_FILES:
        main.at("include").error(f"this includes more than {MAX_FILES:,} files; put their rules into fewer files")
        return []
    read: list[IncludedBytes] = []
    room = MAX_BYTES
    for file in found:
        content = _read(by_text[file.pattern], file, room)
        if content is not None:
            room -= len(content)
            read.append(IncludedBytes(file.pattern, file.name, content, file.folder))
    return read


def _read(pattern: IncludePattern, file: IncludedFile, room: int) -> bytes | None:
    try:
        return read_file(file.path, room)
    except Unreadable as error:
        if error.number == errno.ENOENT and not pattern.is_glob:
            return None  # reported when the documents are parsed
        reason = f"all included files together: {TOO_LARGE}" if error.number == errno.EFBIG else str(error)
        if os.path.isdir(file.path):
            reason = f"this is a folder; write a glob for the files in it, such as {file.name}/*.yaml"
        pattern.node_path.error(f"{file.name} can't be included: {reason}")
        return None


def included_documents(
    main: NodePath,
    patterns: Sequence[IncludePattern],
    included: Sequence[IncludedBytes],
    base_dir: str,
    *,
    of_folder: bool,
) -> Iterator[Document]:
    """Parse the included files, in the order of the patterns and then by name; reports globs without files."""
    folder = main.report.file if of_folder else os.path.dirname(main.report.file)  # noqa: PTH120 - may be no path
    seen: dict[str, IncludePattern] = {}
    numbers = {pattern.text: (pattern.entry, number) for number, pattern in enumerate(patterns)}
    by_text = {pattern.text: pattern for pattern in patterns}
    known = [one for one in included if one.pattern in by_text]
    for pattern in patterns:
        if not any(one.pattern == pattern.text for one in known):
            _report_empty(main, pattern, base_dir, of_folder=of_folder)
    for one in sorted(known, key=lambda one: (numbers[one.pattern][0], one.name)):
        pattern = by_text[one.pattern]
        key = os.path.normpath(one.name)
        if key in seen:
            first = seen[key].node_path.path
            pattern.node_path.error(f"{one.name} is already included by {first}; remove it from one of the two")
            continue
        seen[key] = pattern
        report = main.report.of_file(str(Path(folder, one.name)), Path(one.folder))
        root = parse_document(one.data, report)
        if root is not None:
            yield Document(root, is_included=True, of_folder=of_folder, bounds=pattern.bounds)


def _report_empty(main: NodePath, pattern: IncludePattern, base_dir: str, *, of_folder: bool) -> None:
    if of_folder:
        main.error(
            "this folder has no rules file (*.yaml, but no dotfile or *.cases.yaml); `webhook-router init` writes one"
        )
    elif not pattern.is_glob:
        if not main.report.recorded and not os.path.lexists(os.path.join(base_dir, pattern.text)):  # noqa: PTH118 - texts
            pattern.node_path.error(f"{pattern.text} can't be included: No such file or directory")
    else:
        pattern.node_path.warn("no file matches this; files that come later are noticed")


def protect_included(
    protected: ProtectedPaths, patterns: Sequence[IncludePattern], included: Sequence[IncludedBytes], base_dir: str
) -> None:
    """Protect the included files, and the names that new included files would have."""
    for one in included:
        protected.add(Path(base_dir, one.name), "an included rules file")
        protected.add_folder(Path(one.folder), "the folder of an included rules file")
    for pattern in patterns:
        protected.add_pattern(Path(base_dir), pattern.text, "a file that include: would take for rules")


def _located(file: str, problem: YamlProblem) -> Problem:
    return Problem(file, problem.line, problem.column, "", problem.message, Level(problem.level))

"""Compiles the options of an append and checks which files it may write."""

import os
from pathlib import Path

from router.actions.append.action import AppendAction
from router.actions.append.options import AppendOptions
from router.actions.append.output_file import Guard
from router.actions.append.path import constant_part
from router.actions.compiled_template import compiled_template
from router.actions.sender_text import has_sender_text
from router.plugins.build import Build
from router.plugins.target import TargetSpec
from router.templates import Template

_TIMEOUT_SECONDS = 10.0


def compile_append(options: AppendOptions, build: Build) -> AppendAction:
    """Compile the options to an action. Faults go to the build."""
    path = compiled_template(options.path, build, "path")
    line = compiled_template(options.line, build, "line") if options.line is not None else None
    constant = options.path if path.constant is not None else constant_part(options.path)
    base = build.base_dir / constant
    _check_path(options.path, path, base, build)
    guard = _guard(build, path)
    build.at_end.append(lambda: _judge_path(build, guard, path, base))
    return AppendAction(
        target=TargetSpec(build.name, options.concurrency, options.rate),
        path=path,
        line=line,
        base=base.parent if path.constant is not None else base,
        timeout=options.timeout or build.timeout or _TIMEOUT_SECONDS,
        guard=guard,
    )


def _check_path(text: str, path: Template, base: Path, build: Build) -> None:
    if "secrets" in path.names:
        build.fault("a secret in a file's name would be seen by everybody who lists the folder", "path")
    if text.endswith("/") or "\0" in text or (path.constant is not None and os.path.isdir(base)):
        build.fault("expected a file, found a folder", "path")
    if path.constant is None and ".." in constant_part(text).split("/"):
        build.fault("a templated path has no .. before its first {{", "path")


def _guard(build: Build, path: Template) -> Guard:
    build.protected.add_folder(build.base_dir, "the rules file's folder")
    if build.commands not in ("any", "off"):
        build.protected.add_tree(Path(build.commands), "the --commands folder")
    return Guard(build.protected, has_sender_text(path, open_path=build.open_path))


def _judge_path(build: Build, guard: Guard, path: Template, base: Path) -> None:
    """Check the path against the protected files. Runs at the end, when all protected files of the rules are known."""
    if path.constant is None:
        what = guard.paths.reachable_from(base) if guard.templated else None
        if what is not None:
            build.forbid(f"payload text could lead to {what}; write into a folder of its own: out/{{{{ … }}}}", "path")
        return
    what = guard.paths.named_by(base)
    if what is not None:
        build.forbid(f"this path leads to {what}; choose a file in a folder of its own, such as out/", "path")

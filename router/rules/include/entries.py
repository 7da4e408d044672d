"""Reads the `include:` of a rules file."""

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any

from pydantic import Field

from router.plugins.options import Options
from router.rules.include.bounds import Bounds
from router.rules.yaml.document import read_with_problems
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.nodes import MappingNode, SequenceNode, data
from router.rules.yaml.yaml_problem import DocumentError

DIRECTORY_TEXT = 'include: ["*.yaml"] # the rules are the files of a folder\n'  #: stands for the main file of a folder
MAX_PATTERNS = 100  #: each is searched four times a second
_Names = Annotated[list[Annotated[str, Field(min_length=1)]], Field()]


class OnlyOptions(Options):
    """What included files may use. An absent key allows everything."""

    sources: _Names | None = Field(default=None, description="Sources that their rules may listen to.")
    actions: _Names | None = Field(default=None, description="Types of their actions.")
    targets: _Names | None = Field(
        default=None, description="Targets of their forwards; an inline url counts by its origin."
    )
    secrets: _Names | None = Field(default=None, description="Secrets that they may use.")


class IncludeOptions(Options):
    """Files, and what they may use."""

    files: Any = Field(description="A file or a glob, or a list of them, from the folder of this file.")
    only: OnlyOptions | None = Field(default=None, description="What these files may use.")


@dataclass(frozen=True, slots=True)
class IncludePattern:
    """One file or glob of an `include:`."""

    text: str
    node_path: NodePath
    entry: int
    bounds: Bounds | None

    @property
    def is_glob(self) -> bool:
        """Whether it may match any number of files."""
        return is_glob(self.text)


def is_glob(pattern: str) -> bool:
    """Whether a pattern has wildcards."""
    return any(c in pattern for c in "*?[")


def load_include(root: NodePath) -> list[IncludePattern]:
    """The patterns of the main file, in file order. Reports what is wrong with them."""
    if not root.has("include"):
        return []
    at = root.at("include")
    if not at.expect_list("files, such as teams/*.yaml"):
        return []
    found: list[IncludePattern] = []
    for number, item in enumerate(at.items()):
        bounds = None
        files = item
        if isinstance(item.node, MappingNode):
            options = read(item, IncludeOptions)
            if options is None:
                continue
            bounds, files = _bounds(item.path, options.only), item.at("files")
        for one in files.items() if isinstance(files.node, SequenceNode) and files.node.items else [files]:
            text = one.expect_text("a file or a glob, such as teams/*.yaml")
            if text is not None and _check(one, text, found):
                found.append(IncludePattern(text, one, number, bounds))
    if len(found) > MAX_PATTERNS:
        at.error(f"more than {MAX_PATTERNS} files and globs; write fewer globs that match more files")
        return []
    return found


def _bounds(path: str, only: OnlyOptions | None) -> Bounds | None:
    if only is None:
        return None
    return Bounds(
        path, *(None if v is None else tuple(v) for v in (only.sources, only.actions, only.targets, only.secrets))
    )


def _check(node_path: NodePath, text: str, found: list[IncludePattern]) -> bool:
    if "**" in text:
        node_path.error("** is not supported; write a * for each level of folders")
    elif "\0" in text or text.endswith("/"):
        node_path.error("expected a file or a glob, found a folder; write teams/*.yaml for all files in it")
    elif any(os.path.normpath(one.text) == os.path.normpath(text) for one in found):
        node_path.error("this is already included; remove one of the two")
    else:
        return True
    return False


@lru_cache(maxsize=4)
def patterns_in(text: bytes) -> tuple[str, ...]:
    """The files and globs that a main file includes, in file order; empty while the text can't be read."""
    if b"include" not in text:
        return ()
    try:
        root, _ = read_with_problems(text.decode("utf-8-sig"))
    except (UnicodeDecodeError, DocumentError):
        return ()
    entries = data(root).get("include") if isinstance(root, MappingNode) else None
    found: list[str] = []
    for entry in entries if isinstance(entries, list) else ():
        files = entry.get("files") if isinstance(entry, dict) else entry
        found += [one for one in (files if isinstance(files, list) else [files]) if isinstance(one, str) and one]
    return tuple(one for one in found[:MAX_PATTERNS] if "**" not in one and "\0" not in one)

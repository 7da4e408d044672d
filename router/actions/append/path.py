"""Where an append writes: the parts of its path below the folder in the rules file."""

import re
from pathlib import Path

from router.domain.errors import RenderError
from router.plugins.action import AttemptInput
from router.templates import Template, context

_LONGEST = 255  #: bytes of a file's name; the limit of usual file systems


def path_parts(path: Template, job: AttemptInput) -> list[str]:
    """The folders and the file below the constant part of the path. Raises RenderError."""
    if path.constant is not None:
        return [Path(path.constant).name]
    text = path.render(context(job, mask_secrets=True))
    parts = text[len(constant_part(path.text)) :].split("/")
    for part in parts:
        if part in ("", ".", "..") or "\0" in part or len(part.encode()) > _LONGEST:
            raise RenderError(
                f"a part of the path would be empty, . or .., contain NUL, or be longer than {_LONGEST} bytes"
            )
    return parts


def constant_part(text: str) -> str:
    """The path up to the last slash before its first template."""
    before = re.split(r"\{\{|\{%|\{#", text)[0]
    return before[: before.rfind("/") + 1]

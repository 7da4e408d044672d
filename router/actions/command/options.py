"""The options of a command in the rules file."""

from typing import Annotated, Literal

from pydantic import Field

from router.domain.units import Duration, Rate, Size
from router.plugins.options import Options


class CommandOptions(Options):
    """Run a program. Exit code 0 is success."""

    argv: list[str] | None = Field(default=None, description="Program and arguments, each a template; no shell.")
    shell: str | None = Field(
        default=None, description="A constant script for /bin/sh; the event comes by env and stdin."
    )
    env: dict[str, str] = Field(default_factory=dict, description="Environment variables to add; values are templates.")
    cwd: str | None = Field(default=None, description="Folder to run in; that of the rules file.")
    stdin: Literal["body", "item", "none"] = Field(
        default="body", description="What comes by standard input: the raw body, or the item as JSON."
    )
    timeout: Duration | None = Field(default=None, description="After this time the process group is ended; 5m.")
    kill_after: Duration = Field(default=5.0, description="Time from TERM to KILL.")
    output_limit: Size = Field(
        default=16 * 1024, description="How much output is kept with the attempt: the end of it."
    )
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(default=1, description="Runs under way at once.")
    rate: Rate | None = Field(default=None, description="Runs started in a time, such as 10/m.")

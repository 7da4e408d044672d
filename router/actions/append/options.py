"""The options of an append in the rules file."""

from typing import Annotated

from pydantic import Field

from router.domain.units import Duration, Rate
from router.plugins.options import Options


class AppendOptions(Options):
    """Append a line to a file."""

    path: str = Field(min_length=1, description="The file; a template, which stays below its constant part.")
    line: str | None = Field(default=None, description="The line, a template; a JSON record of the event by default.")
    timeout: Duration | None = Field(default=None, description="For opening, locking and writing; 10s.")
    concurrency: Annotated[int, Field(ge=1, le=100)] = Field(default=1, description="Appends under way at once.")
    rate: Rate | None = Field(default=None, description="Appends started in a time, such as 100/s.")

"""The options of `poll` in the rules file."""

from typing import Annotated, Any, Literal

from pydantic import Field

from router.domain.units import Duration
from router.plugins.connection import ConnectionOptions
from router.plugins.options import Options

Text = Annotated[str, Field(min_length=1)]


class CursorOptions(Options):
    """A value of one answer that goes into the next request, such as the time of the newest item."""

    from_: Text = Field(alias="from", description="A path such as $.next_cursor, or headers.NAME.")
    query: Text | None = Field(default=None, description="The query parameter that carries it.")
    header: Text | None = Field(default=None, description="The header that carries it.")
    pick: Literal["first", "last", "max"] = Field(
        default="last", description="Which one of several values, on all pages of a poll."
    )


class PollOptions(ConnectionOptions):
    """A service that is polled for new items."""

    url: Text = Field(description="The URL; it may contain secrets.NAME.")
    every: Duration = Field(default=60.0, description="Time from one poll to the next; at least 1s.")
    method: Literal["GET", "POST"] = Field(default="GET", description="The HTTP method.")
    headers: dict[str, str] = Field(default_factory=dict, description="Headers; they may contain secrets.NAME.")
    body: Any = Field(default=None, description="With POST: the body, as text or as a JSON tree.")
    timeout: Duration = Field(default=30.0, description="How long one request may take, with its whole answer.")
    items: Text | None = Field(
        default=None,
        description="The path of the items such as $.jobs[*]; each one is an event. "
        "By default the whole answer is one event.",
    )
    id: Any = Field(
        default=None, description="Fields of an item such as item.id, one or a list: new values are a new event."
    )
    cursor: CursorOptions | None = Field(
        default=None, description="The value of an answer that goes into the next request."
    )
    next: Text | None = Field(default=None, description="The next page: link (the Link header), or a path to its URL.")
    max_pages: Annotated[int, Field(ge=1, le=1000)] = Field(default=10, description="Requests of one poll at the most.")
    start: Literal["now", "all"] = Field(
        default="now",
        description="What the first poll does with existing items: now only remembers them, all makes events of them.",
    )

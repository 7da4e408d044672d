"""The names that the loader needs to compile polls."""

from typing import TYPE_CHECKING

from router.intake.poll.options import PollOptions as Options

if TYPE_CHECKING:
    from router.intake.poll.spec import PollSpec
    from router.payload.body import Parse
    from router.plugins.build import Build

__all__ = ["Options", "compile"]


def compile(options: Options, parse: "Parse | None", max_body: int, build: "Build") -> "PollSpec":  # noqa: A001 - the name that plugins have
    """See PollKind.compile."""
    # Rules without polls should not have to import aiohttp.
    from router.intake.poll.compile import compile_poll  # noqa: PLC0415

    return compile_poll(options, parse, max_body, build)

"""A compiled command: runs a program or a constant shell script."""

import asyncio
import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import orjson

from router.actions.command.environment import environment, rendered_text
from router.actions.command.guard import LeaseOver
from router.actions.command.outcome import outcome_of_error, outcome_of_run
from router.actions.command.process import run
from router.actions.command.programs import Programs
from router.actions.command.text_limits import check_text
from router.actions.excerpt import excerpt
from router.domain.errors import RenderError
from router.domain.outcomes import Outcome
from router.plugins.action import AttemptInput, Tools
from router.plugins.target import TargetSpec
from router.templates import Context, Template, context, render_without_blocking

_STOP_CODES = (-signal.SIGTERM, -signal.SIGINT, -signal.SIGHUP, 128 + signal.SIGTERM)
_LEASE_OVER = "the node's lease ended"
_STOP_SECONDS = 0.2  #: the daemon gets the same signal within this time


@dataclass(frozen=True, slots=True)
class CommandAction:
    """A compiled command."""

    target: TargetSpec
    argv: tuple[Template, ...]
    shell: str | None
    env: tuple[tuple[str, Template], ...]
    cwd: Path
    stdin: Literal["body", "item", "none"]  #: what the program reads from standard input
    timeout: float
    kill_after: float
    output_limit: int
    base_dir: Path
    type: str = "command"

    def preview(self, job: AttemptInput) -> dict[str, Any]:
        """`{argv or shell, env, cwd}`; see Action.preview."""
        values = context(job, mask_secrets=True)
        env = {name: template.render(values) for name, template in self.env}
        what = {"shell": self.shell} if self.shell is not None else {"argv": self._arguments(values)}
        return {**what, "env": env, "cwd": str(self.cwd)}

    async def attempt(self, job: AttemptInput, tools: Tools[Programs]) -> Outcome:
        """See Action.attempt."""
        try:
            argv, env, stdin = await render_without_blocking(self._rendered, job)
        except RenderError as error:
            return Outcome.failed(str(error))
        lapses = tools.lease.begins_after
        try:
            done = await run(
                [text.encode() for text in argv],
                threads=tools.resources.threads,
                guard=await tools.resources.guarded(tools),
                cwd=os.fsencode(self.cwd),
                env=env,
                stdin=stdin,
                timeout=self.timeout,
                kill_after=self.kill_after,
                output_limit=self.output_limit,
                answers=job.answers,
            )
        except OSError as error:
            return outcome_of_error(error, argv[0], self.cwd)
        except LeaseOver:
            return Outcome.excused(_LEASE_OVER)
        if tools.lease.is_over or tools.lease.lapses != lapses:
            return Outcome.excused(_LEASE_OVER)
        if done.code in _STOP_CODES and not done.timed_out:
            # A service manager stops the daemon and its commands at the same moment, in any order.
            await asyncio.sleep(_STOP_SECONDS)
            if tools.stopping():
                return Outcome.interrupted("it was told to stop together with the daemon")
        return outcome_of_run(done, excerpt(done.output, self.output_limit, end=True), self.timeout)

    def _rendered(self, job: AttemptInput) -> tuple[list[str], dict[bytes, bytes], bytes]:
        values = None if self._is_constant else context(job, mask_secrets=False)
        argv = ["/bin/sh", "-c", self.shell] if self.shell is not None else self._arguments(values)
        return argv, environment(job, self.env, values), self._input(job)

    def _input(self, job: AttemptInput) -> bytes:
        if self.stdin == "item":
            return orjson.dumps(job.item)
        return job.event.body if self.stdin == "body" else b""

    @property
    def _is_constant(self) -> bool:
        """Whether the command is the same for all events."""
        return all(template.constant is not None for template in (*self.argv, *(template for _, template in self.env)))

    def _arguments(self, values: Context | None) -> list[str]:
        argv: list[str] = []
        options_ended = False
        for i, template in enumerate(self.argv):
            text = rendered_text(template, values)
            check_text(text, f"argv[{i}]")
            # A program would read payload text that begins with a dash as an option.
            if text.startswith("-") and not template.text.startswith("-") and not options_ended:
                raise RenderError(f'argv[{i}] would begin with a dash; put "--" before it, if the program knows that')
            options_ended = options_ended or template.constant == "--"
            argv.append(text)
        if "/" in argv[0]:
            argv[0] = str(self.base_dir / argv[0])
        return argv

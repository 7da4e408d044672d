"""Follows a section of the documentation as a reader does: writes the files, runs the commands, compares the output."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import PATIENCE_SECONDS, PROGRAM, preloaded, until
from tests.docs.markdown_page import Block
from tests.docs.transcript_match import IdMap, steps
from tests.free_port import free_port

ROOT = Path(__file__).parents[2]
PORTS = ("8080", "8081", "9000", "9001")  #: in the documentation; free ports replace them in commands, files and output

#: The machine of the tests has run this command already (.ci/run takes it from the README).
_SETUP = re.compile(r"python3 -m venv \.venv && \.venv/bin/pip install [^&]+ && ")
#: Commands that change nothing. They are repeated until their output agrees.
_REPEATABLE = re.compile(
    r"(cat|head|tail|ls|wc|grep|webhook-router (status|events (list|show)|deliveries (list|show)|targets list))\b"
)


class PageRunner:
    """A reader with as many terminals as the section needs. Call `take` for its blocks in order, then `leave`."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._ports = {port: free_port() for port in PORTS}
        self._names = IdMap()
        self._running: list[_RunningProgram] = []
        self._state = folder.parent / f"{folder.name}.state"
        self._state.write_text(f"cd {folder}\n")
        folder.mkdir()
        (folder / ".curlrc").write_text("fail\n")  # so that a documented request is not refused

    def take(self, block: Block) -> None:
        """Do what a block tells the reader to do."""
        if "in a clone" in block.marks:
            self._clone()
        if "stopped" in block.marks:
            self._stop()
        if "not run" in block.marks:
            assert block.marks["not run"], f"{block}: say why it is not run"
        elif "file" in block.marks:
            self._write(block)
        elif block.language == "sh":
            self._run_commands(block, _SETUP.sub("", block.text))
        elif block.language == "console":
            self._run_transcript(block)

    def leave(self) -> None:
        """Press Ctrl-C in every terminal with a running program. Each must end well, after the documented output."""
        self._stop()

    def _stop(self) -> None:
        for running in reversed(self._running):
            running.signal(signal.SIGINT)
        for running in self._running:
            documented = self._actual(running.expected)
            assert self._names.agree(documented, running.output, part=True), _difference(
                running.block, documented, running.output
            )
            # Ctrl-C kills a program that does not handle it.
            well = (0,) if "webhook-router serve" in running.block.text else (0, 1, 130, -signal.SIGINT)
            assert running.code in well, f"{running.block}: ended with {running.code}:\n{running.output}"
        self._running.clear()

    def abandon(self) -> None:
        """Kill the programs that still run."""
        for running in self._running:
            running.signal(signal.SIGKILL)

    def _write(self, block: Block) -> None:
        name = block.marks["file"]
        assert f"`{name}`" in block.prose, f"{block}: the text above doesn't say that it is written to {name}"
        path = Path(self._run("pwd")[1].strip()) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(self._actual(block.text))

    def _run_commands(self, block: Block, command: str) -> None:
        if "keeps running" in block.marks:
            self._start(block, command, "")
            return
        code, shown = self._run(command)
        assert code == int(block.marks.get("ends", 0)), f"{block}: ended with {code}:\n{command}{shown}"

    def _run_transcript(self, block: Block) -> None:
        *before, last = steps(block.text)
        for exchange in before:
            self._check_output(block, exchange.command, exchange.output, 0)
        if "keeps running" in block.marks:
            self._start(block, last.command, last.output)
        else:
            self._check_output(block, last.command, last.output, int(block.marks.get("ends", 0)))

    def _check_output(self, block: Block, command: str, documented: str, code: int) -> None:
        documented = self._actual(documented)
        shown: tuple[int, str] = (0, "")

        def agreed() -> bool:
            nonlocal shown
            shown = self._run(command)
            return shown[0] == code and self._names.agree(documented, shown[1])

        if _REPEATABLE.match(command):
            try:
                until(agreed)
            except AssertionError:
                raise AssertionError(_difference(block, documented, shown[1])) from None
        else:
            assert agreed(), f"{_difference(block, documented, shown[1])}\nexit code {shown[0]}, documented {code}"

    def _start(self, block: Block, command: str, expected: str) -> None:
        shown = self._state.with_suffix(f".shown{len(self._running)}")
        running = _RunningProgram(block, expected, self._script(command), self._environment(), shown)
        self._running.append(running)
        waiting = [self._ports[port] for port in PORTS if port in command]
        if "webhook-router serve" in command:
            waiting.append(self._ports["8080"])
        until(lambda: running.code is not None or all(_accepts(port) for port in waiting))
        if "webhook-router serve" in command:  # its port accepts before the store knows the rules
            until(lambda: running.code is not None or "serving" in running.output)
        documented = self._actual(expected)
        try:
            until(lambda: running.code is not None or self._names.agree(documented, running.output, part=True))
        except AssertionError:
            raise AssertionError(_difference(block, documented, running.output)) from None
        assert running.code is None, f"{block}: ended with {running.code}:\n{running.output}"

    def _run(self, command: str) -> tuple[int, str]:
        """Run a command. Return its exit code and output."""
        done = subprocess.run(
            ["bash", "-c", self._script(command)],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=PATIENCE_SECONDS,
            check=False,
        )
        return done.returncode, done.stdout

    def _script(self, command: str) -> str:
        """A script that continues with the working directory and variables of the last one."""
        remember = f'{{ declare -p | grep -v "^declare -[a-zA-Z]*r"; printf "cd %q\\n" "$PWD"; }} >{self._state}'
        fast = f'webhook-router() {{ {preloaded().shim} "$@"; }}'
        return f". {self._state}\ntrap '{remember}' EXIT\n{fast}\nset -eo pipefail\n{self._names.into(self._actual(command))}"

    def _environment(self) -> Mapping[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("WEBHOOK_ROUTER")}
        return {
            **kept,
            "PATH": f"{Path(PROGRAM).parent}:{kept['PATH']}",
            "HOME": str(self.folder),
            "COLUMNS": "120",
            "TERM": "dumb",
            "TZ": "UTC",
            "WEBHOOK_ROUTER_LISTEN": f"127.0.0.1:{self._ports['8080']}",
            "WEBHOOK_ROUTER_ADMIN": f"127.0.0.1:{self._ports['8081']}",
            "WEBHOOK_ROUTER_LOG_FORMAT": "text",  # as at a terminal
        }

    def _actual(self, text: str) -> str:
        """A documented command, file or output, with the ports of this run."""
        return re.sub(rf"\b({'|'.join(PORTS)})\b", lambda found: str(self._ports[found[0]]), text)

    def _clone(self) -> None:
        """Make the clone that a reader would have, and the virtual environment of the README."""
        if (self.folder / ".venv").is_symlink():
            return
        for pattern in ("*.yaml", "*.sh", "LICENSE", "contrib/**/*"):
            for path in ROOT.glob(pattern):
                if path.is_file():
                    copy = self.folder / path.relative_to(ROOT)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copy(path, copy)
        example = self.folder / "rules.example.yaml"
        example.write_text(self._actual(example.read_text()))
        (self.folder / ".venv").symlink_to(sys.prefix)


class _RunningProgram:
    """A program in a terminal of its own, and its output so far."""

    def __init__(self, block: Block, expected: str, script: str, environment: Mapping[str, str], shown: Path):
        self.block = block
        self.expected = expected
        self._shown = shown
        with shown.open("wb") as terminal:
            self._process = subprocess.Popen(
                ["bash", "-c", script],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=terminal,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C signals the whole process group of a terminal
            )

    @property
    def output(self) -> str:
        """Its output so far."""
        return self._shown.read_text(errors="replace")

    @property
    def code(self) -> int | None:
        """Its exit code, or None while it runs."""
        return self._process.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to its process group, and wait for its end."""
        if self.code is None:
            os.killpg(self._process.pid, number)
        self._process.wait(PATIENCE_SECONDS)


def _difference(block: Block, documented: str, shown: str) -> str:
    return f"{block}: documented is\n{documented}\nbut this was shown:\n{shown}"


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True

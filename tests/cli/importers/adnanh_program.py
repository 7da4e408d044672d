"""Runs adnanh/webhook itself, where it is installed (Debian: `webhook`)."""

import http.client
import json
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.cli.importers.generated_hooks import Request
from tests.conftest import until
from tests.free_port import free_port

ADNANH = shutil.which("webhook")
#: A program that prints its arguments, its variables and its file.
SHOW = """#!/bin/sh
printf 'RUN'
for argument; do printf '[%s]' "$argument"; done
printf '<%s><%s>' "${HOOK_A-}" "${HOOK_B-}"
if [ -n "${HOOK_FILE-}" ]; then od -An -tx1 -v "$HOOK_FILE"; fi
"""


def write_show(folder: Path) -> Path:
    """Write the program that the hooks run into a folder."""
    folder.mkdir(exist_ok=True)
    path = folder / "show.sh"
    path.write_text(SHOW)
    path.chmod(0o755)
    return path


@contextmanager
def running_adnanh(hooks: Sequence[dict[str, Any]], folder: Path) -> Iterator[int]:
    """Run adnanh/webhook with these hooks. Yields its port."""
    assert ADNANH is not None
    file, port = folder / "hooks.json", free_port()
    file.write_text(json.dumps(hooks))
    command = [ADNANH, "-hooks", str(file), "-ip", "127.0.0.1", "-port", str(port)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env={**os.environ})
    try:
        until(lambda: _answers(port))
        yield port
    finally:
        process.kill()
        process.wait()


def _answers(port: int) -> bool:
    try:
        return ask(port, Request("none"))[0] > 0
    except OSError:
        return False


def ask(port: int, request: Request) -> tuple[int, str]:
    """Send a request. Return status and body of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    query = f"?{request.query}" if request.query else ""
    connection.request(request.method, f"/hooks/{request.hook}{query}", request.body.encode(), dict(request.headers))
    with connection.getresponse() as response:
        status, body = response.status, response.read().decode()
    connection.close()
    return status, body


def answer(port: int, request: Request) -> str | None:
    """Send a request. Return what the hook's program printed, or None if the hook was not triggered."""
    status, body = ask(port, request)
    return body if status == 200 and body.startswith("RUN") else None

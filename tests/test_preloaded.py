"""The process that forks the program for tests survives broken requests and callers that leave."""

import os
import socket
import subprocess
from pathlib import Path

import pytest

from tests import preloaded_client
from tests.conftest import forked_program, preloaded


def _version() -> str:
    return subprocess.run(
        [forked_program(), "--version"], capture_output=True, text=True, timeout=60, check=True
    ).stdout


@pytest.mark.parametrize("sent", [b"", b"\x00\x00", b"\x00\x00\x00\x05abc", b"\x00\x00\x00\x03abc"])
def test_an_incomplete_request_stops_no_other_daemon(sent: bytes) -> None:
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(preloaded().path)
        connection.sendall(sent)

    assert _version().startswith("webhook-router, version ")


def test_a_caller_that_leaves_before_the_answer_stops_no_other_daemon() -> None:
    with Path(os.devnull).open("r+b") as null:
        streams = [null.fileno()] * 3
        for _ in range(5):
            preloaded_client.ask(
                preloaded().path, ["webhook-router", "--version"], "/", dict(os.environ), streams
            ).close()

    assert _version().startswith("webhook-router, version ")

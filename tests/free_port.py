"""Ports of this machine for servers that tests start."""

import random
import socket


def free_port() -> int:
    """A port without a listener, reserved for this process until it ends.

    It is below the ports that the kernel assigns. An abstract socket with the port in its name reserves it, so other test
    processes on this machine skip it, also between this call and its use.
    """
    while True:
        port = random.SystemRandom().randrange(20_000, 32_000)
        reservation = socket.socket(socket.AF_UNIX)
        try:
            reservation.bind(f"\0webhook-router-tests-{port}")
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            reservation.close()
            continue
        reservation.detach()  # open until the process ends
        return port

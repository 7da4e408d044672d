"""A WSGI application (PEP 3333) as the handler of our own server, which can speak TLS.

The application may block, so its server calls the handler in worker threads only (`inline_bytes=-1`).
"""

import io
import sys
from collections.abc import Callable
from typing import Any

from router.domain.reply import Reply
from router.http.contract import Request
from router.http.wsgi import Application, Environ


def wsgi_handler(app: Application) -> Callable[[Request], Reply]:
    """Any number of threads may call it."""

    def handle(request: Request) -> Reply:
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, headers: list[tuple[str, str]], *_: Any) -> None:
            started.append((status, headers))

        body = app(_environ(request), start_response)
        try:
            content = b"".join(body)
        finally:
            close = getattr(body, "close", None)
            if close is not None:
                close()
        return _reply(request, *started[-1], content)

    return handle


def _environ(request: Request) -> Environ:
    environ: Environ = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": request.path.encode().decode("latin-1"),
        "QUERY_STRING": request.query,
        "SERVER_PROTOCOL": "HTTP/1.1",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "443",
        "REMOTE_ADDR": request.ip,
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "https",
        "wsgi.input": io.BytesIO(request.body),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "CONTENT_LENGTH": str(len(request.body)),
    }
    for name, value in request.headers:
        key = name.upper().replace("-", "_")
        if key == "CONTENT_TYPE":
            environ[key] = value
        elif key not in ("CONTENT_LENGTH", "TRANSFER_ENCODING"):
            key = f"HTTP_{key}"
            environ[key] = f"{environ[key]}, {value}" if key in environ else value
    return environ


def _reply(request: Request, status: str, headers: list[tuple[str, str]], content: bytes) -> Reply:
    given = {name.lower(): value for name, value in headers}
    if request.method == "HEAD":
        # only the length is needed: the server sends no body for HEAD
        content = bytes(int(given.get("content-length", "0")))
    kept = tuple((name, value) for name, value in headers if name.lower() not in ("content-length", "content-type"))
    return Reply(int(status.split(" ", 1)[0]), content, given.get("content-type"), kept)

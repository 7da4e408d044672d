"""A reply as bytes."""

import functools
from email.utils import formatdate

from router.domain.reply import Reply


def serialize(reply: Reply, version: str, *, keep_alive: bool, head_only: bool, now: float) -> bytes:
    """Head and body; now is Unix time, s."""
    status = reply.status
    has_body = status >= 200 and status not in (204, 304)
    lines = [f"HTTP/{version} {reply.status_line}\r\nDate: {_date(int(now))}\r\n"]
    if reply.content_type is not None:
        lines.append(f"Content-Type: {reply.content_type}\r\n")
    if has_body:
        lines.append(f"Content-Length: {len(reply.body)}\r\n")
    if not keep_alive:
        lines.append("Connection: close\r\n")
    elif version == "1.0":
        lines.append("Connection: Keep-Alive\r\n")
    for name, value in reply.headers:
        lines.append(f"{name}: {value}\r\n")
    lines.append("\r\n")
    head = "".join(lines).encode("latin-1")
    return head + reply.body if has_body and not head_only else head


@functools.lru_cache(maxsize=2)
def _date(second: int) -> str:
    return formatdate(second, usegmt=True)

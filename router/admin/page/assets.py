"""The style sheet, the script and the icon. Their URLs hold their hash, so browsers may cache them for ever."""

import hashlib
from functools import cache
from importlib import resources

from router.domain.reply import Reply

_TYPES = {
    "style.css": "text/css; charset=utf-8",
    "script.js": "text/javascript; charset=utf-8",
    "icon.svg": "image/svg+xml",
}
_KEPT = ("Cache-Control", "public, max-age=31536000, immutable")


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    """By address: content and media type."""
    found = {}
    for name, media_type in _TYPES.items():
        content = resources.files("router.admin.page").joinpath("assets", name).read_bytes()
        stem, _, ending = name.partition(".")
        found[f"/assets/{stem}.{hashlib.sha256(content).hexdigest()[:16]}.{ending}"] = (content, media_type)
    return found


@cache
def addresses() -> dict[str, str]:
    """By file name: where it is served."""
    return {f"{address.split('/')[-1].split('.')[0]}.{address.rsplit('.', 1)[1]}": address for address in _files()}


def asset(path: str) -> Reply | None:
    """The file at an address."""
    found = _files().get(path)
    if found is None:
        return None
    content, media_type = found
    return Reply(200, content, media_type, (_KEPT,))

"""Turns the result of a view into HTML. Every value is escaped: text of senders is never markup."""

import json
from datetime import UTC, datetime
from functools import cache
from typing import Any
from urllib.parse import urlencode

import jinja2
from markupsafe import Markup

from router.admin.page.assets import addresses
from router.operate.wait_words import short_reason, skip_sentence
from router.operate.words import counted, size, span

SHOWN_CHARACTERS = 240  #: of a value beside a condition


def render(template: str, **given: Any) -> str:
    """A page from its template."""
    return _environment().get_template(template).render(assets=addresses(), **given)


@cache
def _environment() -> jinja2.Environment:
    made = jinja2.Environment(
        loader=jinja2.PackageLoader("router.admin.page"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "span": span,
        "size": size,
        "time": time_of,
        "clean": clean,
        "rate": rate_of,
        "json": as_json,
        "quoted": quoted,
    }
    made.globals |= {"counted": counted, "address": address, "reason": short_reason, "skipped": skip_sentence}
    return made


def address(path: str, **fields: Any) -> str:
    """A path with a query of the fields that are not empty."""
    given = {name: value for name, value in fields.items() if value}
    return f"{path}?{urlencode(given, doseq=True)}" if given else path


def time_of(at: int | None) -> Markup | str:
    """A time (ms) in UTC. The script shows it in the browser's time zone."""
    if at is None:
        return "-"
    written = datetime.fromtimestamp(at / 1000, UTC)
    return Markup('<time datetime="{}">{} UTC</time>').format(
        written.isoformat(timespec="milliseconds"), written.strftime("%Y-%m-%d %H:%M:%S")
    )


def as_json(value: Any) -> str:
    """A value of the rules or a payload in few characters."""
    text = clean(json.dumps(value, ensure_ascii=False, default=str))
    return text if len(text) <= SHOWN_CHARACTERS else text[: SHOWN_CHARACTERS - 1] + "…"


def quoted(text: str) -> str:
    """A text of a payload in JSON's quotes."""
    return clean(json.dumps(text, ensure_ascii=False))


def rate_of(per_second: float) -> str:
    """A rate as the rules write it, such as 50/s or 10/m."""
    units = (("s", 1), ("m", 60), ("h", 3600))
    unit, seconds = next((one for one in units if per_second * one[1] >= 1), units[-1])
    return f"{per_second * seconds:g}/{unit}"


def clean(text: str) -> str:
    """The text with control and direction characters escaped, so that none of them can reverse the text beside it."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else c.encode("unicode_escape").decode() for c in text)

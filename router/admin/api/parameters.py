"""Query parameters, each with its parser and its schema. Unknown and repeated ones are refused."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from router.admin.api.replies import problem_reply
from router.domain.deliveries import State
from router.domain.nearest_word import did_you_mean, shortened
from router.domain.reply import Reply
from router.operate.parse_time import parse_time

LIMIT, MAX_LIMIT = 50, 500  #: entries of a list, as in the commands; the maximum is one page of the store
_MAX_FIELDS = 200  #: of a query; repeated states need a dozen

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One query parameter."""

    name: str
    description: str
    schema: Mapping[str, Any]
    read: Callable[[str, int], Any]  #: parses its text at `now` (ms); raises ValueError with cause and cure
    default: Any = None
    repeatable: bool = False  #: its value is then a tuple


def read_query(query: str, parameters: Sequence[Parameter], now: int) -> Values | Reply:
    """The values of all parameters, times in ms; or a reply that says what is wrong."""
    try:
        pairs = parse_qsl(query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:
        return problem_reply(
            400, f"the query is not UTF-8 text in percent-encoding, or has more than {_MAX_FIELDS} parameters"
        )
    known = {parameter.name: parameter for parameter in parameters}
    texts_by_name: dict[str, list[str]] = {}
    for name, value in pairs:
        if name not in known:
            short = shortened(name)
            cure = did_you_mean(name, known) or (f"; known: {', '.join(known)}" if known else "; this path takes none")
            return problem_reply(400, f'unknown parameter "{short}"{cure}', parameter=short)
        texts_by_name.setdefault(name, []).append(value)
    values: dict[str, Any] = {}
    for name, parameter in known.items():
        texts = texts_by_name.get(name, [])
        if len(texts) > 1 and not parameter.repeatable:
            return problem_reply(400, f"parameter {name}: given {len(texts)} times; give it once", parameter=name)
        try:
            found = tuple(parameter.read(text, now) for text in texts)
        except ValueError as error:
            return problem_reply(400, f"parameter {name}: {error}", parameter=name)
        values[name] = found if parameter.repeatable else found[0] if found else parameter.default
    return values


def _text(text: str, _: int) -> str:
    return text


def read_time(text: str, now: int) -> int:
    """A time (ms): ago, or ISO 8601. Raises ValueError."""
    try:
        return parse_time(text, now)
    except ValueError as error:
        plus = "; write + as %2B" if " " in text else ""
        raise ValueError(f"{error}{plus}") from None


def _limit(text: str, _: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= MAX_LIMIT):
        raise ValueError(f"expected a whole number from 1 to {MAX_LIMIT}")
    return int(text)


def _state(text: str, _: int) -> State:
    if text not in list(State):
        raise ValueError(f"expected one of {', '.join(State)}")
    return State(text)


def _flag(text: str, _: int) -> bool:
    if text not in ("true", "false"):
        raise ValueError("expected true or false")
    return text == "true"


def _header(text: str, _: int) -> tuple[str, str]:
    name, colon, value = text.partition(":")
    if not colon or not name.strip():
        raise ValueError("expected NAME: VALUE")
    return name.strip().lower(), value.strip()


def text(name: str, description: str) -> Parameter:
    """A parameter that takes any text."""
    return Parameter(name, description, {"type": "string"}, _text)


def flag(name: str, description: str) -> Parameter:
    """A parameter that is true or false; false by default."""
    return Parameter(name, description, {"type": "boolean", "default": False}, _flag, default=False)


TIME_FORM = "30m, 2h or 3d (ago), or an ISO 8601 time, local to the daemon unless it names its zone"
SINCE = Parameter("since", f"Only those since then: {TIME_FORM}.", {"type": "string"}, read_time)
UNTIL = Parameter("until", f"Only those before then: {TIME_FORM}.", {"type": "string"}, read_time)
CURSOR = text("cursor", "Where to continue: the `next` of an answer.")
LIMITED = Parameter(
    "limit",
    "The largest number of entries.",
    {"type": "integer", "minimum": 1, "maximum": MAX_LIMIT, "default": LIMIT},
    _limit,
    default=LIMIT,
)
RULE = text("rule", "Only those that this rule matched, or that have a delivery of it.")
UNMATCHED = flag("unmatched", "Only those that no rule matched.")
PROVIDER_ID = text("provider_id", "Only the one with this id of its provider, the id that dedupe compares.")
HEADERS = Parameter(
    "header",
    "Only those of events with this header, as `NAME: VALUE`; repeatable. Looks at a bounded number, see `scanned`.",
    {"type": "array", "items": {"type": "string"}},
    _header,
    repeatable=True,
)
WHERE = Parameter(
    "where",
    "Only those of events that fit this condition, as in `match`: `$.ref: main`; repeatable. Looks at "
    "a bounded number, see `scanned`.",
    {"type": "array", "items": {"type": "string"}},
    _text,
    repeatable=True,
)
STATES = Parameter(
    "state",
    "Only those in this state; repeatable.",
    {"type": "array", "items": {"$ref": "#/components/schemas/State"}},
    _state,
    repeatable=True,
)

SEARCHED = (PROVIDER_ID, HEADERS, WHERE, SINCE, UNTIL, LIMITED, CURSOR)
"""Of the lists that can be searched by header and payload."""

"""A second, naive implementation of the rule language, with which the compiled conditions are compared.

It shares only the class of events with the router. It follows paths by jsonpath-ng's `find`, matches regular
expressions by Python's `re`, and compiles nothing. A verdict is true or false, or None if a condition can't be judged.
"""

import copy
import datetime
import ipaddress
import json
import re
from collections.abc import Iterable
from typing import Any

from jsonpath_ng.ext.parser import parse

from router.domain.events import Event, ParsedEvent

Result = bool | None


def holds(match: Any, parsed: ParsedEvent) -> Result:
    """Whether a `match` mapping holds."""
    return _all(_entry(key, asked, parsed) for key, asked in match.items())


def _all(verdicts: Iterable[Result]) -> Result:
    found = list(verdicts)
    return False if False in found else None if None in found else True


def _any(verdicts: Iterable[Result]) -> Result:
    return _not(_all(_not(verdict) for verdict in verdicts))


def _not(verdict: Result) -> Result:
    return None if verdict is None else not verdict


def _entry(key: str, asked: Any, parsed: ParsedEvent) -> Result:
    if key == "not":
        return _not(holds(asked, parsed))
    if key in ("all", "any", "none"):
        verdicts = [holds(match, parsed) for match in asked]
        if key == "all":
            return _all(verdicts)
        return _any(verdicts) if key == "any" else _not(_any(verdicts))
    if key in ("headers", "query", "params"):
        return _all(_entry(f"{key}.{name}", inner, parsed) for name, inner in asked.items())
    try:
        values = _values(key, parsed)
    except Exception:  # noqa: BLE001 - the library may raise anything
        return None
    decimals = parsed.form if key.startswith(("$", "item")) else key.startswith(("headers.", "query.", "params."))
    return _field(values, asked, parsed, fold=False, decimals=decimals)


def places(for_each: str, match: Any, parsed: ParsedEvent) -> list[str] | None:
    """The places of the items for which a `match` mapping holds, or None if it can't be judged."""
    of_event = {key: asked for key, asked in match.items() if "item" not in json.dumps([key, asked])}
    of_item = {key: asked for key, asked in match.items() if key not in of_event}
    verdict = holds(of_event, parsed)
    if verdict is not True:
        return None if verdict is None else []
    verdicts: dict[str, Result] = {}
    for found in parse(for_each).find(parsed.payload):
        with_item = copy.copy(parsed)
        with_item.__dict__["item"] = found.value
        place = re.sub(r"\.('[^']*')", r"[\1]", f"$.{found.full_path}").replace(".[", "[")
        verdicts[place] = holds(of_item, with_item)
    if None in verdicts.values():
        return None
    return [place for place, holds_there in verdicts.items() if holds_there]


def _values(key: str, parsed: ParsedEvent) -> list[Any]:
    if key.startswith("item"):
        return select("$" + key.removeprefix("item"), parsed.__dict__["item"])
    if key.startswith("$"):
        return select(key, parsed.payload)
    area, _, name = key.partition(".")
    if area == "headers":
        return [value for given, value in parsed.event.headers if given.lower() == name.lower()]
    if area == "query":
        return list(parsed.query.get(name, []))
    if area == "params":
        return [value for given, value in (parsed.params or {}).items() if given == name]
    if key in ("time", "weekday"):
        received = datetime.datetime.fromtimestamp(parsed.event.received_at // 1000, datetime.UTC)
        return [f"{received:%H:%M}" if key == "time" else f"{received:%a}".lower()]
    return [getattr(parsed.event, key)]


def select(path: str, payload: Any) -> list[Any]:
    """The values that a path finds by the library, except for non-ASCII names and a `!(…)` in the first filter."""
    path = re.sub(r"\.([^\W\d]\w*)", lambda found: f"['{found[1]}']" if not found[1].isascii() else found[0], path)
    if "!(" not in path:
        return [found.value for found in parse(path).find(payload)]
    begin, _, rest = path.partition("[?(")
    expression, _, after = rest.partition(")]")
    found: list[Any] = []
    for value in select(begin, payload):
        items = value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else []
        passing = [item for item in items if passes(expression, item, payload)]
        found += [one for item in passing for one in select("$" + after, item)]
    return found


def passes(expression: str, item: Any, payload: Any) -> bool:
    """Whether an item passes a filter. The library judges the parts without `||`, `&&`, `!` and parentheses."""
    expression = expression.strip()
    for word, combine in (("||", any), ("&&", all)):
        parts = _outside(expression, word)
        if len(parts) > 1:
            return combine([passes(part, item, payload) for part in parts])
    if expression.startswith("!") and expression[1:].strip().startswith("("):
        return not passes(expression[1:], item, payload)
    if expression.startswith("("):
        return passes(expression[1:-1], item, payload)
    if "$" in expression:  # one document with the item and the root, for which `$` stands
        return bool(
            parse("$.item[?(" + expression.replace("$", "$.root") + ")]").find({"item": [item], "root": payload})
        )
    return bool(parse(f"$[?({expression})]").find([item]))


def _outside(text: str, word: str) -> list[str]:
    """Split a text at a word, except inside parentheses and quotes."""
    parts, depth, quoted, start = [], 0, False, 0
    for at, character in enumerate(text):
        quoted ^= character == "'"
        depth += 0 if quoted else (character == "(") - (character == ")")
        if not quoted and not depth and text.startswith(word, at):
            parts.append(text[start:at])
            start = at + len(word)
    return [*parts, text[start:]]


def _field(values: list[Any], asked: Any, parsed: ParsedEvent, *, fold: bool, decimals: bool) -> Result:
    if isinstance(asked, list):
        return _any(_field(values, one, parsed, fold=fold, decimals=decimals) for one in asked)
    if not isinstance(asked, dict):
        return any(_equal(value, asked, fold=fold) for value in values)
    fold = asked.get("ignore_case", fold)
    verdicts: list[Result] = []
    one_value = {word: operand for word, operand in asked.items() if word not in ("not", "every", "exists")}
    one_value.pop("ignore_case", None)
    if one_value:
        verdicts.append(
            _any(
                _all(
                    _one(word, operand, value, parsed, fold=fold, decimals=decimals)
                    for word, operand in one_value.items()
                )
                for value in values
            )
        )
    if "exists" in asked:
        verdicts.append(bool(values) is asked["exists"])
    if "not" in asked:
        verdicts.append(_not(_field(values, asked["not"], parsed, fold=fold, decimals=decimals)))
    if "every" in asked:
        each = [_field([value], asked["every"], parsed, fold=fold, decimals=decimals) for value in values]
        verdicts.append(_all([bool(values), *each]))
    return _all(verdicts)


def _one(word: str, operand: Any, value: Any, parsed: ParsedEvent, *, fold: bool, decimals: bool) -> Result:
    if word == "equals":
        return _equal(value, operand, fold=fold)
    if word == "in":
        return any(_equal(value, one, fold=fold) for one in operand)
    if word in LISTED and isinstance(operand, list):
        return _any(_one(word, one, value, parsed, fold=fold, decimals=decimals) for one in operand)
    if word == "equals_field":
        try:
            others = _values(operand, parsed)
        except Exception:  # noqa: BLE001 - the library may raise anything
            return None
        return any(_same(value, other) for other in others)
    if word == "age":
        then = _seconds(value, decimals=decimals)
        if then is None:
            return False
        seconds = parsed.event.received_at / 1000 - then
        return all(_compare(inner, seconds, _UNITS[bound[-1]] * int(bound[:-1])) for inner, bound in operand.items())
    if word == "contains":
        if isinstance(value, list):
            return any(_equal(item, operand, fold=fold) for item in value)
        return isinstance(value, str) and isinstance(operand, str) and _folded(operand, fold) in _folded(value, fold)
    if word in ("gt", "gte", "lt", "lte") and isinstance(operand, str):
        return isinstance(value, str) and _compare(word, [*map(ord, value)], [*map(ord, operand)])
    if word in ("gt", "gte", "lt", "lte"):
        if decimals and isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?(e\d+)?", value, re.ASCII):
            value = float(value)
        if isinstance(value, bool) or not isinstance(value, int | float):
            return False
        return _compare(word, value, operand)
    if word == "length":
        if not isinstance(value, str | list | dict):
            return False
        asked = operand if isinstance(operand, dict) else {"equals": operand}
        return _all(
            _one(inner, bound, len(value), parsed, fold=False, decimals=False) for inner, bound in asked.items()
        )
    if word == "elem":
        nothing = Event("", "", "", "", "", (), b"", "", parsed.event.received_at)
        return holds(operand, ParsedEvent(nothing, value, decimals))
    if not isinstance(value, str):
        return False
    if word == "prefix":
        return _folded(value, fold)[: len(_folded(operand, fold))] == _folded(operand, fold)
    if word == "suffix":
        return _folded(value, fold).endswith(_folded(operand, fold))
    if word == "regex":
        return re.search(operand.replace(r"\z", r"\Z"), value, re.IGNORECASE if fold else 0) is not None
    if word == "glob":
        return _globs(_folded(operand, fold), _folded(value, fold))
    if word == "cidr":
        return _within(value, operand)
    raise AssertionError(word)


def _compare(word: str, value: Any, bound: Any) -> bool:
    return bool({"gt": value > bound, "gte": value >= bound, "lt": value < bound, "lte": value <= bound}[word])


def _seconds(value: Any, *, decimals: bool) -> float | None:
    """The time that a value means, in Unix seconds."""
    if decimals and isinstance(value, str) and re.fullmatch(r"[-+]?\d+(\.\d+)?(e\d+)?", value, re.ASCII):
        value = float(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = value / 1000 if abs(value) >= 1e11 else value
        return seconds if abs(seconds) < 253402300800 else None
    if not isinstance(value, str):
        return None
    form = r"(\d{4}-\d\d-\d\d)[T ](\d\d:\d\d:\d\d)(?:\.(\d+))?(Z| UTC|[+-]\d\d:\d\d)"
    found = re.fullmatch(form, value)
    if found is None:
        return None
    zone = found[4] if found[4][0] in "+-" else "+00:00"
    whole = datetime.datetime.strptime(f"{found[1]} {found[2]} {zone}", "%Y-%m-%d %H:%M:%S %z")
    return whole.timestamp() + float(f"0.{found[3] or 0}")


_UNITS = {"s": 1, "m": 60, "h": 3600}
LISTED = ("prefix", "suffix", "contains", "regex", "glob", "cidr")


def _folded(text: str, fold: bool) -> str:
    return text.casefold() if fold else text


def _equal(value: Any, wanted: Any, *, fold: bool) -> bool:
    if isinstance(value, str) and isinstance(wanted, str):
        return _folded(value, fold) == _folded(wanted, fold)
    return _same(value, wanted)


def _same(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return value == wanted
    if type(value) is not type(wanted):
        return False
    if isinstance(value, list):
        return len(value) == len(wanted) and all(_same(a, b) for a, b in zip(value, wanted, strict=True))
    if isinstance(value, dict):
        return set(value) == set(wanted) and all(_same(value[key], wanted[key]) for key in value)
    return bool(value == wanted)


def _globs(glob: str, text: str) -> bool:
    if not glob:
        return not text
    if glob[0] == "*":
        return any(_globs(glob[1:], text[i:]) for i in range(len(text) + 1))
    return bool(text) and glob[0] in ("?", text[0]) and _globs(glob[1:], text[1:])


def _within(value: str, network: str) -> bool:
    try:
        address = ipaddress.ip_address(value)
    except ValueError:
        return False
    wanted = ipaddress.ip_network(network)
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped:
        address = address.ipv4_mapped
    if isinstance(wanted, ipaddress.IPv6Network) and wanted.network_address.ipv4_mapped and wanted.prefixlen >= 96:
        wanted = ipaddress.ip_network((wanted.network_address.ipv4_mapped, wanted.prefixlen - 96))
    return address.version == wanted.version and address in wanted

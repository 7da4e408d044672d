"""Suggests a cure for an unknown word: operators, fields and actions as other tools name them.

No suggestion may mean the opposite of the word. For a negated word, the suggestion contains `not` or is left out.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from router.domain.nearest_word import nearest, shortened

_EQUAL = ("eq", "equal", "equalto", "is", "same", "sameas", "=", "==", "===", "value")
_OPERATORS: dict[str, tuple[str, ...]] = {
    "equals": _EQUAL,
    "in": ("any", "anyof", "oneof", "isin", "inlist", "inarray", "among", "list", "values"),
    "prefix": ("startswith", "startwith", "starts", "start", "beginswith", "begins", "hasprefix"),
    "suffix": ("endswith", "endwith", "ends", "end", "hassuffix"),
    "contains": ("include", "includes", "contain", "has", "hasitem", "containsitem", "substring"),
    "regex": ("matches", "match", "pattern", "re", "re2", "regexp", "matchesregex", "rlike", "=~", "~", "~="),
    "glob": ("like", "wildcard", "fnmatch"),
    "gt": (">", "greater", "greaterthan", "morethan", "above", "over", "isgreaterthan"),
    "gte": (">=", "ge", "greaterthanorequal", "greaterthanorequals", "greaterthanequals", "greaterorequal", "atleast",
            "min", "minimum"),
    "lt": ("<", "less", "lessthan", "below", "under", "islessthan"),
    "lte": ("<=", "le", "lessthanorequal", "lessthanorequals", "lessthanequals", "lessorequal", "atmost",
            "max", "maximum"),
    "cidr": ("subnet", "network", "ipin", "ipmatch", "inrange", "insubnet", "ipaddress"),
    "length": ("len", "size", "count", "strlen"),
    "exists": ("present", "exist", "ispresent", "defined", "isdefined", "isset", "hasvalue"),
    "not": ("without",),
    "every": ("all", "allof", "each"),
    "elem": ("some", "element", "elements", "elemmatch", "item", "items", "where"),
    "equals_field": ("eqfield", "equalsfield", "samefield", "fieldequals", "equalfield"),
    "age": ("olderthan", "newerthan", "youngerthan", "ago"),
    "ignore_case": ("icase", "ignorecase", "nocase", "caseinsensitive", "insensitive"),
}  # fmt: skip

_CURES: dict[str, tuple[str, ...]] = {
    "exists: false": ("missing", "absent", "undefined", "isabsent", "isundefined", "ismissing", "unset"),
    "{gte: …, lte: …}": ("between", "range", "within"),
    "null (equals: null)": ("null", "isnull", "none", "isnone", "nil", "isnil"),
    "true (equals: true)": ("true", "istrue"),
    "false (equals: false)": ("false", "isfalse"),
    "length: 0": ("empty", "isempty", "blank", "isblank"),
    "length: {gte: …}": ("minlength", "minsize", "minlen"),
    "length: {lte: …}": ("maxlength", "maxsize", "maxlen"),
    "{equals: …, ignore_case: true}": ("iequals", "ieq", "iexact", "equalsignorecase"),
    "{contains: …, ignore_case: true}": ("icontains", "containsignorecase"),
    "{prefix: …, ignore_case: true}": ("istartswith",),
    "{suffix: …, ignore_case: true}": ("iendswith",),
    "{regex: …, ignore_case: true}": ("iregex", "imatches"),
    "{glob: …, ignore_case: true}": ("ilike",),
    "nothing for it (case counts unless ignore_case: true is set)": ("casesensitive",),
    "not: {…} around the others": ("nor", "noneof"),
    "a list of operator maps, any of which may hold": ("or",),
    "several operators in one map: all must hold": ("and",),
    "the value itself: 5 is a number, \"5\" a text, true a boolean": ("type", "typeof", "istype", "kind"),
}  # fmt: skip

_SYNONYMS = {word: name for name, words in _OPERATORS.items() for word in words}
_WORDS = {word: cure for cure, words in _CURES.items() for word in words}
_NEGATED = re.compile(r"(?:isnt|doesnt|dont|isnot|doesnot|donot|not|non|no|never|un|in|n|!)(.+)|(.+?)(?:isnot|not)")
_UNEQUAL = frozenset({"<>", "><", "!=", "!==", "/=", "different", "differs", "other", "except", "unless", "distinct",
                      "ne", "isnt", "isnot"})  # fmt: skip
_EXCLUDES = frozenset({"exclude", "excludes", "excluding", "lacks", "reject", "rejects"})


def unknown_operator(name: str, words: Collection[str]) -> str:
    """The message for an operator that is not among `words`."""
    plain = re.sub(r"[^\w<>=!~/]|_", "", name.lower())
    cure = _cure(plain, words)
    return f'unknown operator "{shortened(name)}"{cure or "; known: " + ", ".join(sorted(words))}'


def _cure(plain: str, words: Collection[str]) -> str:
    if plain in _WORDS:
        return f"; write {_WORDS[plain]}"
    if plain in _UNEQUAL:
        return '; did you mean "not"?'
    found = _known(plain, words)
    if found:
        return f'; did you mean "{found}"?'
    if plain in _EXCLUDES:
        return "; write not: {contains: …}"
    negated = _NEGATED.fullmatch(plain)
    if negated:
        rest = negated[1] or negated[2]
        return _negation(rest, _known(rest, words) or _near(rest, words))
    near = _near(plain, words)
    return f'; did you mean "{near}"?' if near else ""


def _negation(rest: str, base: str) -> str:
    """The suggestion for a negated word: `rest` is the word, `base` the operator it means."""
    if base == "equals":
        return '; did you mean "not"?'
    if base == "in":
        return "; write not: [ … ]"
    if base == "exists":
        return "; write exists: false"
    if rest in _WORDS:
        return f"; write not: {{…}} around {_WORDS[rest]}" if ":" not in _WORDS[rest] else _opposite(rest)
    return f"; write not: {{{base}: …}}" if base not in ("", "not") else ""


def _opposite(rest: str) -> str:
    """The suggestion for the negation of a word in _CURES whose cure is an operator with its operand."""
    cure = _WORDS[rest]
    if cure.startswith("exists"):
        return "; write exists: true"
    operand = cure.partition(" (")[0]
    return f"; write not: {operand if operand.startswith('{') or ':' not in operand else '{' + operand + '}'}"


def _known(plain: str, words: Collection[str]) -> str:
    """The operator that the word is a synonym of; empty if there is none."""
    spelled = {word.replace("_", ""): word for word in words}
    return spelled.get(plain) or _SYNONYMS.get(plain, "")


def _near(plain: str, words: Collection[str]) -> str:
    """The operator of the most similar word; empty for short words, which are similar to too many."""
    if len(plain) < 4:
        return ""
    spelled = {
        **{word: name for word, name in _SYNONYMS.items() if len(word) > 3},
        **{word.replace("_", ""): word for word in words},
    }
    near = nearest(plain, list(spelled), 0.75)
    return spelled[near] if near else ""


_FIELDS: dict[str, tuple[str, ...]] = {
    "ip": ("remote_addr", "remote_ip", "client_ip", "source_ip", "sender_ip", "address", "remote_address"),
    "path": ("url", "uri", "route", "endpoint", "request_path"),
    "method": ("verb", "http_method", "request_method"),
    "source": ("sources", "src", "origin"),
    "any": ("or", "any_of", "anyof", "one_of", "oneof"),
    "all": ("and", "all_of", "allof", "every"),
    "none": ("nor", "none_of", "noneof"),
}
_OF_FIELD = {word: name for name, words in _FIELDS.items() for word in words}
_HEADER = re.compile(r"[A-Za-z][A-Za-z0-9]*(?:-[A-Za-z0-9]+)+")
_TIMES = frozenset({"day", "date", "hour", "now", "received_at", "timestamp"})


def unknown_field(text: str, fields: Collection[str]) -> str:
    """The message for an unknown field, with the nearest known one or the probable JSONPath."""
    text = shortened(text)
    area, dot, name = text.partition(".")
    shown = f'unknown field "{shortened(text)}"'
    in_payload = f'a field of the payload is a JSONPath: "$.{shortened(text)}"'
    if area == "header" and dot:
        return f'{shown}; did you mean "headers.{name}"?'
    if area in ("param", "args", "path") and dot:
        return f'{shown}; a query parameter is "query.{name}", a named part of the source\'s path "params.{name}"'
    if area in ("payload", "body", "json", "event", "data") and dot:
        return f'{shown}; a field of the payload is a JSONPath: "$.{name}"'
    if text in ("payload", "body", "json"):
        return f'{shown}; the whole payload is "$", and a field of it "$.name"'
    if text in ("headers", "query", "params"):
        return f'"{text}" is not the name of a {text.rstrip("s")}; write {text}.<name>'
    if area in ("headers", "query", "params"):
        return f'"{text}" is not the name of a {area.rstrip("s")}; write {area}.<name>'
    if text.lower() in _TIMES:
        return f'{shown}; "time" ("09:30") and "weekday" (mon) say when the event was received; {in_payload}'
    if text.lower() in _OF_FIELD:
        return f'{shown}; did you mean "{_OF_FIELD[text.lower()]}"? Else {in_payload}'
    if _HEADER.fullmatch(text):
        return f'{shown}; a header is "headers.{text}", and {in_payload}'
    near = nearest(text, [*fields], 0.7)
    if near:
        return f'{shown}; did you mean "{near}"? Else {in_payload}'
    return f"{shown}; {in_payload}"


def unknown_action(word: str, hints: Iterable[Mapping[str, tuple[str, ...]]]) -> str | None:
    """The message for another tool's action, from the hints of the action types; empty if no type knows the word."""
    plain = re.sub(r"[\s_.-]", "", word.lower())
    cure = next((cure for one in hints for cure, words in one.items() if plain in words), None)
    return None if cure is None else f'unknown action "{shortened(word)}"; {cure}'

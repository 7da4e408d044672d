"""The values that parameters name: as a field of conditions, and as a template."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from router.cli.importers.adnanh.hooks import Hook, Parameter
from router.cli.importers.adnanh.notes import CantCarry
from router.domain.credentials import CREDENTIALS

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_RESERVED = ("where", "wherenot")
_QUERY = ("url", "query")
_ENTIRE = {"entire-payload": "payload", "entire-headers": "headers", "entire-query": "query"}
_HEADER_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^`|~-]+")
BODY = "raw-request-body"


@dataclass(frozen=True, slots=True)
class HookValues:
    """How the parameters of one hook are read here."""

    json_field: str | None  #: the form field whose JSON is the payload
    is_text: bool  #: whether the body is read as text, since the hook reads only the raw body
    is_xml: bool

    @classmethod
    def of(cls, hook: Hook) -> "HookValues":
        """How to read the parameters of this hook. Raises CantCarry."""
        json_field = _json_field(hook)
        sources = {parameter.source for parameter in hook.parameters}
        is_text = BODY in {match.parameter.source for match in hook.matches if match.parameter is not None}
        if is_text and sources & {"payload", "entire-payload"}:
            place = next(m.parameter.place for m in hook.matches if m.parameter and m.parameter.source == BODY)
            raise CantCarry(place, "a condition can't read the raw body beside the parsed payload")
        return cls(json_field, is_text, "xml" in hook.content_type)

    def field(self, parameter: Parameter) -> str:
        """The field of conditions that a parameter names. Raises CantCarry."""
        if parameter.source == "payload":
            return self._path(parameter)
        if parameter.source == "header":
            return f"headers.{_header(parameter)}"
        if parameter.source in _QUERY:
            return f"query.{parameter.name}"
        if parameter.source == "request" and parameter.name.lower() == "method":
            return "method"
        if parameter.source == "request" and parameter.name.lower() == "remote-addr":
            raise CantCarry(parameter.place, "remote-addr holds the sender's port too; write a condition on ip instead")
        if parameter.source == BODY:
            return "$"
        raise CantCarry(parameter.place, f'a condition can\'t read the source "{parameter.source}"')

    def template(self, parameter: Parameter) -> str:
        """The template that gives what a parameter names; empty when it is missing. Raises CantCarry."""
        if parameter.source == "string":
            return literal(parameter.name)
        if parameter.source in _ENTIRE and not (self.is_text and parameter.source == "entire-payload"):
            return f"{{{{ {_ENTIRE[parameter.source]} | tojson }}}}"
        if parameter.source == "request":
            known = {"method": "event.method", "remote-addr": "event.ip"}
            if parameter.name.lower() not in known:
                raise CantCarry(parameter.place, f'the request has no "{parameter.name}"')
            return f"{{{{ {known[parameter.name.lower()]} }}}}"
        return f"{{{{ {self._reference(parameter)} | default('') }}}}"

    def _reference(self, parameter: Parameter) -> str:
        if parameter.source == "payload":
            return f"payload{''.join(_accessor(segment) for segment in self._segments(parameter))}"
        if parameter.source == "header":
            return f"headers[{_quoted(_header(parameter))}]"
        if parameter.source in _QUERY:
            return f"query{_accessor(parameter.name)}"
        if parameter.source == BODY and self.is_text:
            return "payload"
        raise CantCarry(parameter.place, f'no value here stands for the source "{parameter.source}"')

    def _path(self, parameter: Parameter) -> str:
        return "$" + "".join(_step(segment) for segment in self._segments(parameter))

    def _segments(self, parameter: Parameter) -> Sequence[str | int]:
        """The keys and indexes on the way to a value of the payload; numbers are indexes. Raises CantCarry."""
        words = parameter.name.split(".")
        if self.json_field is not None:
            if words[0] != self.json_field or len(words) == 1:
                raise CantCarry(
                    parameter.place, f'the payload is the JSON of the form field "{self.json_field}", without others'
                )
            words = words[1:]
        segments: list[str | int] = [words[0], *(int(w) if _is_index(w) else w for w in words[1:])]
        if self.is_xml:
            segments = [f"@{s[1:]}" if isinstance(s, str) and s.startswith("-") else s for s in segments]
        if segments[0] == "root" and len(segments) > 1 and isinstance(segments[1], int):
            return segments[1:]  # the name that a JSON list has as a payload
        return segments


def literal(text: str) -> str:
    """A template that gives this text."""
    return f"{{{{ {_quoted(text)} }}}}" if re.search(r"\{[{%#]", text) else text


def _json_field(hook: Hook) -> str | None:
    """The form field that the hook parses as JSON, if it parses only that one. Raises CantCarry."""
    for parameter in hook.json_parameters:
        is_only = len(hook.json_parameters) == 1 and parameter.source == "payload" and "." not in parameter.name
        if not is_only:
            raise CantCarry(
                parameter.place, "of parse-parameters-as-json, only one field of a form can be parsed (json_field)"
            )
        return parameter.name
    return None


def _header(parameter: Parameter) -> str:
    name = parameter.name
    if not _HEADER_NAME.fullmatch(name):
        raise CantCarry(
            parameter.place, f'"{name}" is a header that never gets here; names with _ are dropped on arrival'
        )
    if name.lower() in CREDENTIALS:
        raise CantCarry(parameter.place, f"{name} is only for verification, and removed after it")
    return name


def _is_index(word: str) -> bool:
    return word.isascii() and word.isdigit() and len(word) < 10


def _step(segment: str | int) -> str:
    if isinstance(segment, int):
        return f"[{segment}]"
    if _NAME.fullmatch(segment) and segment not in _RESERVED:
        return f".{segment}"
    return "['" + segment.replace("\\", "\\\\").replace("'", "\\'") + "']"


def _accessor(segment: str | int) -> str:
    if isinstance(segment, int):
        return f"[{segment}]"
    return f".{segment}" if _NAME.fullmatch(segment) else f"[{_quoted(segment)}]"


def _quoted(text: str) -> str:
    """A text of Jinja's language, which reads the escapes of Python."""
    if "'" not in text and "\\" not in text and text.isprintable():
        return f"'{text}'"
    return json.dumps(text, ensure_ascii=False)

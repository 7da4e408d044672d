"""Translates one hook into a source and a rule."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from router.cli.importers.adnanh.admission import Admission, Admitting, NamedSecret
from router.cli.importers.adnanh.answer import Answer
from router.cli.importers.adnanh.command import Command
from router.cli.importers.adnanh.document import Commented
from router.cli.importers.adnanh.expression import ALWAYS, NEVER, Expression, as_match
from router.cli.importers.adnanh.hooks import And, Hook, Match, Not, Parameter, TriggerRule, matches_of
from router.cli.importers.adnanh.notes import CantCarry, Note, Notes
from router.cli.importers.adnanh.trigger import Trigger
from router.cli.importers.adnanh.values import HookValues

ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")
_PARSE = (("json", "json"), ("x-www-form-urlencoded", "form"), ("xml", "xml"), ("multipart/form-data", "multipart"))
_LOST_KEYS = {
    "pre-hook-command": "a command that runs before the trigger rule is not possible here",
    "keep-file-environment": "the files of a multipart body stay in the body, and have no paths",
    "stream-command-output": "a command's output can't be streamed to the sender",
}
_READS = {"url": "query", "entire-query": "query", "entire-headers": "header"}
_LEFT_OUT = "(left out)"
_ANYBODY = "anybody who knows the address can run this: the hook verifies no sender. Set verify, then remove this line"
_CODE = (
    "webhook gives the sender's text to any program. Keep this if the program may read such text; see docs/actions.md"
)


@dataclass(slots=True)
class Translated:
    """A hook as it stands in the rules file."""

    hook: Hook
    name: str  #: of the source and of the rule
    source: dict[str, Any]
    rule: dict[str, Any]
    comments: list[str] = field(default_factory=list)
    secrets: list[NamedSecret] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)

    @property
    def is_off(self) -> bool:
        """Whether the hook is disabled, since a part of it is lost."""
        return any(note.lost for note in self.notes)

    def with_code(self) -> "Translated":
        """The same hook with `allow_code`, for a program that may run the sender's text as code."""
        actions = self.rule["actions"]
        rule = {key: value for key, value in self.rule.items() if key != "actions"}
        return replace(self, rule={**rule, "allow_code": _yes(_CODE), "actions": actions})


def translate(hook: Hook, name: str, prefix: str) -> Translated:
    """The hook as a source and a rule of this name; `prefix` is that of its path."""
    return _Translation(hook, name, prefix, Notes(hook.id)).run()


@dataclass(slots=True)
class _Translation:
    hook: Hook
    name: str
    prefix: str
    notes: Notes

    def run(self) -> Translated:
        admission, values, match = self._judged()
        actions = self._actions(values)
        for key, place in self.hook.other:
            if key in _LOST_KEYS:
                self.notes.add(place, f"{key}: {_LOST_KEYS[key]}", lost=True)
            else:
                self.notes.add(place, f"{key} is not a key of webhook 2.8; it is left out")
        rule = self._rule(admission, match, actions)
        source = self._source(admission, values)
        comments = self._comments([*admission.comments, *_comments_of(rule["respond"])])
        return Translated(self.hook, self.name, source, rule, comments, admission.secrets, self.notes.found)

    def _judged(self) -> tuple[Admission, HookValues, dict[str, Any] | None]:
        """Who may send, how values are read, and the condition. The condition is None if it can't be translated."""
        admission, values = Admission(), HookValues(None, is_text=False, is_xml=False)
        try:
            admission = Admitting(self.hook, self.notes).admission()
            values = HookValues.of(self.hook)
            self._check_hidden(admission)
            condition = self._condition(admission, Trigger(values, self.notes))
        except CantCarry as lost:
            self.notes.add(lost.place, lost.reason, lost=True)
            return Admitting(self.hook, self.notes).strictest(), values, None
        if condition == NEVER:
            self.notes.add(self.hook.place, "the trigger rule is never true", lost=True)
            return admission, values, None
        return admission, values, {} if condition == ALWAYS else as_match(condition)

    def _condition(self, admission: Admission, trigger: Trigger) -> Expression:
        """The part of the trigger rule that verification does not cover. Raises CantCarry."""
        if isinstance(self.hook.rule, And):
            return trigger.conjunction(admission.rest, self.hook.place)
        return trigger.condition(admission.rest[0]) if admission.rest else ALWAYS

    def _check_hidden(self, admission: Admission) -> None:
        """A token is removed once it is verified, so nothing else can read it. Raises CantCarry."""
        if admission.hidden is None:
            return
        source, name = admission.hidden
        for parameter in (*self.hook.arguments, *self.hook.variables, *self.hook.files, *_parameters(admission.rest)):
            read = _READS.get(parameter.source, parameter.source)
            if read != source:
                continue
            if parameter.source.startswith("entire-"):
                self.notes.add(
                    parameter.place, f"{parameter.source} lacks {name}, which is removed once it is verified"
                )
            elif parameter.name.lower() == name.lower():
                raise CantCarry(parameter.place, f"{name} is removed once it is verified, so nothing else can read it")

    def _actions(self, values: HookValues) -> list[dict[str, Any]]:
        try:
            return [{"command": Command(self.hook, values, self.notes).action()}]
        except CantCarry as lost:
            self.notes.add(lost.place, lost.reason, lost=True)
            return [{"command": {"argv": [self.hook.command], "stdin": "none"}}]

    def _source(self, admission: Admission, values: HookValues) -> dict[str, Any]:
        source: dict[str, Any] = {"verify": admission.verify}
        if admission.comments:
            source["verify"] = Commented(admission.verify, tuple(admission.comments))
        if self._is_lost():
            source["enabled"] = False
        path = f"/{self.prefix}/{self.hook.id}" if self.prefix else f"/{self.hook.id}"
        if path != f"/hooks/{self.name}":
            source["path"] = path
        methods = list(dict.fromkeys(method.strip().upper() for method in self.hook.methods))
        source["methods"] = methods or Commented(
            list(ALL_METHODS), ("webhook takes any method; keep those that the sender uses",)
        )
        if admission.allow_ips:
            source["allow_ips"] = admission.allow_ips
        parse = "text" if values.is_text else self._parse()
        if parse:
            source["parse"] = parse
        if values.json_field is not None:
            source["json_field"] = values.json_field
        if self.hook.rule is not None:
            source["respond"] = Answer(self.hook, self.notes).untriggered()
        return source

    def _parse(self) -> str | None:
        given = self.hook.content_type
        if not given:
            return None
        return next((parse for part, parse in _PARSE if part in given), "text")

    def _rule(
        self, admission: Admission, match: dict[str, Any] | None, actions: list[dict[str, Any]]
    ) -> dict[str, Any]:
        rule: dict[str, Any] = {"name": self.name, "source": self.name}
        if self._is_lost():
            rule["enabled"] = False
        if match:
            rule["match"] = match
        rule["respond"] = Answer(self.hook, self.notes).triggered()
        if admission.verify == "none":
            open_to = (
                _ANYBODY
                if not admission.rest and not admission.allow_ips
                else ("no signature or token verifies the sender")
            )
            rule["allow_unverified"] = _yes(open_to)
        return {**rule, "actions": actions}

    def _is_lost(self) -> bool:
        return any(note.lost for note in self.notes.found)

    def _comments(self, placed: Sequence[str]) -> list[str]:
        """The comments above the rule: notes without a place of their own in it."""
        if self._is_lost() and self.hook.rule is not None:
            original = json.dumps(_shown(self.hook.rule), ensure_ascii=False)
            return [*self._other_notes(placed), f"The trigger rule was: {original}"]
        return self._other_notes(placed)

    def _other_notes(self, placed: Sequence[str]) -> list[str]:
        notes = [note for note in self.notes.found if note.text not in placed]
        return [f"{'OFF, since ' if note.lost else ''}{note.text} ({note.place})" for note in notes]


def _yes(comment: str) -> Commented:
    return Commented(value=True, comments=(comment,))


def _comments_of(value: Any) -> tuple[str, ...]:
    return value.comments if isinstance(value, Commented) else ()


def _parameters(rules: tuple[TriggerRule, ...]) -> list[Parameter]:
    matches = [match for rule in rules for match in matches_of(rule)]
    return [match.parameter for match in matches if match.parameter is not None]


def _shown(rule: TriggerRule) -> Any:
    """A trigger rule as JSON, without its secrets."""
    if isinstance(rule, Match):
        shown: dict[str, Any] = {"type": rule.kind}
        for key, value in (("value", rule.value), ("regex", rule.regex), ("ip-range", rule.ip_range)):
            shown |= {key: value} if value else {}
        if rule.secret:
            shown["secret"] = _LEFT_OUT
        if rule.parameter is not None:
            shown["parameter"] = {"source": rule.parameter.source, "name": rule.parameter.name}
            if rule.value and re.search("token|secret|key|passw|auth", rule.parameter.name, re.IGNORECASE):
                shown["value"] = _LEFT_OUT
        return {"match": shown}
    if isinstance(rule, Not):
        return {"not": _shown(rule.rule)}
    return {"and" if isinstance(rule, And) else "or": [_shown(part) for part in rule.rules]}

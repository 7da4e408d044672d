"""What a hook answers, as `respond` of its rule and its source."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.cli.importers.adnanh.hooks import Hook
from router.cli.importers.adnanh.notes import Notes
from router.cli.importers.adnanh.values import literal

_SERVERS_OWN = ("content-length", "transfer-encoding", "connection")
_MISMATCH = "Hook rules were not satisfied."


@dataclass(slots=True)
class Answer:
    """Writes the answers of one hook."""

    hook: Hook
    notes: Notes

    def triggered(self) -> dict[str, Any]:
        """The answer when the hook is triggered."""
        status = self._status(self.hook.status, "success-http-response-code")
        respond: dict[str, Any] = {"status": status, "body": literal(self.hook.message)}
        headers = dict(self._headers())
        for name in [name for name in headers if name.lower() == "content-type"]:
            respond["content_type"] = headers.pop(name)
        return {**respond, "headers": headers} if headers else respond

    def untriggered(self) -> dict[str, Any]:
        """The answer when the trigger rule does not hold."""
        status = self._status(self.hook.mismatch_status, "trigger-rule-mismatch-http-response-code")
        return {"status": status, "body": _MISMATCH}

    def _status(self, status: int, key: str) -> int:
        if status == 0 or 200 <= status <= 299:
            return status or 200
        self.notes.add(
            self.hook.place, f"{key} is {status}; here an event that is stored is answered 2xx, and this one 200"
        )
        return 200

    def _headers(self) -> Iterable[tuple[str, str]]:
        for name, value in self.hook.headers:
            if name.lower() in _SERVERS_OWN:
                self.notes.add(self.hook.place, f"the response header {name} is set by the server alone")
            else:
                yield name, value

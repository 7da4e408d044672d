"""What a hook answers, as `respond` of its rule and its source."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from router.cli.importers.adnanh.document import Commented
from router.cli.importers.adnanh.hooks import Hook
from router.cli.importers.adnanh.notes import Notes
from router.cli.importers.adnanh.values import literal

_SERVERS_OWN = ("content-length", "transfer-encoding", "connection")
_MISMATCH = "Hook rules were not satisfied."
#: The longest that a sender waits here; webhook waits for the end of the command.
_WITHIN = "8s"
_LATER = "The command has failed, or still runs."
_OUTPUT = (
    "include-command-output-in-response: the sender gets the command's standard output here, if it ends with 0 within "
    "8 s and prints at most 64 KiB. Webhook waits for ever, and adds standard error: write 2>&1 in the script for it"
)
_FAILURE = "when the command fails, webhook answers 500 and a sentence; here the sender gets the answer in `otherwise`"
_OUTPUT_ON_ERROR = (
    "include-command-output-in-response-on-error: the sender never gets the output of a failed command; "
    "`webhook-router deliveries show` prints it"
)


@dataclass(slots=True)
class Answer:
    """Writes the answers of one hook."""

    hook: Hook
    notes: Notes

    def triggered(self) -> Any:
        """The answer when the hook is triggered."""
        if self.hook.output:
            return self._output()
        status = self._status(self.hook.status, "success-http-response-code")
        return self._with_headers({"status": status, "body": literal(self.hook.message)})

    def _output(self) -> Commented:
        """The answer that is the command's output."""
        comments = [self.notes.add(self.hook.place, _OUTPUT)]
        failure = _OUTPUT_ON_ERROR if self.hook.output_on_error else _FAILURE
        comments.append(self.notes.add(self.hook.place, failure))
        if self.hook.status not in (0, 200):
            fixed = f"success-http-response-code is {self.hook.status}; here a command's output is answered with 200"
            comments.append(self.notes.add(self.hook.place, fixed))
        otherwise = self._with_headers({"status": 202, "body": _LATER})
        otherwise.pop("content_type", None)  # it is the type of the output, and this answer is a sentence
        respond = {"from": "command", "within": _WITHIN, "otherwise": otherwise}
        return Commented(self._with_headers(respond), tuple(comments))

    def _with_headers(self, respond: dict[str, Any]) -> dict[str, Any]:
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

"""The action type `forward`."""

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any

from router.actions.forward.options import ForwardOptions
from router.domain.outcomes import Cause
from router.domain.secrets import Secret
from router.plugins.action import Action, ActionType, ChangedDefault
from router.plugins.build import Build
from router.plugins.connection import ConnectionOptions

if TYPE_CHECKING:
    from router.actions.forward.resources import Resources
    from router.client.connection import ConnectionSpec

_HINTS: Mapping[str, tuple[str, ...]] = {
    "forward to its incoming webhook: forward: https://… with body: for the message":
        ("slack", "discord", "teams", "msteams", "telegram", "mattermost", "googlechat", "chat", "notify",
         "notification"),
    "forward to its API: forward: https://… with body: for the message":
        ("pagerduty", "opsgenie", "sms", "twilio", "jira", "github", "gitlab", "jenkins", "pushover", "ntfy"),
    "did you mean \"forward\"? It sends an HTTP request: forward: https://…":
        ("http", "https", "webhook", "webhooks", "post", "get", "put", "patch", "delete", "url", "uri", "request",
         "httprequest", "httppost", "fetch", "curl", "call", "proxy", "send", "redirect", "relay", "target"),
}  # fmt: skip


# Commands that attempt nothing list the types too. They should not have to import aiohttp.
def _compile(options: Any, build: Build) -> Action:
    from router.actions.forward.compile import compile_forward  # noqa: PLC0415

    return compile_forward(options, build)


def _check_target_url(text: str, secrets: Mapping[str, Secret]) -> list[str]:
    from router.client.url import check_target_url  # noqa: PLC0415

    return check_target_url(text, secrets)


def _compile_connection(options: ConnectionOptions, build: Build) -> "ConnectionSpec":
    from router.client.connection import check_encrypted, compile_connection  # noqa: PLC0415

    if not build.recorded:  # recorded rules ran with such a target
        check_encrypted(options, getattr(options, "url", ""), build)
    return compile_connection(options, build)


def _broken_connection(reason: str) -> "ConnectionSpec":
    from router.client.connection import ConnectionSpec  # noqa: PLC0415

    return ConnectionSpec(unusable=reason)


def _open_resources() -> "AbstractAsyncContextManager[Resources]":
    from router.actions.forward.resources import open_resources  # noqa: PLC0415

    return open_resources()


FORWARD = ActionType(
    name="forward",
    options=ForwardOptions,
    compile=_compile,
    short_forms={str: "url"},
    causes=(Cause.STATUS, Cause.NETWORK, Cause.TIMEOUT),
    answers=True,
    check_target_url=_check_target_url,
    compile_connection=_compile_connection,
    broken_connection=_broken_connection,
    confidential_keys=frozenset({"sign", "auth", "proxy"}),
    hints=_HINTS,
    changed_defaults=(
        ChangedDefault(
            "pass_headers",
            before="most of the sender's headers passed",
            now="only harmless and named ones pass (docs/actions.md)",
            cure='pass_headers: ["*"]',
        ),
    ),
    open_resources=_open_resources,
)

"""The mappings of a rules file as pydantic models without extra keys. `match` has a compiler of its own."""

from typing import Annotated, Any, Literal

from pydantic import Field

from router.domain.units import Duration, Keeping, Rate, Size
from router.plugins.connection import ConnectionOptions
from router.plugins.options import Options
from router.plugins.target import BreakerField, BreakerSpec

Text = Annotated[str, Field(min_length=1)]

TOP_KEYS = ("version", "timezone", "include", "secrets", "sources", "targets", "rules", "unmatched", "defaults")
INCLUDED_KEYS = ("version", "secrets", "sources", "targets", "rules")


class DedupeOptions(Options):
    """The long form of `dedupe`."""

    key: Text = Field(description="The field whose value two copies of an event share.")
    window: Duration = Field(default=600.0, description="How long a key is remembered after its event.")


class RespondOptions(Options):
    """What a source answers instead of 202 and the event's id."""

    status: Annotated[int, Field(ge=200, le=299)] = Field(default=200, description="HTTP status.")
    body: str | None = Field(default=None, description="The body, as text.")
    json_: Any = Field(default=None, alias="json", description="The body, as JSON.")
    content_type: Text | None = Field(default=None, description="Content-Type; by default that of body or json.")
    headers: dict[str, str] = Field(default_factory=dict, description="More headers.")


class RespondFromOptions(Options):
    """The answer of an action's first attempt."""

    from_: Text = Field(alias="from", description="The name of an action of this rule: a forward or a command.")
    within: Duration = Field(default=2.0, description="How long the sender waits for it; at most 8s.")
    otherwise: Any = Field(default=None, description="The answer when none comes in time; 202 by default.")
    content_type: Text | None = Field(
        default=None, description="Content-Type; by default the target's, or text/plain for a program."
    )
    headers: dict[str, str] = Field(default_factory=dict, description="More headers.")


class SourceOptions(Options):
    """An intake path and how its senders are verified."""

    verify: Any = Field(description="How senders are verified: none, or a mapping with a scheme.")
    enabled: bool = Field(default=True, description="False: requests to its path are answered 404.")
    path: Text | None = Field(default=None, description="Absolute path; /hooks/<name> by default.")
    methods: list[Text] = Field(default=["POST"], min_length=1, description="HTTP methods that are accepted.")
    max_body: Size = Field(default=25 * 1024 * 1024, description="The largest body that is accepted.")
    allow_ips: list[Text] = Field(default=[], description="Addresses and networks that may send; all by default.")
    dedupe: Any = Field(default=None, description="The field that copies share, or {key, window}; none: off.")
    json_field: Text | None = Field(default=None, description="The form field that holds JSON.")
    parse: Literal["json", "form", "multipart", "xml", "text"] | None = Field(
        default=None,
        description="The format of every body; by default told by the bytes, or unsigned by the content type.",
    )
    keep: Keeping | None = Field(default=None, description="How long its events are kept; serve's --keep by default.")
    redact: Any = Field(
        default=None, description="A list of fields whose values are replaced before an event is stored."
    )
    show_payloads: bool = Field(
        default=True, description="False: hidden from the read-only token, on the page and in the API."
    )
    respond: Any = Field(default=None, description="The answer in place of 202 and the event's id.")
    handshake: Any = Field(
        default=None, description="How the provider's test of the address is answered; none: it is not answered."
    )
    probes: Any = Field(
        default=None,
        description="A list of further tests of the address, and their answers; none: not even a preset's.",
    )
    poll: Any = Field(default=None, description="Instead of verify and path: the service that the router polls.")
    preset: Text | None = Field(
        default=None, description="A provider that can't be verified: its defaults, beside a verify of your choice."
    )


class TargetOptions(ConnectionOptions):
    """A target of actions, with the limits that they share."""

    url: Text = Field(description="Base URL.")
    paused: bool = Field(default=False, description="Deliveries to it are held until this is removed.")
    concurrency: Annotated[int, Field(ge=1, le=10_000)] = Field(default=16, description="Attempts under way at once.")
    rate: Rate | None = Field(
        default=None, description="Attempts started in a time, such as 50/s; no limit by default."
    )
    breaker: BreakerField = Field(
        default=BreakerSpec(), description="When it counts as down, and when it is tried again; none: never."
    )
    retry: Any = Field(default=None, description="As in an action; for the forwards that go there.")


class RetryOptions(Options):
    """When a failed attempt is tried again."""

    initial: Duration | None = Field(default=None, description="Wait before the second attempt; 2s.")
    factor: Annotated[float, Field(ge=1, le=100)] | None = Field(default=None, description="Growth of the waits; 2.")
    max: Duration | None = Field(default=None, description="The longest wait; 1h.")
    jitter: Annotated[float, Field(ge=0, le=1)] | None = Field(default=None, description="Random share of a wait; 0.2.")
    attempts: Annotated[int, Field(ge=1, le=1_000_000)] | None = Field(
        default=None, description="The largest number of attempts; no limit by default, 1 for commands."
    )
    give_up_after: Duration | None = Field(default=None, description="Time after the first attempt; 24h.")
    retry_after_max: Duration | None = Field(default=None, description="A longer Retry-After is cut to this; 1h.")
    interrupted: Literal["retry", "dead"] | None = Field(
        default=None, description="What happens after an attempt that the daemon's own stop interrupted; retry."
    )
    on: Any = Field(default=None, description="The failures that are tried again; everything but HTTP 410.")


class DefaultsOptions(Options):
    """Settings of all actions; each action may override them."""

    retry: Any = Field(default=None, description="As in an action.")
    timeout: Duration | None = Field(default=None, description="How long one attempt may take.")


class GroupOptions(Options):
    """The keys of an action that groups its deliveries, so that one stands for several."""

    latest_by: Text | None = Field(
        default=None, description="A field: of the waiting deliveries with the same value only the newest is made."
    )
    wait: Duration | None = Field(
        default=None, description="With latest_by: begin when nothing newer has come for this time."
    )
    max_wait: Duration | None = Field(default=None, description="The longest wait in all; 10 times wait.")
    once_by: Text | None = Field(
        default=None, description="A field: of the deliveries with the same value only the first is made."
    )
    within: Duration | None = Field(
        default=None, description="How long further deliveries with this value are skipped."
    )


class ForEachOptions(Options):
    """The long form of `for_each`."""

    path: Text = Field(description="The path of the items, without filters and functions.")
    most: Annotated[int, Field(ge=1, le=10_000)] = Field(
        default=1_000, description="Items of one event; with more, the rule does not match."
    )


class RuleOptions(Options):
    """A name, a condition, actions."""

    name: Text = Field(description="Unique in the file.")
    enabled: bool = Field(default=True, description="False: the rule is off, and its waiting deliveries are held.")
    source: Any = Field(default=None, description="Name, list or glob of sources; optional when there is only one.")
    match: Any = Field(default=None, description="Fields and their tests; every entry must hold.")
    for_each: Any = Field(
        default=None, description="The path of items such as $.alerts[*]; the rule is tried for each."
    )
    actions: Any = Field(default=None, description="The actions for the event; optional when there is a respond.")
    respond: Any = Field(default=None, description="The answer to the sender; body and json are templates.")
    stop: bool = Field(default=False, description="Later rules are not tried after this one has matched.")
    allow_unverified: bool = Field(
        default=False, description="Commands may run for events of sources with verify: none."
    )
    allow_code: bool = Field(
        default=False, description="The sender's text may reach programs that could run it as code."
    )

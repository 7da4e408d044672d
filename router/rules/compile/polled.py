"""Compiles a polled source: the router asks it for events."""

from dataclasses import dataclass
from typing import Any

from router.domain.request import Inbound
from router.plugins.poll import Poll
from router.plugins.scheme import SenderProof, Unsignable, Unverified, VerifyFailure
from router.rules.compile.context import LoadContext
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import SourceOptions

SCHEME = "poll"  #: the scheme that is shown for a polled source
PATH = "/-/poll/"  #: the beginning of polled events' paths; requests to it are refused

OF_SENDERS = {
    "verify": "nobody sends to a polled source: the router asks the service itself, by https and auth; remove verify",
    "path": "nobody sends to a polled source, so it has no path; remove it",
    "methods": "nobody sends to a polled source; the method of its requests is method: below poll",
    "allow_ips": "nobody sends to a polled source; remove allow_ips",
    "handshake": "nobody tests the address of a polled source; remove handshake",
    "probes": "nobody tests the address of a polled source; remove probes",
    "preset": "a preset describes how a provider sends, but nobody sends to a polled source; remove it",
    "respond": "nobody waits for an answer of a polled source; remove respond",
    "json_field": "the answer to a poll is not a form; remove json_field",
}
"""The keys that a polled source can't have, and the cure."""


@dataclass(frozen=True, slots=True)
class PolledService:
    """Takes the verifier's place. Nobody may send to a polled source."""

    verifies: bool  #: whether TLS proves that an answer comes from the service
    signed_parts: None = None

    def verify(self, inbound: Inbound, now: int) -> Unverified:  # noqa: ARG002 - see Verifier.verify
        """See Verifier.verify."""
        return Unverified(VerifyFailure.MISMATCH, "nobody sends to a polled source")

    def sign(self, inbound: Inbound, now: int) -> SenderProof | Unsignable:  # noqa: ARG002 - see Verifier.sign
        """See Verifier.sign."""
        return Unsignable("the router asks this source itself, and nobody sends to it")


def load_poll(context: LoadContext, name: str, node_path: NodePath, options: SourceOptions) -> Poll | None:
    """Compile the poll of a source; None after an error."""
    at, kind = node_path.at("poll"), context.registries.polls
    values: dict[str, Any] | None = {"url": at.data} if isinstance(at.data, str) else None
    found = read(at, kind.Options, values)
    if found is None:
        return None
    build = context.build(name, at, sends=True)
    poll = kind.compile(found, options.parse, options.max_body, build)
    failed = context.report_faults(build, at)
    bounds = context.bounds
    if not failed and bounds is not None and not bounds.allows("targets", poll.place):
        where = at if isinstance(at.data, str) else at.at("url")
        where.error(bounds.refusal("targets", poll.place))
        return None
    return None if failed else poll


def check_polled_keys(node_path: NodePath) -> bool:
    """Report keys that make sense for senders only. True when there are none."""
    found = [key for key in OF_SENDERS if node_path.has(key)]
    for key in found:
        node_path.key_error(key, OF_SENDERS[key])
    parse = node_path.data.get("parse")
    if parse in ("form", "multipart"):
        node_path.at("parse").error(f"expected json, xml or text for the answer to a poll, found {parse}")
        return False
    return not found

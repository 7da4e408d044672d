"""The answer to a request that becomes no event, and the reason for the log."""

from dataclasses import dataclass

from router.domain.reply import Reply
from router.http.limits import RETRY_AFTER_SECONDS
from router.http.problem import problem
from router.plugins.scheme import Unverified, VerifyFailure
from router.rules.source import Source

MAX_QUERY = 8 * 1024  #: characters of a query; browsers and proxies have the same limit
_UNVERIFIED = "the request could not be verified; check the secret or signature that the source expects"


@dataclass(frozen=True, slots=True)
class Rejection:
    """Nothing was stored, and the sender gets this reply."""

    reply: Reply
    reason: str  #: for the log alone
    failure: VerifyFailure | None = None  #: the kind of a failed verification, for the metrics


LONG_QUERY = Rejection(
    problem(414, f"the query is longer than {MAX_QUERY} characters; send long values in the body"), "query"
)
UNKNOWN_PATH = Rejection(problem(404, "no source has this path; check the webhook's URL"), "path")
FOREIGN_ADDRESS = Rejection(
    problem(403, "this address may not send here; allow_ips of the source lists those that may"), "address"
)
ENCODED_BODY = Rejection(
    problem(415, "send the body without Content-Encoding, or with gzip alone", ("Accept-Encoding", "gzip, identity")),
    "content encoding",
)


def wrong_method(source: Source) -> Rejection:
    """The source does not accept the method."""
    allowed = ", ".join(source.methods)
    return Rejection(problem(405, f"this source takes {allowed}", ("Allow", allowed)), "method")


def large_body(source: Source) -> Rejection:
    """The body is larger than the source accepts."""
    return Rejection(
        problem(413, f"the body is larger than the {source.max_body} bytes that this source takes"), "size"
    )


def unverified(found: Unverified) -> Rejection:
    """The verification failed. The sender does not learn why."""
    challenge = [("WWW-Authenticate", found.challenge)] if found.challenge else []
    return Rejection(problem(401, _UNVERIFIED, *challenge), found.reason, found.failure)


def unreadable_body(reason: str) -> Rejection:
    """The body does not fit its content type."""
    return Rejection(problem(400, f"{reason}; nothing was stored"), reason)


def not_judged() -> Rejection:
    """The process for large requests ended or was full. The sender should try again."""
    detail = "the request could not be handled at the moment; send it again later"
    return Rejection(problem(503, detail, ("Retry-After", str(RETRY_AFTER_SECONDS))), "large requests can't be judged")


def keys_unavailable(reason: str) -> Rejection:
    """The keys can't be fetched at present. The sender should try again."""
    detail = "the request could not be verified at the moment; send it again later"
    return Rejection(problem(503, detail, ("Retry-After", str(RETRY_AFTER_SECONDS))), reason)

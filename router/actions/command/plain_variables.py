"""Which environment variables may hold a sender's text without `allow_code`.

Programs read thousands of variables, and many of them decide what code runs (TAR_OPTIONS, GIT_SSH_COMMAND,
PYTHONSTARTUP …). So this module lists the plain names: a name is plain when all its words are listed, or when it begins
with a prefix that no program reads.
"""

import re

#: any name that begins with one of these is plain, except WEBHOOK_ROUTER_…
PREFIXES = ("HOOK_", "PAYLOAD_", "EVENT_", "WEBHOOK_")
#: Usual words for facts of an event. A name is plain when each of its words, between the `_`, is listed here.
WORDS = frozenset(
    (
        *("ACTION", "ACTOR", "AFTER", "ALERT", "AMOUNT", "APP", "AUTHOR", "BASE", "BEFORE", "BODY", "BRANCH"),
        *("BUILD", "BY", "CHANNEL", "CHECKOUT", "CI", "CLONE", "CODE", "COMMENT", "COMMIT", "COMMITTER"),
        *("COMMITS", "COMPARE", "COUNT", "CREATED", "CURRENCY", "CUSTOMER", "DATA", "DATE", "DEFAULT"),
        *("DELIVERY", "DEPLOY", "DEPLOYMENT", "DESCRIPTION", "EMAIL", "ENVIRONMENT", "EVENT", "FIRST", "FROM"),
        *("FULL", "GITEA", "GITHUB", "GITLAB", "HASH", "HEAD", "ID", "INVOICE", "ISSUE", "JOB", "KIND"),
        *("LABEL", "LABELS", "LAST", "LEVEL", "LINK", "LOGIN", "MERGE", "MESSAGE", "MSG", "NAME", "NAMESPACE"),
        *("NEW", "NUMBER", "OBJECT", "OLD", "ORDER", "ORG", "ORGANIZATION", "OWNER", "PAYLOAD", "PHONE"),
        *("PIPELINE", "PR", "PRICE", "PROJECT", "PULL", "PUSHED", "PUSHER", "QUANTITY", "REASON", "RECEIVED"),
        *("REF", "RELEASE", "REPO", "REPOSITORY", "REQUEST", "REVIEW", "REVISION", "SENDER", "SERVICE"),
        *("SEVERITY", "SHA", "SHOPIFY", "SHORT", "SIZE", "SLACK", "SLUG", "SOURCE", "STAGE", "STATE", "STATUS"),
        *("STRIPE", "SUBJECT", "SUMMARY", "TAG", "TAGS", "TARGET", "TEAM", "TEXT", "TICKET", "TIME"),
        *("TIMESTAMP", "TITLE", "TO", "TOPIC", "TOTAL", "TYPE", "UPDATED", "URL", "USER", "USERNAME", "UUID"),
        *("VERSION", "WHO", "WORKFLOW"),
    )
)
#: Names made of such words that programs do read: shells, mail, version control, continuous integration.
READ_BY_PROGRAMS = frozenset({"USER", "USERNAME", "NAME", "EMAIL", "TIME", "HASH"})


def is_plain(name: str) -> bool:
    """Whether a variable of this name may hold a sender's text."""
    upper = name.upper()
    if upper.startswith("WEBHOOK_ROUTER"):
        return False
    if upper.startswith(PREFIXES) or re.fullmatch(r"[A-Z]", upper):
        return True
    return upper not in READ_BY_PROGRAMS and all(
        word in WORDS for word in re.sub(r"\d+$", "", upper).strip("_").split("_")
    )

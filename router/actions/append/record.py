"""The default line of an append: a JSON record of the event."""

import re
from datetime import UTC, datetime

import orjson

from router.plugins.action import AttemptInput

_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
_BEGINNING = re.compile(rf'\{{"id":"{_ID}","delivery":"{_ID}","received_at":"'.encode())
_SAMPLE = (
    b'{"id":"00000000-0000-0000-0000-000000000000","delivery":"00000000-0000-0000-0000-000000000000","received_at":"'
)
BEGINNING_BYTES = len(_SAMPLE)  #: the first bytes of every record; other lines hardly begin like this


def record(job: AttemptInput) -> bytes:
    """The record of an event, without the line end."""
    event = job.parsed.event
    received = datetime.fromtimestamp(event.received_at / 1000, UTC).isoformat(timespec="milliseconds")
    item = {} if job.claim.delivery.item is None else {"item": job.item}
    return orjson.dumps(
        {
            "id": event.id,
            "delivery": job.claim.delivery.id,
            "received_at": received.replace("+00:00", "Z"),
            "source": event.source,
            "headers": {name: ", ".join(job.parsed.headers.all(name)) for name in job.parsed.headers},
            **item,
            "payload": job.parsed.payload,
        }
    )


def begins_like_a_record(beginning: bytes) -> bool:
    """Whether the line is a record or the beginning of one."""
    filled = beginning + _SAMPLE[len(beginning) :]
    return bool(_BEGINNING.match(filled))


def is_whole(line: bytes) -> bool:
    """Whether the record's JSON is complete."""
    try:
        orjson.loads(line)
    except orjson.JSONDecodeError:
        return False
    return True

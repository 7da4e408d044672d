"""Reads `timezone`: the zone of `time` and `weekday`."""

from datetime import UTC, tzinfo
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

from router.domain.nearest_word import nearest, shortened
from router.rules.yaml.node_path import NodePath


def load_timezone(node_path: NodePath) -> tzinfo:
    """The zone that an IANA name means; UTC after an error."""
    name = node_path.expect_text("the name of a time zone, such as Europe/Berlin")
    if name is None or name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        known = sorted(available_timezones())
        if not known:
            node_path.error_unless_recorded("this machine has no time zone database; install the package tzdata")
            return UTC
        near = nearest(name, known, 0.6)
        cure = f'; did you mean "{near}"?' if near else "; it is a name of the IANA database, such as Europe/Berlin"
        node_path.error_unless_recorded(f'unknown time zone "{shortened(name)}"{cure}')
        return UTC

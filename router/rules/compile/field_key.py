"""Reads a key whose value is a field, such as `order_by` and `dedupe`."""

from router.domain.headers import dropped_header
from router.rules.match.fields import AnyField, HeaderField, field
from router.rules.match.jsonpath import PathError
from router.rules.yaml.node_path import NodePath


def load_field(node_path: NodePath, text: str) -> AnyField | None:
    """Compile the field that the text names; None after an error."""
    try:
        found = field(text)
    except PathError as error:
        node_path.error(str(error))
        return None
    if isinstance(found, HeaderField) and "_" in found.name:
        node_path.error_unless_recorded(dropped_header(text.partition(".")[2]))
    return found

"""From the keys of a rule test to the request that it stands for. Errors go to the report."""

import base64
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from router.domain.files.bounded import MAX_PAYLOAD_BYTES, Unreadable, read_file
from router.rules.dry_run.case_options import CaseOptions
from router.rules.dry_run.preview import body_of
from router.rules.match.operators.age import unix_ms
from router.rules.source import Source, placed
from router.rules.yaml.node_path import NodePath


def placed_source(node_path: NodePath, source: Source, case: CaseOptions) -> Source | None:
    """The source at the path that the case gives. None after an error."""
    try:
        return placed(source, case.params)
    except ValueError as error:
        node_path.at("params").error(str(error))
        return None


def received_at_of(node_path: NodePath, case: CaseOptions, now: int) -> int | None:
    """When the case's request is received, in ms. None after an error."""
    if case.received_at is None:
        return now
    found = unix_ms(case.received_at)
    if found is None:
        at = node_path.at("received_at")
        at.error(f'expected a time with a zone such as "2024-05-01T09:30:00+02:00", found {at.found()}')
    return None if found is None else round(found)


def pairs_of(node_path: NodePath, given: Mapping[str, Any]) -> list[tuple[str, str]] | None:
    """Pairs of name and text, in order; a list gives several. None after an error."""
    found: list[tuple[str, str]] = []
    failed = False
    for name, value in given.items():
        for place, text in enumerate(value if isinstance(value, list) else [value]):
            if isinstance(text, str):
                found.append((name, text))
                continue
            at = node_path.at(name, place)
            at.error(f"expected text or a list of texts, found {at.found()}; quote it")
            failed = True
    return None if failed else found


def raw_body(node_path: NodePath, case: CaseOptions, folder: Path, content_type: str) -> bytes | None:
    """The body as it is, the content of the file, or the payload written in its content type."""
    payload = case.payload
    given = [key for key in ("payload", "body", "body_base64") if node_path.has(key)]
    if len(given) > 1:
        node_path.at(given[1]).error(
            f"{given[0]} and {given[1]} exclude each other; give one of payload, body and body_base64"
        )
        return None
    if case.body is not None:
        return case.body.encode()
    if case.body_base64 is not None:
        try:
            return base64.b64decode(case.body_base64, validate=True)
        except ValueError:
            node_path.at("body_base64").error("expected base64, found other characters")
            return None
    if not (isinstance(payload, dict) and list(payload) == ["file"] and isinstance(payload["file"], str)):
        return body_of(payload, content_type)
    try:
        return read_file(folder / payload["file"], MAX_PAYLOAD_BYTES)
    except Unreadable as error:
        node_path.at("payload", "file").error(f"the payload can't be read: {error}")
        return None

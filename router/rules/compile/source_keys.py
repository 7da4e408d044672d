"""Compiles single keys of a source: path, methods, allow_ips and dedupe."""

import re
from typing import Any

from router.domain.nearest_word import shortened
from router.domain.networks import Network, network
from router.domain.units import seconds
from router.rules.compile.field_key import load_field
from router.rules.compile.scope import Scope
from router.rules.match.fields import field
from router.rules.path_pattern import PathPattern, path_pattern
from router.rules.source import Dedupe
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath
from router.rules.yaml.schema import DedupeOptions

_PATH = re.compile(r"/[!-~]*")
_PATTERN = re.compile(r"<[^>]+>|/:[A-Za-z_]|\*")  #: paths with variable parts, as other tools write them
_UNREACHABLE = re.compile(r"//|/\.{1,2}(?:/|$)")  #: paths that servers always answer with 404
METHOD = re.compile(r"[A-Z]{1,20}")
_OFF = "none"


def load_path(node_path: NodePath, path: str) -> str:
    if not _PATH.fullmatch(path) or "?" in path or "#" in path or "%" in path:
        node_path.at("path").error("expected an absolute path of plain ASCII such as /hooks/github, without ?, # and %")
    elif path.startswith("/-/"):
        node_path.at("path").error("paths below /-/ belong to the daemon itself; choose another")
    elif _UNREACHABLE.search(path):
        node_path.at("path").warn(
            "no request reaches this path: empty, . and .. segments are answered 404, since a proxy may take such a "
            "path for another one; write it without them"
        )
    elif _PATTERN.search(path):
        node_path.at("path").warn(
            f"this is not a pattern: only a request to exactly {path} reaches this source; "
            "write {name} for a part that varies; rules read it as params.name"
        )
    return path


def load_path_pattern(node_path: NodePath, path: str) -> PathPattern | None:
    try:
        return path_pattern(path)
    except ValueError as error:
        node_path.at("path").error_unless_recorded(str(error))
        return None


def load_methods(node_path: NodePath, methods: list[str]) -> tuple[str, ...]:
    for i, method in enumerate(methods):
        if not METHOD.fullmatch(method):
            node_path.at("methods", i).error(
                f'expected an HTTP method in capitals such as POST, found "{shortened(method)}"'
            )
    return tuple(dict.fromkeys(methods))


def load_networks(node_path: NodePath, texts: list[str]) -> tuple[Network, ...]:
    networks: list[Network] = []
    for i, text in enumerate(texts):
        try:
            networks.append(network(text))
        except ValueError as error:
            node_path.at("allow_ips", i).error(f"expected an address or a network such as 10.0.0.0/8: {error}")
    if node_path.has("allow_ips") and not texts:
        node_path.at("allow_ips").error("an empty list lets nobody in; remove it to let every address in")
    return tuple(networks)


def load_dedupe(node_path: NodePath, written: Any, scope: Scope, *, explicit: bool) -> Dedupe | None:
    if written is None and explicit:
        node_path.at("dedupe").error(
            f"expected a field, {{key, window}} or none, found {node_path.at('dedupe').found()}"
        )
    if written is None or written == _OFF:
        return None
    at = node_path.at("dedupe") if explicit else node_path
    if isinstance(written, str):
        key = load_field(at, written, scope)
        return Dedupe(key, DedupeOptions(key=written).window) if key else None
    if not isinstance(written, dict):
        at.error(f"expected a field, {{key, window}} or none, found {at.found()}")
        return None
    if not explicit:  # the scheme sets it, and its tests check it
        return Dedupe(field(written["key"]), seconds(written["window"]))
    options = read(at, DedupeOptions)
    key = load_field(at.at("key"), options.key, scope) if options else None
    return Dedupe(key, options.window) if options and key else None

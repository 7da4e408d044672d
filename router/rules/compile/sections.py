"""Compiles the sections of a rules file: version, secrets, targets, defaults, sources and rules."""

import re
from collections.abc import Sequence
from typing import Any

from router.domain.deliveries import RulesetText
from router.domain.nearest_word import shortened
from router.domain.secrets import SecretRef, check_form
from router.plugins.target import TargetSpec, pause_warning
from router.rules.compile.context import LoadContext
from router.rules.compile.documents import Document, Place
from router.rules.compile.request_headers import check_read_headers
from router.rules.compile.retry import load_retry
from router.rules.compile.rules import load_rules, load_unmatched
from router.rules.compile.sources import load_sources
from router.rules.compile.timezone import load_timezone
from router.rules.rule import RuleAction
from router.rules.ruleset import Ruleset
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath, unknown_key
from router.rules.yaml.nodes import MappingNode
from router.rules.yaml.schema import TOP_KEYS, DefaultsOptions, TargetOptions

VERSION = 1
SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def compile_ruleset(context: LoadContext, documents: Sequence[Document], text: RulesetText) -> Ruleset | None:
    """Compile all documents; None after an error."""
    good = [document for document in documents if _is_mapping(document)]
    if documents[0] not in good:
        return None
    for document in good:
        _top_keys(document)
        _version(document.root)
    _missing(context, good)
    if documents[0].root.has("timezone"):
        context.zone = load_timezone(documents[0].root.at("timezone"))
    for key, load in _LOADS:
        for document in good:
            if _has(document, key):
                context.document = document
                load(context, document.root.at(key))
    rules = load_rules(context, good)
    unmatched = _unmatched(context, good)
    context.finish()
    if context.report.failed:
        return None
    used = {source for rule in rules for source in rule.sources}
    sections: dict[str, str] = {}
    for document in good:
        _warn_unused(context, document.root, used, bool(unmatched))
        sections |= _sections(document.root)
    return Ruleset(
        text,
        tuple(rules),
        context.sources,
        context.targets,
        context.secrets,
        tuple(action for action in unmatched if action.enabled),
        sections,
        context.used_secrets,
        context.secret_files,
        context.protected,
        sent_secrets=context.sent_secrets,
        disabled_unmatched=tuple(action for action in unmatched if not action.enabled),
    )


def _has(document: Document, key: str) -> bool:
    return document.root.has(key) and key in document.keys


def _unmatched(context: LoadContext, documents: Sequence[Document]) -> list[RuleAction]:
    unmatched: list[RuleAction] = []
    for document in documents:
        if _has(document, "unmatched") and _is_first(context, document, "unmatched"):
            context.document = document
            unmatched = load_unmatched(context, document.root.at("unmatched"))
    return unmatched


def _is_mapping(document: Document) -> bool:
    root = document.root
    if not isinstance(root.node, MappingNode):
        root.error(f"expected a mapping with sources: and rules:, found {root.found()}")
    return isinstance(root.node, MappingNode)


def _top_keys(document: Document) -> None:
    root = document.root
    for key, _ in root.entries():
        if key in document.keys or key.startswith("x-"):
            continue
        if key == "include":
            root.key_error(key, "an included file includes no other; name that one in the main file")
        elif key in TOP_KEYS:
            root.key_error(key, f"{key}: belongs in the main file, not in an included one")
        else:
            root.key_error(key, unknown_key(key, document.keys))


def _missing(context: LoadContext, documents: Sequence[Document]) -> None:
    main = documents[0].root
    if main.has("include") and context.report.failed:
        return  # they may be in a file that could not be read
    if not any(document.root.has("sources") for document in documents):
        main.error("missing sources: where events come from, and how their senders are verified")
    if not any(document.root.has(key) for document in documents for key in ("rules", "unmatched")):
        main.error("missing rules: which events go where")


def _is_first(context: LoadContext, document: Document, key: str) -> bool:
    """Whether this document is the first one with the key, which may be used once."""
    first = context.places.setdefault((key, ""), Place(document.file, document.root.key_line(key)))
    is_first = first.file == document.file
    if not is_first:
        document.root.key_error(key, f"duplicate {key}: it is {first.seen_from(document.root)} already; keep one")
    return is_first


def _version(root: NodePath) -> None:
    version = root.at("version")
    if root.has("version") and not (type(version.data) is int and version.data == VERSION):
        version.error(f"expected version {VERSION}, found {version.found()}; this program reads version {VERSION} only")


def _secrets(context: LoadContext, node_path: NodePath) -> None:
    if not node_path.expect_mapping("names to {env: NAME} or {file: PATH}"):
        return
    for name, below in node_path.entries():
        if not context.define("secrets", node_path, name):
            continue
        if not SECRET_NAME.fullmatch(name):
            node_path.key_error(name, f'"{shortened(name)}" is not a secret name; write letters, digits and _')
            continue
        fault = check_form(below.data)
        if fault:
            below.error(fault)
            continue
        ref = read(below, SecretRef)
        if ref is not None:
            context.secrets[name] = context.secret(ref, below, name)


def _targets(context: LoadContext, node_path: NodePath) -> None:
    if not node_path.expect_mapping("names to {url: …}"):
        return
    for name, below in node_path.entries():
        if not context.define("targets", node_path, name):
            continue
        if not TARGET_NAME.fullmatch(name):
            node_path.key_error(
                name, f'"{shortened(name)}" is not a target name; write up to 64 letters, digits, . _ and -'
            )
            continue
        options = read(below, TargetOptions)
        # Only forwards have named targets.
        retry = load_retry(below.at("retry"), context.registries.target_causes) if below.has("retry") else None
        if retry is not None:
            context.target_retry[name] = retry
        if options is None:
            context.targets[name] = TargetSpec(name, 1)  # prevents further errors in the actions that use it
            continue
        check_read_headers(below.at("url"))
        for message in context.registries.target_url_faults(options.url, context.allowed_secrets()):
            below.at("url").error(message)
        if (warning := pause_warning(options.breaker)) is not None:
            below.at("breaker").warn(warning)
        if options.paused:
            below.at("paused").note("the target is paused; its deliveries are held")
        connection = _connection(context, name, below, options)
        context.targets[name] = TargetSpec(
            name, options.concurrency, options.rate, options.url, options.breaker, options.paused, connection
        )


def _connection(context: LoadContext, name: str, node_path: NodePath, options: TargetOptions) -> Any:
    """Compile a target's `auth`, `tls` and `proxy` for its type of action."""
    if options.auth is None and options.tls is None and options.proxy is None:
        return None
    build = context.build(name, node_path, sends=True)
    found = context.registries.compile_connection(options, build)
    reason = context.forbidden_by(build)
    if reason is not None:
        return context.registries.broken_connection(reason)
    context.report_faults(build, node_path)
    return found


def _defaults(context: LoadContext, node_path: NodePath) -> None:
    if context.document is not None and not _is_first(context, context.document, "defaults"):
        return
    options = read(node_path, DefaultsOptions)
    if options is not None:
        context.defaults = options
    if node_path.has("retry"):
        context.retry = load_retry(node_path.at("retry"))


def _sections(root: NodePath) -> dict[str, str]:
    """A digest of each part besides the rules (`sources.github`, `defaults`, …), to find what a reload changes."""
    found: dict[str, str] = {}
    for key, below in root.entries():
        if key in ("secrets", "targets", "sources"):
            found |= {f"{key}.{name}": entry.digest for name, entry in below.entries()}
        elif key in ("defaults", "unmatched", "timezone"):
            found[key] = below.digest
    return found


def _warn_unused(context: LoadContext, root: NodePath, used_sources: set[str], unmatched: bool) -> None:
    sources, targets = root.at("sources"), root.at("targets")
    for name, _ in sources.entries() if root.has("sources") and not unmatched else ():
        if name in context.sources and name not in used_sources:
            sources.key_warn(name, f'no rule listens to source "{name}"')
    for name, _ in targets.entries() if root.has("targets") else ():
        if name in context.targets and name not in context.used_targets:
            targets.key_warn(name, f'no action uses target "{name}"')


#: in the order in which they need each other
_LOADS = (("secrets", _secrets), ("targets", _targets), ("defaults", _defaults), ("sources", load_sources))

"""Compiles the sections of a rules file: version, secrets, targets, defaults, sources and rules."""

import re

from router.domain.deliveries import RulesetText
from router.domain.secrets import SecretRef, check_form
from router.plugins.target import TargetSpec
from router.rules.compile.context import LoadContext
from router.rules.compile.request_headers import check_read_headers
from router.rules.compile.retry import load_retry
from router.rules.compile.rules import load_rules, load_unmatched
from router.rules.compile.sources import load_sources
from router.rules.compile.timezone import load_timezone
from router.rules.ruleset import Ruleset
from router.rules.yaml.models import read
from router.rules.yaml.node_path import NodePath, unknown_key
from router.rules.yaml.nodes import MappingNode
from router.rules.yaml.schema import TOP_KEYS, DefaultsOptions, TargetOptions

VERSION = 1
SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
TARGET_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def compile_ruleset(context: LoadContext, root: NodePath, text: RulesetText) -> Ruleset | None:
    """Compile all of the file; None after an error."""
    if not isinstance(root.node, MappingNode):
        root.error(f"expected a mapping with sources: and rules:, found {root.found()}")
        return None
    _top_keys(root)
    _version(root)
    if root.has("timezone"):
        context.zone = load_timezone(root.at("timezone"))
    for key, load in (("secrets", _secrets), ("targets", _targets), ("defaults", _defaults), ("sources", load_sources)):
        if root.has(key):
            load(context, root.at(key))
    rules = load_rules(context, root.at("rules")) if root.has("rules") else []
    unmatched = load_unmatched(context, root.at("unmatched")) if root.has("unmatched") else []
    context.finish()
    if context.report.failed:
        return None
    _warn_unused(context, root, {source for rule in rules for source in rule.sources}, bool(unmatched))
    return Ruleset(
        text,
        tuple(rules),
        context.sources,
        context.targets,
        context.secrets,
        tuple(unmatched),
        _sections(root),
        context.used_secrets,
        context.secret_files,
        context.protected,
    )


def _top_keys(root: NodePath) -> None:
    for key, _ in root.entries():
        if key not in TOP_KEYS and not key.startswith("x-"):
            root.key_error(key, unknown_key(key, TOP_KEYS))
    if not root.has("sources"):
        root.error("missing sources: where events come from, and how their senders are verified")
    if not root.has("rules") and not root.has("unmatched"):
        root.error("missing rules: which events go where")


def _version(root: NodePath) -> None:
    version = root.at("version")
    if root.has("version") and not (type(version.data) is int and version.data == VERSION):
        version.error(f"expected version {VERSION}, found {version.found()}; this program reads version {VERSION} only")


def _secrets(context: LoadContext, node_path: NodePath) -> None:
    if not node_path.expect_mapping("names to {env: NAME} or {file: PATH}"):
        return
    for name, below in node_path.entries():
        if not SECRET_NAME.fullmatch(name):
            node_path.key_error(name, "a secret's name is letters, digits and _, since templates write secrets.name")
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
        if not TARGET_NAME.fullmatch(name):
            node_path.key_error(name, "a target's name is letters, digits, . _ and -, up to 64")
            continue
        options = read(below, TargetOptions)
        # Only forwards go to named targets.
        retry = load_retry(below.at("retry"), context.registries.target_causes) if below.has("retry") else None
        if retry is not None:
            context.target_retry[name] = retry
        if options is None:
            context.targets[name] = TargetSpec(name, 1)  # so that the actions that use it get no errors of their own
            continue
        check_read_headers(below.at("url"))
        for message in context.registries.target_url_faults(options.url, context.secrets):
            below.at("url").error(message)
        context.targets[name] = TargetSpec(name, options.concurrency, options.rate, options.url, options.breaker)


def _defaults(context: LoadContext, node_path: NodePath) -> None:
    options = read(node_path, DefaultsOptions)
    if options is not None:
        context.defaults = options
    if node_path.has("retry"):
        context.retry = load_retry(node_path.at("retry"))


def _sections(root: NodePath) -> dict[str, str]:
    """A digest of each part beside the rules (`sources.github`, `defaults`, …), to find what a reload changes."""
    found: dict[str, str] = {}
    for key, below in root.entries():
        if key in ("secrets", "targets", "sources"):
            found |= {f"{key}.{name}": entry.digest for name, entry in below.entries()}
        elif key in ("defaults", "unmatched", "timezone"):
            found[key] = below.digest
    return found


def _warn_unused(context: LoadContext, root: NodePath, used_sources: set[str], unmatched: bool) -> None:
    for name in context.sources:
        if name not in used_sources and not unmatched:
            root.at("sources").key_warn(name, f'no rule listens to source "{name}"')
    for name in context.targets:
        if name not in context.used_targets:
            root.at("targets").key_warn(name, f'no action uses target "{name}"')

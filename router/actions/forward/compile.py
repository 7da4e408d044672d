"""Compiles the options of a forward."""

from dataclasses import replace
from urllib.parse import urlsplit

import aiohttp

from router.actions.compiled_template import compiled_template
from router.actions.forward.action import ForwardAction
from router.actions.forward.body import compile_body
from router.actions.forward.options import ForwardOptions
from router.actions.forward.signature import HEADERS as SIGNATURE_HEADERS
from router.actions.forward.signature import KEY_BYTES, signing_key
from router.client.connection import ConnectionSpec, check_encrypted, compile_connection
from router.client.url import Url, compile_url, is_address
from router.domain.errors import TemplateError
from router.domain.identity_headers import tells_who_calls
from router.domain.nearest_word import known_words
from router.domain.secrets import Secret
from router.plugins.build import Build
from router.plugins.target import BreakerSpec, TargetSpec, pause_warning
from router.templates import Template

_TIMEOUT_SECONDS = 30.0
_CONCURRENCY = 16
_WHO_CALLS = "a proxy tells by this header who calls; list it in pass_headers if the target needs it from a sender"
_NO_URL = Url(Template("", constant=""))


def compile_forward(options: ForwardOptions, build: Build) -> ForwardAction:
    """Compile the options to an action. Faults go to the build."""
    url = _url(options, build)
    if options.pass_headers is None:
        for name in sorted(filter(tells_who_calls, build.matched)):
            build.warn(f"{name} is not passed on, though the rule matches on it: {_WHO_CALLS}")
    target = _target(options, build, url)
    connection = _connection(options, build, url, target)
    total = options.timeout or build.timeout or _TIMEOUT_SECONDS
    return ForwardAction(
        target=target,
        url=url,
        method=options.method,
        headers=_headers(options, build, connection),
        connection=connection,
        pass_headers=tuple(options.pass_headers) if options.pass_headers is not None else None,
        body=compile_body(options.body, build),
        timeout=aiohttp.ClientTimeout(
            total=total, sock_connect=min(options.connect_timeout, total), sock_read=options.read_timeout
        ),
        is_literal_address=_is_literal_address(url),
        sign=_sign(options, build),
        response_limit=options.response_limit,
    )


def _url(options: ForwardOptions, build: Build) -> Url:
    if (options.url is None) == (options.target is None):
        build.fault("expected exactly one of url and target")
        return _NO_URL
    if options.target is not None:
        return _url_at_target(options, options.target, build)
    if options.path is not None:
        build.fault("path needs target; with url, write the whole URL there", "path")
    try:
        return compile_url(options.url or "", secrets=build.secrets, allow_hosts=tuple(options.allow_hosts))
    except TemplateError as error:
        build.fault(str(error), "url")
        return _NO_URL


def _url_at_target(options: ForwardOptions, target: str, build: Build) -> Url:
    spec = build.targets.get(target)
    if spec is None:
        known = known_words(build.targets) if build.targets else "known: none is defined"
        build.fault(f'undefined target "{target[:60]}"; {known}', "target")
        return _NO_URL
    if options.path is not None and not options.path.startswith("/"):
        build.fault("expected a path that begins with /", "path")
        return _NO_URL
    text = (spec.url or "http://unknown").rstrip("/") + (options.path or "")
    try:
        return compile_url(text, secrets=build.secrets, allow_hosts=tuple(options.allow_hosts))
    except TemplateError as error:
        if options.path is not None:  # without a path the fault is in the target's url, and is reported there
            build.fault(str(error), "path")
        return _NO_URL


def _target(options: ForwardOptions, build: Build, url: Url) -> TargetSpec:
    if options.target is not None:
        for key in ("concurrency", "rate", "breaker"):
            if getattr(options, key) is not None:
                build.fault(f"{key} belongs to the target: write it under targets: {options.target}", key)
        return build.targets.get(options.target) or TargetSpec(options.target, 1)
    concurrency, breaker = options.concurrency or _CONCURRENCY, options.breaker or BreakerSpec()
    if (warning := pause_warning(breaker)) is not None:
        build.warn(warning, "breaker")
    return TargetSpec(url.origin or build.name, concurrency, options.rate, breaker=breaker)


def _is_literal_address(url: Url) -> bool:
    """Whether the URL's host is written as an IP address, so that it can't lead elsewhere."""
    origin = url.origin
    return origin is not None and is_address(urlsplit(origin).hostname or "")


def _connection(options: ForwardOptions, build: Build, url: Url, target: TargetSpec) -> ConnectionSpec:
    """The action's connection, or its target's. If the action has its own auth, the target's secret is not sent."""
    if options.target is not None:
        for key in ("tls", "proxy"):
            if getattr(options, key) is not None:
                build.fault(f"{key} belongs to the target: write it under targets: {options.target}", key)
    else:
        check_encrypted(options, url.origin or "", build)
    own = compile_connection(options, build)
    of_target = target.connection
    if not isinstance(of_target, ConnectionSpec):
        return own
    return replace(of_target, auth=own.auth, unusable=own.unusable) if options.auth is not None else of_target


def _headers(options: ForwardOptions, build: Build, connection: ConnectionSpec) -> tuple[tuple[str, Template], ...]:
    for name in options.headers:
        if connection.auth is not None and connection.auth.replaces(name):
            build.fault(f"{name} is set by auth; remove one of them", "headers", name)
    compiled = ((name, _header(name, text, build)) for name, text in options.headers.items())
    return tuple((name, template) for name, template in compiled if template is not None)


def _header(name: str, text: str, build: Build) -> Template | None:
    if not name or any(not ("!" <= c <= "~") or c in '()<>@,;:\\"/[]?={}' for c in name):
        build.fault("expected a header name of letters, digits and -", "headers", name)
        return None
    if name.lower() in ("host", "content-length", "transfer-encoding", "connection"):
        build.fault(f"{name} is set by the connection itself", "headers", name)
        return None
    return compiled_template(text, build, "headers", name)


def _sign(options: ForwardOptions, build: Build) -> Secret | None:
    if options.sign is None:
        return None
    for name in options.headers:
        if name.lower() in SIGNATURE_HEADERS:
            build.fault(f"{name} is part of the signature, which sets it", "headers", name)
    secret = build.secret(options.sign.secret, "sign", "secret")
    if secret.is_set and signing_key(secret) is None:
        build.fault(
            f"the signing key is not {KEY_BYTES} bytes or more in base64 (with or without whsec_ before it)",
            *("sign", "secret"),
        )
    return secret

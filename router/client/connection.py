"""Compiles `auth`, `tls` and `proxy` of a forward or of a target."""

import base64
import re
import ssl
from dataclasses import dataclass
from urllib.parse import urlsplit

from router.client.tls import ClientFileError, client_context
from router.client.url import is_address, literal_fault
from router.domain.secrets import Secret, SecretRef
from router.plugins.build import Build
from router.plugins.connection import AuthOptions, BasicOptions, ConnectionOptions, ProxyOptions, TlsOptions

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  #: of a header: RFC 9110, section 5.6.2
_RESERVED = frozenset(
    {
        *("host", "content-length", "content-type", "transfer-encoding", "connection", "te", "trailer", "upgrade"),
        *("idempotency-key", "webhook-id", "webhook-timestamp", "webhook-attempt", "webhook-signature", "traceparent"),
        *("tracestate", "proxy-authorization"),
    }
)


@dataclass(frozen=True, slots=True)
class Auth:
    """A header that tells the target who calls."""

    header: str
    value: Secret  #: the whole value of the header
    shown: str  #: the value, with the names of secrets in place of their values

    def replaces(self, name: str) -> bool:
        """Whether servers read this header name as the same header."""
        return name.lower().replace("_", "-") == self.header.lower().replace("_", "-")


@dataclass(frozen=True, slots=True)
class Proxy:
    """An HTTP proxy."""

    url: str
    authorization: Secret | None = None  #: the whole value of Proxy-Authorization

    @property
    def is_literal_address(self) -> bool:
        """Whether its host is written as an IP address."""
        return is_address(urlsplit(self.url).hostname or "")


@dataclass(frozen=True, slots=True)
class ConnectionSpec:
    """How a forward connects to its target and authenticates there."""

    auth: Auth | None = None
    tls: ssl.SSLContext | None = None  #: None: the system's authorities are trusted, without a client certificate
    proxy: Proxy | None = None
    unusable: str = ""  #: why this connection can't be made; empty when it can


PLAIN = ConnectionSpec()


def compile_connection(options: ConnectionOptions, build: Build) -> ConnectionSpec:
    """Compile the options to a connection. Faults go to the build."""
    auth = _auth(options.auth, build) if options.auth is not None else None
    tls = _tls(options.tls, build) if options.tls is not None else None
    proxy = _proxy(options.proxy, build) if options.proxy is not None else None
    return ConnectionSpec(auth, tls, proxy, _unset(auth, proxy) or _unread(options.tls, tls))


def check_encrypted(options: ConnectionOptions, url: str, build: Build) -> None:
    """Report `tls` for a URL that begins with http://."""
    if options.tls is not None and url.lower().startswith("http://"):
        build.fault("the URL begins with http://, where nothing is encrypted; write https://", "tls")


def _unset(auth: Auth | None, proxy: Proxy | None) -> str:
    if auth is not None and not auth.value.is_set:
        return f"{auth.value.name} is not set"
    if proxy is not None and proxy.authorization is not None and not proxy.authorization.is_set:
        return f"{proxy.authorization.name} is not set"
    return ""


def _unread(options: TlsOptions | None, made: ssl.SSLContext | None) -> str:
    if options is None or made is not None:
        return ""
    names = [name for name in (options.ca, options.cert, options.key) if name is not None]
    return f"no connection can be made with the files of tls: {', '.join(names)}; see webhook-router check"


def _auth(options: AuthOptions, build: Build) -> Auth | None:
    given = [key for key in ("basic", "bearer", "header") if getattr(options, key) is not None]
    if options.value is not None and options.header is None:
        build.fault("value needs header: {header: X-Api-Key, value: {env: NAME}}", "auth", "value")
        return None
    if len(given) != 1:
        found = f"found {' and '.join(given)}" if given else "found none of them"
        build.fault(f"expected exactly one of basic, bearer, and header with value; {found}", "auth")
        return None
    if options.basic is not None:
        return _basic(options.basic, build)
    if options.bearer is not None:
        token = build.secret(options.bearer, "auth", "bearer")
        _check_value(token, build, "auth", "bearer")
        return Auth("Authorization", _with_prefix(token, "Bearer "), f"Bearer {_shown(token)}")
    return _own_header(options, build)


def _own_header(options: AuthOptions, build: Build) -> Auth | None:
    name = options.header or ""
    if not _NAME.fullmatch(name):
        build.fault("expected a header name of letters, digits and -", "auth", "header")
        return None
    if name.lower() in _RESERVED:
        build.fault(f"{name} is set by the forward itself; name the header that the target reads", "auth", "header")
        return None
    if options.value is None:
        build.fault("missing value: the secret to send in this header, such as {env: NAME}", "auth")
        return None
    value = build.secret(options.value, "auth", "value")
    _check_value(value, build, "auth", "value")
    return Auth(name, value, _shown(value))


def _basic(options: BasicOptions, build: Build) -> Auth:
    user = _user(options.username, build, "auth", "basic", "username")
    password = build.secret(options.password, "auth", "basic", "password") if options.password is not None else None
    return Auth("Authorization", _basic_value(user, password, build), f"Basic {_shown(user)}:{_shown(password)}")


def _user(value: str | SecretRef, build: Build, *place: str) -> Secret | str:
    user = value if isinstance(value, str) else build.secret(value, *place)
    if ":" in _text(user):
        build.forbid("a user's name can't hold a colon, which ends it (RFC 7617)", *place)
    return user


def _basic_value(user: Secret | str, password: Secret | None, build: Build) -> Secret:
    """The value of the header, from the user's name and the password."""
    unset = next((one for one in (user, password) if isinstance(one, Secret) and not one.is_set), None)
    if unset is not None:
        return unset
    pair = f"{_text(user)}:{_text(password)}".encode(errors="surrogateescape")
    coded = base64.b64encode(pair).decode()
    name = next((one.name for one in (password, user) if isinstance(one, Secret)), "password")
    build.hide(Secret(name, coded))
    return Secret(name, f"Basic {coded}")


def _with_prefix(secret: Secret, before: str) -> Secret:
    return Secret(secret.name, before + secret.reveal() if secret.is_set else None)


def _check_value(secret: Secret, build: Build, *place: str) -> None:
    if secret.is_set and not (secret.reveal().isascii() and secret.reveal().isprintable()):
        build.forbid(
            f"{secret.name} can't be sent in a header: it holds a line break, or another character that is not "
            "printable ASCII; is it the right file?",
            *place,
        )


def _text(value: Secret | str | None) -> str:
    if isinstance(value, Secret):
        return value.reveal() if value.is_set else ""
    return value or ""


def _shown(value: Secret | str | None) -> str:
    return "" if value is None else str(value)


def _tls(options: TlsOptions, build: Build) -> ssl.SSLContext | None:
    if options.ca is None and options.cert is None and options.key is None:
        build.fault("expected ca, or cert and key, or all three", "tls")
        return None
    for one, other in (("cert", "key"), ("key", "cert")):
        if getattr(options, one) is not None and getattr(options, other) is None:
            build.fault(f"{one} needs {other}: a client certificate and its private key go together", "tls")
            return None
    found: dict[str, bytes] = {}
    for key in ("ca", "cert", "key"):
        name = getattr(options, key)
        if name == "":
            build.fault("expected the name of a file", "tls", key)
            return None
        content = build.file(name, "tls", key, private=key == "key") if name is not None else b""
        if content is None:
            continue
        found[key] = content
    if len(found) < 3:
        return None
    return _context(options, found, build)


def _context(options: TlsOptions, found: dict[str, bytes], build: Build) -> ssl.SSLContext | None:
    names = (options.ca or "", options.cert or "", options.key or "")
    try:
        made = client_context(names, found["ca"], found["cert"], found["key"])
    except ClientFileError as error:
        build.forbid(str(error), "tls", error.part)
        return None
    for key, warning in made.warnings:
        build.warn(warning, "tls", key)
    return made.context


def _proxy(options: ProxyOptions, build: Build) -> Proxy | None:
    fault = literal_fault(options.url)
    if not options.url.startswith("http://"):
        fault = "expected http:// and the proxy's host and port, such as http://proxy.internal:3128"
    elif "@" in options.url:
        fault = "a user or password in a URL would be a secret in the file; write {url: …, username: …, password: …}"
    elif "{{" in options.url or "{%" in options.url:
        fault = "a proxy is constant: payload text must not pick where requests go"
    elif not fault and urlsplit(options.url).path not in ("", "/"):
        fault = "a proxy has a host and a port, and no path"
    if fault:
        build.fault(fault, "proxy", "url")
        return None
    if options.username is None:
        if options.password is not None:
            build.fault("password needs username", "proxy", "password")
        return Proxy(options.url)
    user = _user(options.username, build, "proxy", "username")
    password = build.secret(options.password, "proxy", "password") if options.password is not None else None
    return Proxy(options.url, _basic_value(user, password, build))

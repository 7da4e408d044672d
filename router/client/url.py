"""URLs of forwards. A payload can choose neither the host nor another place in the path."""

import contextlib
import fnmatch
import functools
import ipaddress
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

from router.client.dot_segments import escapes
from router.domain.errors import RenderError, TemplateError
from router.domain.secrets import Secret
from router.templates import Context, Mask, Template, compile_template

_BY_SECRET = re.compile(r"\s*\{\{-?\s*secrets(?:\.(\w+)|\[['\"](\w+)['\"]\])\s*-?\}\}")
_LITERAL = re.compile(r"(https?)://([^/?#{]*)([/?]|$)")
_TEMPLATE = re.compile(r"\{\{.*?\}\}", re.DOTALL)
_HOST = re.compile(r"[A-Za-z0-9_.-]+|[0-9A-Fa-f:.]+(%[A-Za-z0-9]+)?")  # a name or IPv4; IPv6 with a zone
_TEXT = re.compile(r"[!-~]*")


@dataclass(frozen=True, slots=True)
class Url:
    """A checked URL template."""

    rest: Template  #: all of it, or what follows the secret
    secret: str | None = None  #: the secret that gives scheme and authority
    allow_hosts: tuple[str, ...] = ()  #: globs that a templated authority must be one of

    def render(self, values: Context) -> str:
        """The URL to call. Raises RenderError."""
        rest = self.rest.render(values)
        if self.secret is None:
            if self.rest.constant is not None:
                _check_constant(rest, self.allow_hosts)
            else:
                _check_host(rest, self.allow_hosts)
                self._check_values(urlsplit(rest).path, values)
            return rest
        base: str | None = values.values["secrets"].get(self.secret)
        if base is None:
            raise RenderError(f"secrets.{self.secret} is missing")
        self._check_values(rest.partition("?")[0], values)
        if isinstance(base, Mask):
            return str(base) + rest
        if rest.startswith("/"):
            base = base.rstrip("/")
        url = base.strip() + rest
        if not _TEXT.fullmatch(url) or literal_fault(url, userinfo=True):
            raise RenderError(f"secrets.{self.secret} does not hold an http(s) URL")
        _check_segments(url)
        return url

    def _check_values(self, path: str, values: Context) -> None:
        """Values must stay in their segment, however often the target decodes the path. Raises RenderError."""
        if self.rest.constant is not None or ("%" not in path and "." not in path):
            return
        why = escapes(path)
        if why:
            raise RenderError(f"{self._culprits(values)} could leave its place in the URL's path: it holds {why}")

    def _culprits(self, values: Context) -> str:
        """The fields whose values lead elsewhere; all fields of the path if only their combination does."""
        found, all_of_them = [], []
        for piece in _TEMPLATE.findall(self.rest.text.partition("?")[0]):
            with contextlib.suppress(TemplateError, RenderError):  # a part of a {% for %} can't stand alone
                template = compile_template(piece, secrets=self.rest.secrets, url=True)
                all_of_them += template.fields
                if escapes(template.render(values)):
                    found += template.fields
        names = found or all_of_them or self.rest.fields
        return ", ".join(dict.fromkeys(names)) or "a template"

    @property
    def origin(self) -> str | None:
        """`scheme://host:port` when it is literal, for the limits that its forwards share."""
        literal, template, _ = self.rest.text.partition("{{")
        if self.secret is not None or literal_fault(literal, ends=not template):
            return None
        parts = urlsplit(literal)
        port = parts.port or (443 if parts.scheme == "https" else 80)
        host = parts.hostname or ""
        return f"{parts.scheme}://{f'[{host}]' if ':' in host else host}:{port}"

    @property
    def place(self) -> str:
        """Its name in errors: without userinfo, path and query."""
        return f"<secret:{self.secret}>" if self.secret is not None else self.origin or "its target"


def compile_url(text: str, *, secrets: Collection[str], allow_hosts: tuple[str, ...] = ()) -> Url:
    """Check a URL template. Raises TemplateError."""
    literal, template, _ = text.partition("{{")
    if "#" in literal:
        raise TemplateError("a URL's fragment (#…) is never sent; remove it, or write %23")
    by_secret = _BY_SECRET.match(text)
    if by_secret:
        rest = text[by_secret.end() :]
        if rest and not rest.startswith(("/", "?")):
            raise TemplateError("after a secret that holds the URL only a path (/…) or a query (?…) may follow")
        compile_template(by_secret.group(), secrets=secrets)  # for its error when the secret isn't declared
        _check_literal_parts(rest)
        return Url(compile_template(rest, secrets=secrets, url=True), by_secret[1] or by_secret[2])
    fault = literal_fault(literal, ends=not template)
    if fault and not (allow_hosts and re.match(r"https?://", text)):
        raise TemplateError(fault + _TEMPLATED if template else fault)
    compiled = compile_template(text, secrets=secrets, url=True)
    _check_literal_parts(text)
    return Url(compiled, None, allow_hosts)


_TEMPLATED = (
    "; payload text must not pick the host: write it out up to the / after it, take the URL whole from a secret, "
    "or list the hosts in allow_hosts"
)


def literal_fault(text: str, *, ends: bool = True, userinfo: bool = False) -> str:
    """What is wrong with the scheme and authority at the beginning of a text; empty when nothing is.

    A text that doesn't end there (a template follows) has to close its authority with a slash or a question mark.
    A user and password may stand in a secret's value only.
    """
    found = _LITERAL.match(text)
    if not found:
        return "expected http:// or https:// and a host"
    if not ends and not found[3]:
        return "a template is in the host or port"
    if "@" in found[2] and not userinfo:
        return "a user or password in a URL would be a secret in the file; take the URL whole from a secret"
    try:
        parts = urlsplit(found.group())
        host, port = parts.hostname, parts.port
    except ValueError:
        return "the host or port of the URL is not valid"
    if not host or port == 0 or not _HOST.fullmatch(host) or _is_odd_number(host):
        return "the host or port of the URL is not valid"
    return ""


def is_address(host: str) -> bool:
    """Whether a URL's host is an IP address."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _is_odd_number(host: str) -> bool:
    """Whether it is an IPv4 address in an unusual spelling: decimal, octal, shortened."""
    if not re.fullmatch(r"[0-9.]+", host):
        return False
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return True
    return False


def _check_literal_parts(text: str) -> None:
    parts = re.split(r"\{\{.*?\}\}|\{%.*?%\}", text, flags=re.DOTALL)
    in_path = True
    for number, part in enumerate(parts):
        if not _TEXT.fullmatch(part) or "\\" in part:
            raise TemplateError("a URL is plain ASCII without spaces and backslashes; percent-encode what is not")
        # A segment with a template in it is judged when it is rendered.
        last = None if number == len(parts) - 1 and len(parts) > 1 else -1
        segments = part.split("?")[0].split("/")[1:last]
        if any(unquote(segment) in (".", "..") for segment in segments[: None if last else -1]):
            raise TemplateError("a URL's path may not contain . or .. segments; write the path out")
        if len(parts) > 1 and in_path and (why := escapes("/".join(segments))):
            raise TemplateError(f"beside a template, a URL's path may not hold {why}, even encoded; write the path out")
        in_path = in_path and "?" not in part


def _check_host(url: str, allow_hosts: tuple[str, ...]) -> None:
    """Payload text must not change the host. Raises RenderError."""
    host = (urlsplit(url).hostname or "").lower()
    if allow_hosts and not any(fnmatch.fnmatchcase(host, allowed.lower()) for allowed in allow_hosts):
        raise RenderError("the URL's host is not among allow_hosts")
    if literal_fault(url):
        raise RenderError("the URL is not valid")


@functools.lru_cache(maxsize=1024)  # an exception is not cached
def _check_constant(url: str, allow_hosts: tuple[str, ...]) -> None:
    _check_segments(url)
    _check_host(url, allow_hosts)


def _check_segments(url: str) -> None:
    if any(unquote(segment) in (".", "..") for segment in urlsplit(url).path.split("/")):
        raise RenderError("a segment of the URL's path would be . or ..")


def check_target_url(text: str, secrets: Mapping[str, Secret]) -> list[str]:
    """What is wrong with the url of a named target, for the loader."""
    try:
        url = compile_url(text, secrets=secrets)
    except TemplateError as error:
        return [str(error)]
    if url.rest.constant is None:
        return ["a target's url is literal, or one whole secret; what varies goes into an action's path:"]
    if "?" in text:
        return ["a target's url has no query; give it in an action's path:"]
    return []

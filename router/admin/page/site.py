"""The page's site: finds the view of a request, and decides who may see it and who may act."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import falcon
import structlog

from router.admin.auth.access import AccessCheck
from router.admin.daemon_handle import DaemonHandle
from router.admin.page.assets import asset
from router.admin.page.exchange import Fields, PageRequest, html, read_cookies, read_fields, see_other
from router.admin.page.render import address, render
from router.admin.page.sessions import SESSION_SECONDS, Session, Sessions, same
from router.admin.page.view import FORM_BYTES, Problem, View
from router.admin.page.views import find_view
from router.admin.reading import ViewReading
from router.domain.errors import StoreError
from router.domain.reply import Reply
from router.operate.words import size

SIGN_IN, SIGN_OUT = "/sign-in", "/sign-out"
_LOOPBACK = ("127.", "::1")
_TITLES = {403: "Not allowed", 404: "Not here", 405: "Not that way", 413: "Too large", 503: "Not just now"}

_NOT_DONE = "Your session has ended, so nothing was done. Sign in, and try again."
_STORE_AWAY = "the store can't be read or written at the moment; the log says why. Try again later"

Found = tuple[View, Mapping[str, str]]
"""A view, and the fields of the path."""

Limited = Callable[[Callable[[], Reply]], Reply]
"""Runs what uses the store, or refuses while too many others use it."""

log = structlog.get_logger()


@dataclass(slots=True)
class Site:
    """The site. Any thread may call it."""

    daemon: DaemonHandle
    access: AccessCheck
    sessions: Sessions = field(default_factory=lambda: Sessions(time.monotonic))

    def has(self, path: str) -> bool:
        """Whether a path belongs to the page."""
        return asset(path) is not None or path in (SIGN_IN, SIGN_OUT) or find_view(path) is not None

    def reply(self, request: falcon.Request, path: str, limited: Limited) -> Reply:
        """The reply to a request for a path of the page. Only views use the store, so only they are `limited`: somebody
        signs in even while others read much."""
        found = asset(path)
        if found is not None:
            return found if request.method in ("GET", "HEAD") else self._refused(None, 405, "use GET")
        view = find_view(path)
        read = self._read(request, path, view)
        if isinstance(read, Reply):
            return read
        if path == SIGN_IN:
            return self._sign_in(read)
        # A browser that follows a link from another site sees the sign-in page, even with a session.
        if self.access.is_foreign(read.headers):
            return self._ask(read)
        session = self.sessions.find(_cookie_of(read))
        if session is None:
            return self._ask(read, error=_NOT_DONE if read.method == "POST" and view is not None else "")
        if read.method == "POST" and not self._is_ours(read, session):
            return self._refused(session, 403, "the form did not come from this page; reload it and try again")
        if path == SIGN_OUT:
            return self._sign_out(read)
        if view is None:
            return self._refused(session, 404, "not here")
        return limited(lambda: self._run(view, read, session))

    def _run(self, found: Found, read: PageRequest, session: Session) -> Reply:
        view, fields = found
        if read.method not in view.methods:
            return self._refused(session, 405, f"use {' or '.join(view.methods)}")
        if read.method == "POST" and view.acts and not session.may_act:
            return self._refused(session, 403, "this token may only read")
        try:
            reads = read.method == "GET" or not view.acts
            elsewhere = self.daemon.elsewhere(ViewReading(replace(read, cookies={}), session)) if reads else None
            daemon = self.daemon if session.may_act else self.daemon.for_reader
            return elsewhere or view.show(daemon, read, session, fields)
        except Problem as problem:
            return self._refused(session, problem.status, str(problem))
        except StoreError as error:
            log.error("admin request failed: the store can't be read or written", error=str(error))
            return self._refused(session, 503, _STORE_AWAY)

    def lost(self) -> Reply:
        """The reply to a browser that asks for an address that is not there."""
        return self._refused(None, 404, "there is nothing at this address; it may be mistyped, or from another version")

    def busy(self) -> Reply:
        """The reply while too many requests are under way."""
        return self._refused(None, 503, "too many requests are under way; try again in a moment")

    def _read(self, request: falcon.Request, path: str, view: Found | None) -> PageRequest | Reply:
        if request.method not in ("GET", "HEAD", "POST"):
            return self._refused(None, 405, "use GET or POST")
        headers = {name.lower(): value for name, value in request.headers.items()}
        cookies = read_cookies(headers.get("cookie", ""))
        ip, by_tls = request.env.get("REMOTE_ADDR", ""), request.env.get("wsgi.url_scheme") == "https"
        origin = self.access.origin(headers, is_secure=by_tls)
        method = "GET" if request.method == "HEAD" else request.method
        read = PageRequest(method, path, {}, {}, cookies, headers, ip, origin, self.daemon.now_ms())
        is_known = view is not None and self.sessions.find(_cookie_of(read)) is not None
        most = view[0].form_bytes if view is not None and is_known else FORM_BYTES
        try:
            query = read_fields(request.env.get("QUERY_STRING", ""))
            form = _form(request, most) if request.method == "POST" else {}
        except ValueError:
            return self._refused(None, 413, f"the form is larger than {size(most)}, or has too many fields")
        return replace(read, query=query, form=form)

    def _is_ours(self, read: PageRequest, session: Session) -> bool:
        """Whether a form came from our own page: it has the exact origin and the session's secret."""
        return read.headers.get("origin", "") == read.origin and same(read.sent("csrf"), session.csrf)

    def _sign_in(self, read: PageRequest) -> Reply:
        if read.method == "GET" or self.access.is_foreign(read.headers):
            return self._ask(read)
        if not read.is_secure and not read.ip.startswith(_LOOPBACK):
            return self._ask(
                read, 403, "Signing in from another machine needs https: see --admin-tls-cert and --admin-url."
            )
        if read.headers.get("origin") != read.origin:
            return self._ask(read, 403, "The form did not come from this page.")
        if self.access.check_guesses(read.ip) is not None:
            return self._ask(read, 429, "Too many wrong tokens came from this address. Wait some seconds.")
        if read.sent("code"):
            if not self.sessions.redeem(read.sent("code")):
                self.access.guessed_wrong(read.ip)
                return self._ask(read, 401, "This link was used before, or is too old. Sign in with the token.")
            return self._begin(read, may_act=True)
        return self._by_token(read)

    def _by_token(self, read: PageRequest) -> Reply:
        token = read.sent("token").strip()
        given = [f"Bearer {token}"] if token else []
        if self.access.check_token(given, read.ip, acts=False) is None:
            return self._begin(read, may_act=self.access.check_token(given, read.ip) is None)
        return self._ask(read, 401, "This is not the admin token. The token is in the file beside the store.")

    def _begin(self, read: PageRequest, *, may_act: bool) -> Reply:
        cookie, _ = self.sessions.begin(may_act=may_act)
        log.info("signed in to the page", ip=read.ip)
        return see_other(_own_path(read.sent("to")), self._cookie(cookie, int(SESSION_SECONDS), read))

    def _sign_out(self, read: PageRequest) -> Reply:
        if read.method != "POST":
            return see_other("/")
        self.sessions.end(_cookie_of(read))
        return see_other(SIGN_IN, self._cookie("", 0, read))

    def _cookie(self, value: str, seconds: int, read: PageRequest) -> tuple[str, str]:
        secure = "; Secure" if read.is_secure else ""
        cookie = f"{_cookie_name(read)}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}"
        return "Set-Cookie", cookie

    def _ask(self, read: PageRequest, status: int = 200, error: str = "") -> Reply:
        """The sign-in page. It leads back to the requested page."""
        wanted = read.sent("to") or (read.one("to") if read.path == SIGN_IN else _address_of(read))
        text = render("sign_in.html", to=_own_path(wanted), code=read.one("code"), error=error)
        return html(text, status if status != 200 or read.path == SIGN_IN else 401)

    def _refused(self, session: Session | None, status: int, reason: str) -> Reply:
        title = _TITLES.get(status, "Not possible")
        later = (("Retry-After", "5"),) if status == 503 else ()
        return html(render("problem.html", session=session, title=title, reason=reason, here=""), status, *later)


def _cookie_name(read: PageRequest) -> str:
    """The cookie's name. It has the port, since browsers share cookies among the ports of a host, and two daemons may
    run on one."""
    port = read.headers.get("host", "").rpartition(":")[2]
    return f"webhook-router-{port}" if port.isdigit() else "webhook-router"


def _cookie_of(read: PageRequest) -> str | None:
    return read.cookies.get(_cookie_name(read))


def form_limit(path: str) -> int:
    """The largest form that a path accepts, in bytes; 0 for a path outside the page."""
    found = find_view(path)
    return 0 if found is None else found[0].form_bytes


def _form(request: falcon.Request, most: int) -> Fields:
    content: bytes = request.env["wsgi.input"].read(most + 1)
    if len(content) > most:
        raise ValueError("the form is too large")
    return read_fields(content.decode("utf-8", "replace"))


def _address_of(read: PageRequest) -> str:
    """Where a request that needs a session came from: the URL itself, or the view whose form was sent."""
    if read.method == "GET":
        return address(read.path, **read.query)
    origin, referer = read.origin, read.headers.get("referer", "")
    path = referer.removeprefix(origin) if referer.startswith(origin + "/") else ""
    return path if find_view(path.partition("?")[0]) is not None else "/"


def _own_path(path: str) -> str:
    """The path if it is one of ours, else the overview. No form leads to another site."""
    plain = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable() and path.isascii()
    return path if plain else "/"

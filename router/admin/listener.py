"""The admin listener: Falcon's application on waitress. With TLS on our own server, since waitress has no TLS."""

from collections.abc import Collection, Iterable

from router.admin.api.endpoint import RULES_BYTES
from router.admin.api.routes import body_limit as api_limit
from router.admin.app import CONNECTIONS, THREADS, admin_app
from router.admin.auth.access import AccessCheck
from router.admin.page.site import Site, form_limit
from router.domain.external_url import ExternalUrl
from router.domain.listen_address import ListenAddress
from router.http.certificate import Certificate
from router.http.problem import refusal
from router.http.refusals import Refusals
from router.http.server import Server
from router.http.waitress_server import WaitressServer
from router.http.wsgi import Application, Environ, StartResponse
from router.http.wsgi_handler import wsgi_handler


def admin_listener(
    site: Site,
    address: ListenAddress,
    request_seconds: float,
    certificate: Certificate | None = None,
) -> WaitressServer | Server:
    """Bind the address, without serving yet. Raises StartError."""
    app, refusals = admin_app(site.daemon, site.access, site), Refusals("admin")
    if certificate is not None:
        return Server(
            wsgi_handler(app),
            address.host,
            address.port,
            body_limit=body_limit,
            refusals=refusals,
            connections=CONNECTIONS,
            request_seconds=request_seconds,
            threads=THREADS,
            inline_bytes=-1,  # workers only, since the application reads the store
            tls=certificate,
        )
    return WaitressServer(
        _with_body_limit(app, refusals),
        address.host,
        address.port,
        threads=THREADS,
        connections=CONNECTIONS,
        largest_body=RULES_BYTES,
        request_seconds=request_seconds,
        name="admin",
    )


def access_check(
    address: ListenAddress,
    token: bytes,
    read_token: bytes | None,
    names: Collection[str],
    external: ExternalUrl | None = None,
) -> AccessCheck:
    """Which requests are accepted. `names` are further host names of the listener; `external` is its address behind a
    proxy."""
    known = {address.host.lower(), *names, *([] if external is None else [external.name])}
    # Through a proxy other machines reach a listener on loopback.
    closed = external is not None or not address.is_loopback
    return AccessCheck(token, known, closed=closed, read_token=read_token, external=external)


def body_limit(path: str) -> int:
    """The largest body of a path, in bytes: of the API, or a form of the page, which checks it further."""
    return max(api_limit(path), form_limit(path))


def _with_body_limit(app: Application, refusals: Refusals) -> Application:
    """The application with the body limit of each path; waitress has one limit for all paths."""

    def limited(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        length = environ.get("CONTENT_LENGTH") or "0"  # waitress sets it for chunked bodies too
        if int(length) <= body_limit(environ["PATH_INFO"]):
            return app(environ, start_response)
        refusals.tell(None, 413, "size", environ.get("REMOTE_ADDR", ""), environ["REQUEST_METHOD"])
        reply = refusal(413)
        start_response(reply.status_line, [("Content-Type", str(reply.content_type))])
        return [reply.body]

    return limited

"""A server's certificate and key, checked file by file, as an SSL context for new connections."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from router.domain.certificates import (
    MOST_BYTES,
    CertificateError,
    certificates,
    check_dates,
    check_pair,
    is_authority,
    private_key,
    reason,
    subject,
)
from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.trust import exposure


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a listener's certificate is. All three are PEM."""

    cert: Path  #: the server's certificate, and after it those that lead to its authority
    key: Path  #: its private key, without a passphrase
    client_ca: Path | None = None  #: the authorities that sign clients' certificates; None: clients need no certificate

    def paths(self) -> tuple[Path, ...]:
        """All of them."""
        return (self.cert, self.key) if self.client_ca is None else (self.cert, self.key, self.client_ca)


class Certificate:
    """The certificate that new connections get. One thread reloads it; any thread may read `context` and `expires`."""

    context: ssl.SSLContext
    expires: datetime

    def __init__(self, files: TlsFiles) -> None:
        """Raises CertificateError."""
        self.files = files
        self.reload()

    def reload(self) -> None:
        """Read the files again. Raises CertificateError, and the old certificate stays."""
        try:
            context, expires = _load(self.files, datetime.now(UTC))
        except (ValueError, UnsupportedAlgorithm) as error:  # cryptography parses the parts when they are asked for
            raise CertificateError(f"{self.files.cert}: it can't be read as a certificate: {error}") from None
        # One assignment each: a connection that begins now gets the old context or the new one, and both are whole.
        self.context, self.expires = context, expires


def _load(files: TlsFiles, now: datetime) -> tuple[ssl.SSLContext, datetime]:
    chain = certificates(files.cert, _read(files.cert, "answer in this server's name"))
    key = private_key(files.key, _read(files.key, "answer in this server's name"))
    check_pair(chain, key, files.cert, files.key)
    check_dates(chain[0], files.cert, now)
    context = _new_context()
    try:
        context.load_cert_chain(files.cert, files.key, password=b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise CertificateError(f"{files.cert}: OpenSSL does not take it: {reason(error)}") from None
    if files.client_ca is not None:
        _require_client_certificates(context, files.client_ca, now)
    return context, chain[0].not_valid_after_utc


def _new_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _require_client_certificates(context: ssl.SSLContext, path: Path, now: datetime) -> None:
    authorities = certificates(path, _read(path, "let in clients of their own"))
    for authority in authorities:
        if not is_authority(authority):
            cure = "put the certificate that signed it here"
            raise CertificateError(f"{path}: {subject(authority)} is not the certificate of an authority; {cure}")
    if not any(authority.not_valid_before_utc <= now <= authority.not_valid_after_utc for authority in authorities):
        check_dates(authorities[0], path, now)
    pem = b"".join(authority.public_bytes(serialization.Encoding.PEM) for authority in authorities)
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (OSError, ValueError) as error:
        raise CertificateError(f"{path}: OpenSSL does not take it: {reason(error)}") from None
    context.verify_mode = ssl.CERT_REQUIRED
    # A session ticket would let a client in again without a check of its certificate.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _read(path: Path, gain: str) -> bytes:
    try:
        content = read_file(path, MOST_BYTES)
    except Unreadable as error:
        raise CertificateError(f"{path}: can't be read: {error}") from None
    exposed = exposure(path)
    if exposed is not None:
        raise CertificateError(f"{path}: {exposed.sentence(gain)}")
    return content

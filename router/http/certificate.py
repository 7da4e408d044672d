"""A server's certificate and key, checked file by file, as an SSL context for new connections."""

import ssl
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from router.domain.errors import StartError
from router.domain.files.bounded import Unreadable, read_file
from router.domain.files.trust import exposure

_MOST_BYTES = 1024 * 1024  #: of each file; a system's bundle of all public authorities has a fifth
_DER = serialization.Encoding.DER
_PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


class CertificateError(StartError):
    """A file that can't be used; the text names the file, the cause and the cure."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """Where a listener's certificate is. All three are PEM."""

    cert: Path  #: the server's certificate, and after it those that lead to its authority
    key: Path  #: its private key, without a passphrase
    client_ca: Path | None = None  #: the authorities that sign clients' certificates; None: clients need none

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
    chain = _certificates(files.cert, _read(files.cert, "answer in this server's name"))
    key = _key(files.key, _read(files.key, "answer in this server's name"))
    _check_pair(chain, key, files)
    _check_dates(chain[0], files.cert, now)
    context = _new_context()
    try:
        context.load_cert_chain(files.cert, files.key, password=b"")
    except (OSError, ValueError) as error:  # SSLError is an OSError
        raise CertificateError(f"{files.cert}: OpenSSL does not take it: {_reason(error)}") from None
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
    authorities = _certificates(path, _read(path, "let in clients of their own"))
    for authority in authorities:
        if not _is_authority(authority):
            cure = "put the certificate that signed it here"
            raise CertificateError(f"{path}: {_name(authority)} is not the certificate of an authority; {cure}")
    if not any(authority.not_valid_before_utc <= now <= authority.not_valid_after_utc for authority in authorities):
        _check_dates(authorities[0], path, now)
    pem = b"".join(authority.public_bytes(serialization.Encoding.PEM) for authority in authorities)
    try:
        context.load_verify_locations(cadata=pem.decode("ascii"))
    except (OSError, ValueError) as error:
        raise CertificateError(f"{path}: OpenSSL does not take it: {_reason(error)}") from None
    context.verify_mode = ssl.CERT_REQUIRED
    # A ticket would let a client in again without its certificate being looked at.
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0


def _read(path: Path, gain: str) -> bytes:
    try:
        content = read_file(path, _MOST_BYTES)
    except Unreadable as error:
        raise CertificateError(f"{path}: can't be read: {error}") from None
    exposed = exposure(path)
    if exposed is not None:
        raise CertificateError(f"{path}: {exposed.sentence(gain)}")
    return content


def _certificates(path: Path, content: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        reason = "there is no PEM certificate in it (-----BEGIN CERTIFICATE-----), or a damaged one"
        raise CertificateError(f"{path}: {reason}; copy the file again from where it was made") from None


def _key(path: Path, content: bytes) -> PrivateKeyTypes:
    try:
        return serialization.load_pem_private_key(content, None)
    except TypeError:
        cure = "write it without one, such as by `openssl pkey -in OLD -out NEW`"
        raise CertificateError(f"{path}: the key has a passphrase, and nobody is there to type it; {cure}") from None
    except (ValueError, UnsupportedAlgorithm):
        reason = "there is no PEM private key in it (-----BEGIN PRIVATE KEY-----), or a damaged one"
        raise CertificateError(f"{path}: {reason}; are certificate and key swapped?") from None


def _check_pair(chain: list[x509.Certificate], key: PrivateKeyTypes, files: TlsFiles) -> None:
    public = key.public_key().public_bytes(_DER, _PUBLIC)
    fits = [certificate.public_key().public_bytes(_DER, _PUBLIC) == public for certificate in chain]
    if fits[0]:
        return
    if any(fits):
        raise CertificateError(f"{files.cert}: the server's own certificate has to be the first in the file")
    raise CertificateError(f"{files.key}: the key is not that of the certificate in {files.cert}; renew both together")


def _check_dates(certificate: x509.Certificate, path: Path, now: datetime) -> None:
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    name = _name(certificate)
    if now > ends:
        raise CertificateError(f"{path}: {name} expired at {_shown(ends)}; renew it")
    if now < begins:
        raise CertificateError(f"{path}: {name} is not valid before {_shown(begins)}; is this machine's clock right?")


def _is_authority(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.version is x509.Version.v1  # which had no extensions
    except ValueError:
        return False


def _name(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "the certificate"


def _shown(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")


def _reason(error: Exception) -> str:
    found = getattr(error, "reason", None)
    return str(found).lower().replace("_", " ") if found else "the file is not valid"

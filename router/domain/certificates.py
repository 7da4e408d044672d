"""PEM certificates and keys, checked with messages that name the file, the cause and the cure."""

from datetime import datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from router.domain.errors import StartError

MOST_BYTES = 1024 * 1024  #: of each file; a system's bundle of all public authorities has a fifth
_DER = serialization.Encoding.DER
_PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo


class CertificateError(StartError):
    """A file that can't be used; the text names the file, the cause and the cure."""


def certificates(path: object, content: bytes) -> list[x509.Certificate]:
    """The certificates of a file, at least one. Raises CertificateError."""
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        cause = "there is no PEM certificate in it (-----BEGIN CERTIFICATE-----), or a damaged one"
        raise CertificateError(f"{path}: {cause}; copy the file again from where it was made") from None


def private_key(path: object, content: bytes) -> PrivateKeyTypes:
    """The private key of a file. Raises CertificateError."""
    try:
        return serialization.load_pem_private_key(content, None)
    except TypeError:
        cure = "write it without one, such as by `openssl pkey -in OLD -out NEW`"
        raise CertificateError(f"{path}: the key has a passphrase, and nobody is there to type it; {cure}") from None
    except (ValueError, UnsupportedAlgorithm):
        cause = "there is no PEM private key in it (-----BEGIN PRIVATE KEY-----), or a damaged one"
        raise CertificateError(f"{path}: {cause}; are certificate and key swapped?") from None


def check_pair(chain: list[x509.Certificate], key: PrivateKeyTypes, cert_path: object, key_path: object) -> None:
    """The key must be that of the first certificate. Raises CertificateError."""
    public = key.public_key().public_bytes(_DER, _PUBLIC)
    fits = [certificate.public_key().public_bytes(_DER, _PUBLIC) == public for certificate in chain]
    if fits[0]:
        return
    if any(fits):
        raise CertificateError(f"{cert_path}: the certificate of the key has to be the first in the file")
    raise CertificateError(f"{key_path}: the key is not that of the certificate in {cert_path}; renew both together")


def check_dates(certificate: x509.Certificate, path: object, now: datetime) -> None:
    """The certificate must be valid now. Raises CertificateError."""
    begins, ends = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    name = subject(certificate)
    if now > ends:
        raise CertificateError(f"{path}: {name} expired at {_shown(ends)}; renew it")
    if now < begins:
        raise CertificateError(f"{path}: {name} is not valid before {_shown(begins)}; is this machine's clock right?")


def is_authority(certificate: x509.Certificate) -> bool:
    """Whether it may sign other certificates."""
    try:
        return certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        return certificate.version is x509.Version.v1  # version 1 has no extensions
    except ValueError:
        return False


def subject(certificate: x509.Certificate) -> str:
    """Its name in messages."""
    return certificate.subject.rfc4514_string() or "the certificate"


def reason(error: Exception) -> str:
    """What OpenSSL says."""
    found = getattr(error, "reason", None)
    return str(found).lower().replace("_", " ") if found else "the file is not valid"


def _shown(time: datetime) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC")

"""The TLS context of a client that trusts authorities of its own, or shows a certificate."""

import contextlib
import functools
import os
import ssl
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from router.domain.certificates import CertificateError, certificates, check_dates, check_pair, private_key, reason

_KEPT = 64  #: contexts; one for each set of files


class ClientFileError(CertificateError):
    """A file that can't be used; `part` is its key: ca, cert or key."""

    def __init__(self, text: str, part: str) -> None:
        super().__init__(text)
        self.part = part


@dataclass(frozen=True, slots=True)
class MadeContext:
    """A context, and what is wrong with its files all the same."""

    context: ssl.SSLContext
    warnings: tuple[tuple[str, str], ...]  #: (key, message)


def client_context(names: tuple[str, str, str], ca: bytes, cert: bytes, key: bytes) -> MadeContext:
    """The context by the contents of three files, empty for none; `names` are theirs. Raises ClientFileError.

    A certificate that has expired is a warning. As an error it would keep the daemon from starting, and events of all
    senders from being taken.
    """
    with _part("ca"):
        authorities = _readable(names[0], ca) if ca else []
    with _part("cert"):
        chain = _readable(names[1], cert) if cert else []
    warnings = [("ca", fault) for fault in _date_faults(names[0], authorities)[:1]]
    if chain:
        with _part("key"):
            check_pair(chain, private_key(names[2], key), names[1], names[2])
        warnings += [("cert", fault) for fault in _date_faults(names[1], chain[:1])]
    with _part("cert" if cert else "ca"):
        return MadeContext(_context(names, ca, cert, key), tuple(warnings))


@contextlib.contextmanager
def _part(key: str) -> Iterator[None]:
    try:
        yield
    except CertificateError as error:
        raise ClientFileError(str(error), key) from None


def _readable(name: str, content: bytes) -> list[x509.Certificate]:
    found = certificates(name, content)
    try:
        for one in found:  # cryptography parses the parts when they are asked for
            one.public_key()
            one.public_bytes(serialization.Encoding.PEM)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{name}: it can't be read as a certificate: {error}") from None
    return found


def _date_faults(name: str, found: list[x509.Certificate]) -> list[str]:
    """What is wrong with the dates of all of them; nothing while one is valid."""
    faults: list[str] = []
    for one in found:
        try:
            check_dates(one, name, datetime.now(UTC))
        except CertificateError as error:
            faults.append(f"{error}; until then no connection is made")
    return faults if len(faults) == len(found) else []


@functools.lru_cache(maxsize=_KEPT)  # the same files give the same context, so that a reload keeps its connections
def _context(names: tuple[str, str, str], ca: bytes, cert: bytes, key: bytes) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=_pem(names[0], ca) if ca else None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if cert:
        try:
            _load_chain(context, cert + b"\n" + key)
        except (OSError, ValueError) as error:  # SSLError is an OSError
            raise CertificateError(f"{names[1]}: OpenSSL does not take it: {reason(error)}") from None
    return context


def _pem(name: str, content: bytes) -> str:
    found = certificates(name, content)
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in found).decode("ascii")


def _load_chain(context: ssl.SSLContext, pem: bytes) -> None:
    """OpenSSL reads certificate and key by a file's name only. On Linux the file is in memory: no key is written."""
    if not hasattr(os, "memfd_create"):  # not Linux
        with tempfile.NamedTemporaryFile() as file:
            file.write(pem)
            file.flush()
            context.load_cert_chain(file.name, password=b"")
        return
    descriptor = os.memfd_create("tls", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, pem)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}", password=b"")
    finally:
        os.close(descriptor)

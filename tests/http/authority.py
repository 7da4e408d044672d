"""A certificate authority for tests, and the certificates that it signs."""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from router.http.certificate import TlsFiles

_PEM = serialization.Encoding.PEM


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


class Authority:
    """Signs certificates with a key of its own. Its own certificate is in the file `path`."""

    def __init__(self, folder: Path, name: str = "test authority") -> None:
        self.folder = folder
        self.name = _name(name)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self.name, self.key.public_key(), timedelta(-1), timedelta(30), None)
        self.path = folder / f"{name.replace(' ', '-')}.pem"
        self.path.write_bytes(self.certificate.public_bytes(_PEM))

    def issue(
        self,
        name: str = "localhost",
        begins: timedelta = timedelta(hours=-1),
        ends: timedelta = timedelta(hours=1),
        password: bytes | None = None,
    ) -> TlsFiles:
        """Write a key and a certificate for localhost, valid from now plus `begins` to now plus `ends`."""
        key = ec.generate_private_key(ec.SECP256R1())
        hosts = x509.SubjectAlternativeName([x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))])
        certificate = self._sign(_name(name), key.public_key(), begins, ends, hosts)
        locked: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password is not None:
            locked = serialization.BestAvailableEncryption(password)
        files = TlsFiles(self.folder / f"{name}.pem", self.folder / f"{name}.key")
        _replace(files.key, key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, locked))
        _replace(files.cert, certificate.public_bytes(_PEM) + self.certificate.public_bytes(_PEM))
        return files

    def _sign(
        self,
        subject: x509.Name,
        public: ec.EllipticCurvePublicKey,
        begins: timedelta,
        ends: timedelta,
        hosts: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        made = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=hosts is None, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False)
        )
        if hosts is None:
            usage = x509.KeyUsage(
                digital_signature=True, key_cert_sign=True, crl_sign=True, content_commitment=False,
                key_encipherment=False, data_encipherment=False, key_agreement=False, encipher_only=False,
                decipher_only=False,
            )  # fmt: skip
            made = made.add_extension(usage, critical=True)
        else:
            made = made.add_extension(hosts, critical=False)
        return made.sign(self.key, hashes.SHA256())

    def client(self, identity: TlsFiles | None = None) -> ssl.SSLContext:
        """The context of a client that trusts only this authority. With `identity` it shows that certificate."""
        context = ssl.create_default_context(cafile=str(self.path))
        if identity is not None:
            context.load_cert_chain(identity.cert, identity.key)
        return context


def _replace(path: Path, content: bytes) -> None:
    """Rename a new file over the old one, as renewal tools do."""
    new = path.with_suffix(".new")
    new.write_bytes(content)
    new.chmod(0o600)
    new.replace(path)

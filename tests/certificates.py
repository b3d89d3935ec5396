"""A CA of the tests' own, and certificates that it signs."""

import datetime
import ipaddress
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

DAY = datetime.timedelta(days=1)


class Authority:
    """A CA that is valid for a day. It writes its own certificate into `folder`."""

    def __init__(self, folder: Path) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named("The tests' own CA")
        self._issued = 1
        builder = self._builder(self._name, self._key)
        own = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        self.file = folder / "ca.pem"
        self.file.write_bytes(own.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))

    def issue(self, path: Path, *hosts: str) -> None:
        """Write the key and the certificate of a server at these addresses and names."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        builder = self._builder(_named(hosts[0]), key).add_extension(names, critical=False)
        certificate = builder.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        path.touch(mode=0o600)
        path.write_bytes(private + certificate.public_bytes(serialization.Encoding.PEM))

    def _builder(self, name: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        number, self._issued = self._issued, self._issued + 1
        return (
            x509.CertificateBuilder().not_valid_before(now - DAY).not_valid_after(now + DAY)
            .subject_name(name).issuer_name(self._name).public_key(key.public_key()).serial_number(number)
        )  # fmt: skip


def make(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """The CA's file, and the context of a server on 127.0.0.1."""
    authority, chain = Authority(folder), folder / "server.pem"
    authority.issue(chain, "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    return authority.file, context


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)

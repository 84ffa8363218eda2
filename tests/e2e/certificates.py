"""Certificates for tests: a CA, and what it signs."""

from __future__ import annotations

import datetime
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from OpenSSL import crypto

from tests.folders import new_folder

Key = ec.EllipticCurvePrivateKey


class Authority:
    """A certificate authority; ``path`` is its certificate as PEM."""

    def __init__(self, name: str = "ca") -> None:
        self._folder = new_folder()
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"{name} of the tests")])
        usage = dict.fromkeys(
            (
                "digital_signature",
                "content_commitment",
                "key_encipherment",
                "data_encipherment",
                "key_agreement",
                "encipher_only",
                "decipher_only",
            ),
            False,
        )
        builder = (
            self._builder(self._name, self._key, 3650, self._key)
            .issuer_name(self._name)
            .add_extension(x509.BasicConstraints(True, 0), critical=True)
            .add_extension(x509.KeyUsage(key_cert_sign=True, crl_sign=True, **usage), critical=True)
        )
        self.path = str(self._folder / f"{name}.pem")
        self._certificate = builder.sign(self._key, hashes.SHA256())
        Path(self.path).write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def hashed(self) -> str:
        """A directory with its certificate, named as ``openssl rehash`` does."""
        name = crypto.X509.from_cryptography(self._certificate).subject_name_hash()
        folder = new_folder()
        (folder / f"{name:08x}.0").write_bytes(Path(self.path).read_bytes())
        return str(folder)

    def _builder(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, days: float, signer: ec.EllipticCurvePrivateKey
    ) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        )

    def issue(
        self,
        file: str,
        *names: str,
        client: bool = False,
        days: float = 90,
        alternative: bool = True,
        own: bool = False,
    ) -> tuple[str, str]:
        """Write FILE.pem and FILE-key.pem for ``names``: the first is the common name, URIs have ``uri:`` before them.
        Their paths.

        :param days: from now to its end, which may be past. :param alternative: whether it has its names where they
            belong (RFC 9525), beside the common name. :param own: it signs itself.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
        usage = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = (
            self._builder(subject, key, days, key if own else self._key)
            .add_extension(x509.BasicConstraints(False, None), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        )
        if alternative:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general(each) for each in names]), False)
        certificate = builder.issuer_name(subject if own else self._name).sign(
            key if own else self._key, hashes.SHA256()
        )
        cert_path, key_path = self._folder / f"{file}.pem", self._folder / f"{file}-key.pem"
        pem = serialization.Encoding.PEM
        cert_path.write_bytes(certificate.public_bytes(pem))
        key_path.write_bytes(_private(key))
        return str(cert_path), str(key_path)


def _private(key: Key) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _general(name: str) -> x509.GeneralName:
    if name.startswith("uri:"):
        return x509.UniformResourceIdentifier(name.removeprefix("uri:"))
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)

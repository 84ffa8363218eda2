"""Certificates and keys of the configuration: read with it, so that a renewed file is a changed setting."""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs

from llmedge.config.secret import Secret

_CERTIFICATE = b"-----BEGIN CERTIFICATE-----"
_KEY = re.compile(rb"-----BEGIN (?:RSA |EC )?PRIVATE KEY-----")
_REMEDY = "correct the path, or leave it out"


@attrs.frozen
class Certificates:
    """What a PEM file of certificates holds, or where a directory of them is, as ``openssl rehash`` makes one.

    :ivar pem: ``b""`` for a directory.
    """

    path: str
    pem: bytes = attrs.field(default=b"", repr=False)

    def __str__(self) -> str:
        return self.path


def read_trusted(path: str) -> Certificates:
    """The certificates in a file, or of a directory.

    :raises ValueError: they cannot be had; a predicate that says what to do.
    """
    return read_directories(path) if os.path.isdir(os.path.expanduser(path)) else read_certificates(path)


def read_certificates(path: str) -> Certificates:
    """The certificates in a file.

    :raises ValueError: as :func:`read_trusted`.
    """
    path = os.path.expanduser(path)
    pem = _read(path)
    if _CERTIFICATE not in pem:
        raise ValueError(f"refers to the file {path}, which holds no certificate in PEM (-----BEGIN CERTIFICATE-----)")
    from OpenSSL import SSL  # only who has such a setting waits for it

    try:
        SSL.Context(SSL.TLS_CLIENT_METHOD).load_verify_locations(path)
    except SSL.Error:
        raise ValueError(f"refers to the file {path}, in which a certificate is broken: is all of it there?") from None
    return Certificates(path, pem)


def read_directories(paths: str) -> Certificates:
    """Directories of certificates, a colon between two, as OpenSSL has them in ``SSL_CERT_DIR``; as there, one of
    several may be missing.

    :raises ValueError: none can be read.
    """
    found = [os.path.expanduser(path) for path in paths.split(os.pathsep)]
    problem = ""
    for path in found:
        try:
            os.scandir(path).close()
        except OSError as error:
            problem = problem or f"refers to the directory {path}, which cannot be read: {error.strerror}; {_REMEDY}"
        else:
            return Certificates(os.pathsep.join(found))
    raise ValueError(problem)


def read_key(path: str) -> Secret:
    """The text of a PEM file with a private key.

    :raises ValueError: as :func:`read_trusted`.
    """
    pem = _read(path)
    if b"ENCRYPTED" in pem:
        raise ValueError(f"refers to the file {path}, in which the key is encrypted: store it without a passphrase")
    if not _KEY.search(pem):
        raise ValueError(f"refers to the file {path}, which holds no private key in PEM")
    return Secret(pem.decode("ascii", "replace"))


def key_problem(certificate: Certificates | None, key: Secret | None) -> str:
    """What keeps ``certificate`` from being shown with ``key``; ``""``: nothing."""
    if certificate is None:
        return "needs client_cert, the certificate it belongs to" if key is not None else ""
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    pem = certificate.pem if key is None else key.reveal().encode()
    if not _KEY.search(pem):
        return "is missing, and client_cert has no key in it"
    try:
        public = load_pem_private_key(pem, None).public_key()
    except (ValueError, TypeError):
        return "holds no private key that can be used"
    return "" if public == load_pem_x509_certificates(certificate.pem)[0].public_key() else "is not that of client_cert"


def _read(path: str) -> bytes:
    try:
        return Path(os.path.expanduser(path)).read_bytes()
    except OSError as error:
        raise ValueError(f"refers to the file {path}, which cannot be read: {error.strerror}; {_REMEDY}") from None

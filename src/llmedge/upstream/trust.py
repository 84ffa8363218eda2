"""Whom we trust to be a vendor: the authorities, the name in the certificate, and why somebody is refused."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any

from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL import SSL, crypto
from service_identity import CertificateError, VerificationError
from service_identity.cryptography import verify_certificate_hostname, verify_certificate_ip_address
from twisted.internet._sslverify import IOpenSSLTrustRoot
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator
from twisted.internet.ssl import CertificateOptions, platformTrust
from twisted.python.failure import Failure
from zope.interface import implementer

from llmedge.config.pem import Certificates
from llmedge.config.secret import Secret

REASONS = {
    2: "unable to get issuer certificate",
    7: "certificate signature failure",
    9: "certificate is not yet valid",
    10: "certificate has expired",
    18: "self-signed certificate (name it in ca_file if it is the one you mean)",
    19: "self-signed certificate in certificate chain (name that authority in ca_file if you trust it)",
    20: "unable to get local issuer certificate (name its authority in ca_file if you trust it)",
    21: "unable to verify the first certificate",
    23: "certificate revoked",
    24: "invalid CA certificate",
    25: "path length constraint exceeded",
    26: "unsuitable certificate purpose",
    66: "EE certificate key too weak",
    67: "CA certificate key too weak",
    68: "CA signature digest algorithm too weak",
    79: "invalid CA certificate",
}
"""OpenSSL's words for its numbers (docs.openssl.org, X509_STORE_CTX_get_error), and what to do."""
NAME_MISMATCH = "hostname mismatch"
_MODE = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT


class TlsRefused(Exception):
    """The vendor's certificate is not good enough; the message says why, as OpenSSL does."""


@implementer(IOpenSSLTrustRoot)
class _Trusted:
    def __init__(self, certificates: Sequence[Certificates]) -> None:
        self._certificates = certificates

    def _addCACertsToContext(self, context: SSL.Context) -> None:
        for each in self._certificates:  # by OpenSSL: bundles hold certificates that cryptography would not read
            if each.pem:
                context.load_verify_locations(each.path)
            else:
                context.load_verify_locations(None, each.path)


def context_for(
    trusted: Sequence[Certificates], client_cert: Certificates | None = None, client_key: Secret | None = None
) -> SSL.Context:
    """A context for connections to those whom ``trusted`` vouch for; by default whom the platform trusts.

    :param client_cert: what is shown to whoever asks, and those between it and its authority behind it.
    :param client_key: its key; by default it stands beside the certificate. That they belong together was checked with
        the configuration (:func:`llmedge.config.pem.key_problem`).
    """
    shown: dict[str, Any] = {}
    if client_cert is not None:
        certificate, *chain = load_pem_x509_certificates(client_cert.pem)
        pem = client_cert.pem if client_key is None else client_key.reveal().encode()
        shown = {
            "certificate": certificate,
            "privateKey": load_pem_private_key(pem, None),
            "extraCertChain": chain,
        }
    roots: Any = _Trusted(trusted) if trusted else platformTrust()  # type: ignore[no-untyped-call]
    options = CertificateOptions(trustRoot=roots, enableSessions=True, enableSessionTickets=True, **shown)
    context: SSL.Context = options.getContext()
    return context


@implementer(IOpenSSLClientConnectionCreator)
class Peer:
    """Makes the TLS side of connections to ``host``, whose certificate has to be for that name (RFC 9525)."""

    def __init__(self, host: str, context: SSL.Context) -> None:
        self._host = host
        self._context = context
        try:
            ip_address(host)
        except ValueError:
            self._is_address = False
        else:
            self._is_address = True

    def clientConnectionForTLS(self, tls: Any) -> SSL.Connection:
        connection = SSL.Connection(self._context, None)
        if not self._is_address:  # RFC 6066 section 3
            connection.set_tlsext_host_name(self._host.encode("ascii"))
        connection.set_app_data(tls)
        connection.set_verify(_MODE, self._verify)
        return connection

    def _verify(self, connection: SSL.Connection, certificate: crypto.X509, code: int, depth: int, good: int) -> bool:
        """OpenSSL's verdict on one certificate of the chain, the vendor's own at depth 0, and ours on its name."""
        if good:
            if depth or self._is_named_in(certificate):
                return True
            reason = NAME_MISMATCH
        else:
            reason = REASONS.get(code, f"verification error {code}")
        connection.get_app_data().failVerification(Failure(TlsRefused(reason)))  # type: ignore[no-untyped-call]
        return False

    def _is_named_in(self, certificate: crypto.X509) -> bool:
        check = verify_certificate_ip_address if self._is_address else verify_certificate_hostname
        try:
            check(certificate.to_cryptography(), self._host)
        except (VerificationError, CertificateError, ValueError):  # it has another name, or none that can be read
            return False
        return True

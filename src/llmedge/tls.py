"""TLS for our own ports: TLS 1.2 and 1.3, several certificates by name, client certificates, renewal while running."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import attrs
from cryptography import x509
from cryptography.x509.oid import NameOID
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer

from llmedge.files import state_of

CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20"
"""For TLS 1.2: forward secret and authenticated only (RFC 9325 section 4.2). TLS 1.3 has no others."""
SPIFFE = "spiffe://"
PROTOCOLS = (b"h2", b"http/1.1")


class TlsError(Exception):
    """A certificate, key or CA file cannot be used; the message names it."""


@attrs.frozen
class Identity:
    """Paths of one certificate chain and its key."""

    cert: str
    key: str
    chain: str = ""


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes the TLS side of each new connection, from files that may change.

    :param identities: the first one is the default; the others serve the names they are issued for (SNI).
    :param client_auth: ``none``, ``optional`` or ``require``; what is presented must be signed by ``client_ca``.
    :raises TlsError: a file cannot be used.
    """

    def __init__(self, identities: Sequence[Identity], client_ca: str = "", client_auth: str = "none") -> None:
        self.identities = tuple(identities)
        self._client_ca = client_ca
        self._client_auth = client_auth
        self._seen: tuple[Any, ...] = ()
        self._contexts: list[tuple[frozenset[str], SSL.Context]] = []
        self.reload()

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self._contexts[0][1], None)

    def reload(self) -> None:
        """Read all files again. Connections that exist keep what they have.

        :raises TlsError: a file cannot be used; the old ones stay in force.
        """
        self._seen = self._state()
        contexts = [(_names(identity.cert), self._context(identity)) for identity in self.identities]
        if len(contexts) > 1:
            contexts[0][1].set_tlsext_servername_callback(self._choose)
        self._contexts = contexts

    def changed(self) -> bool:
        """Whether a file is not what it was when it was last read. Asks the disk."""
        return self._state() != self._seen

    def _state(self) -> tuple[Any, ...]:
        paths = [(each.cert, each.key, each.chain, self._client_ca) for each in self.identities]
        return state_of(path for some in paths for path in some)

    def _choose(self, connection: SSL.Connection) -> None:
        name = (connection.get_servername() or b"").decode("ascii", "replace").lower()
        wildcard = "*." + name.partition(".")[2]
        for names, context in self._contexts:
            if name in names or wildcard in names:
                connection.set_context(context)
                return

    def _context(self, identity: Identity) -> SSL.Context:
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_min_proto_version(SSL.TLS1_2_VERSION)
        context.set_cipher_list(CIPHERS)
        context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_CIPHER_SERVER_PREFERENCE | SSL.OP_NO_RENEGOTIATION)
        context.set_mode(SSL.MODE_RELEASE_BUFFERS)  # 34 kB less for each idle connection
        context.set_session_cache_mode(SSL.SESS_CACHE_OFF)  # tickets resume without any state here
        context.set_session_id(b"llmedge")
        context.set_alpn_select_callback(_select)
        for path, use in (
            (identity.cert, context.use_certificate_chain_file),
            (identity.key, context.use_privatekey_file),
        ):
            _read(path)
            try:
                use(path)
            except SSL.Error as error:
                if any("mismatch" in str(reason) for _, _, reason in error.args[0]):  # OpenSSL compares them at once
                    raise TlsError(f"{identity.key} is not the key of {identity.cert}") from None
                raise TlsError(f"{path} is not good PEM for a certificate chain or key") from None
        if identity.chain:
            for certificate in x509.load_pem_x509_certificates(_read(identity.chain)):
                context.add_extra_chain_cert(certificate)
        try:
            context.check_privatekey()
        except SSL.Error:
            raise TlsError(f"{identity.key} is not the key of {identity.cert}") from None
        if self._client_auth != "none":
            _read(self._client_ca)
            try:
                context.load_verify_locations(self._client_ca)
                context.load_client_ca(os.fsencode(self._client_ca))
            except SSL.Error:
                raise TlsError(f"{self._client_ca} is not good PEM for certificates (tls.client_ca)") from None
            mode = SSL.VERIFY_PEER
            if self._client_auth == "require":
                mode |= SSL.VERIFY_FAIL_IF_NO_PEER_CERT
            context.set_verify(mode, _verified)
        return context


def certificate_names(certificate: x509.Certificate) -> frozenset[str]:
    """Its common name and its DNS, e-mail and URI alternative names (RFC 5280 section 4.2.1.6).

    A SPIFFE ID is one only as the one URI that the certificate has
    (spiffe.io, X.509-SVID, sections 2 and 5.2): under another name it is whatever its owner wanted it to be.
    """
    names = {str(attribute.value) for attribute in certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)}
    uris: list[str] = []
    try:
        alternative = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        pass
    else:
        kinds: tuple[Any, ...] = (x509.DNSName, x509.RFC822Name)
        for kind in kinds:
            names.update(alternative.get_values_for_type(kind))
        uris = alternative.get_values_for_type(x509.UniformResourceIdentifier)
    names = {name for name in names if not name.startswith(SPIFFE)}
    return frozenset(names | {uri for uri in uris if len(uris) == 1 or not uri.startswith(SPIFFE)})


def _names(path: str) -> frozenset[str]:
    try:
        certificate = x509.load_pem_x509_certificate(_read(path))
    except ValueError:
        raise TlsError(f"{path} is not good PEM for a certificate chain or key") from None
    return frozenset(name.lower() for name in certificate_names(certificate))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise TlsError(f"{path} cannot be read: {error.strerror}") from None


def _select(connection: SSL.Connection, offered: list[bytes]) -> Any:
    return next((protocol for protocol in PROTOCOLS if protocol in offered), SSL.NO_OVERLAPPING_PROTOCOLS)


def _verified(connection: SSL.Connection, certificate: Any, code: int, depth: int, good: int) -> bool:
    return bool(good)

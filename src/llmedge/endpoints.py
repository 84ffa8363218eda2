"""Endpoint strings: checked before anything listens, TLS with certificates that can be renewed."""

from __future__ import annotations

import re
from typing import Any, cast

import attrs
from twisted.internet.endpoints import serverFromString
from twisted.protocols.tls import TLSMemoryBIOFactory

from llmedge.config.sections.tls import Tls
from llmedge.tls import Identity, ServerTls, TlsError


class EndpointError(Exception):
    """An endpoint string cannot be used; the message says why and what to write."""


_WITHOUT_REACTOR = re.compile(r"(tcp[46]?|ssl|unix|systemd|fd|haproxy):")
"""Kinds that can be looked at before there is one; those of plugins may want it."""


def problem(description: str, tls: Tls) -> str:
    """What is wrong with an endpoint string, a sentence about it, or ``""``: files are read, nothing listens."""
    try:
        parse(None, description, tls)
    except EndpointError as error:
        if _WITHOUT_REACTOR.match(description) or "Unknown endpoint type" in str(error):
            return str(error)
    return ""


@attrs.define
class Endpoint:
    """A place to listen. ``tls`` is what to renew there, ``None`` in cleartext."""

    description: str
    inner: Any
    tls: ServerTls | None = None

    def listen(self, factory: Any) -> Any:
        """A Deferred of the listening port."""
        if self.tls is not None:
            factory = TLSMemoryBIOFactory(cast(Any, self.tls), False, factory)
        return self.inner.listen(factory)


def parse(reactor: Any, description: str, tls: Tls) -> Endpoint:
    """The endpoint of ``description``.

    ``ssl:`` is ours: a bare ``ssl:PORT`` takes its certificates from ``tls``, others name them
    (``privateKey``, ``certKey``, ``extraCertChain``). Everything else is Twisted's.

    :raises EndpointError: it is not one, or its certificate or key cannot be used.
    """
    port = re.match(r"(?:tcp[46]?|ssl):([^:]*)", description)
    if port and not (port[1].isdigit() and int(port[1]) <= 65535):
        raise EndpointError(f"{description!r} needs a port from 0 to 65535, not {port[1]!r}")
    if not description.startswith("ssl:"):
        return Endpoint(description, _twisted(reactor, description, description))
    plain, identities = _split(description, tls)
    inner = _twisted(reactor, plain, description)
    try:
        return Endpoint(description, inner, ServerTls(identities, tls.client_ca, tls.client_auth))
    except TlsError as error:
        raise EndpointError(f"{description}: {error}") from None


def _split(description: str, tls: Tls) -> tuple[str, list[Identity]]:
    """``ssl:8443:interface=::1:certKey=c.pem`` → ``tcp:8443:interface=::1`` and the certificates."""
    kept: list[str] = []
    files: dict[str, str] = {}
    for part in re.split(r"(?<!\\):", description.removeprefix("ssl:")):
        name, _, value = part.partition("=")
        if name in ("privateKey", "certKey", "extraCertChain"):
            files[name] = value.replace("\\:", ":").replace("\\\\", "\\")
        elif name in ("sslmethod", "dhParameters"):
            raise EndpointError(f"{description!r}: {name} is not taken; TLS 1.2 and 1.3 are what there is")
        else:
            kept.append(part)
    plain = "tcp:" + ":".join(kept)
    others = [Identity(item.cert, item.key) for item in tls.certificates]
    if "privateKey" in files or "certKey" in files:
        key = files.get("privateKey") or files["certKey"]
        first = Identity(files.get("certKey") or key, key, files.get("extraCertChain", ""))
        return plain, [first, *others]
    if not (tls.cert and tls.key):
        raise EndpointError(
            f"{description} needs a certificate and a key: set TLS_CERT_PATH and TLS_KEY_PATH, [tls] cert and key, "
            "or write ssl:PORT:privateKey=KEY.pem:certKey=CERT.pem"
        )
    return plain, [Identity(tls.cert, tls.key), *others]


BACKLOG = 1024
"""Connections that may wait to be accepted. Twisted's 50 has a burst of clients wait a second, for TCP to ask again."""


def _twisted(reactor: Any, string: str, shown: str) -> Any:
    if re.match(r"tcp[46]?:", string) and ":backlog=" not in string:
        string += f":backlog={BACKLOG}"
    try:
        return serverFromString(reactor, string)  # type: ignore[no-untyped-call]  # twisted has no types here
    except OSError as error:
        raise EndpointError(f"{shown}: {error.filename} cannot be read: {error.strerror}") from None
    except Exception as error:
        # Twisted has a different exception for each thing wrong with a string.
        raise EndpointError(
            f"{shown!r} is not an endpoint ({_reason(error)}); write for example tcp:8080, "
            "tcp:8080:interface=127.0.0.1, ssl:8443:privateKey=key.pem:certKey=cert.pem or unix:/run/llmedge.sock"
        ) from None


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, TypeError):
        names = re.search(r"argument '(\w+)'", text)
        return f"it has no argument {names[1]!r}" if names else "an argument is missing"
    if isinstance(error, IndexError | KeyError):
        return "systemd has passed no such socket"
    return re.sub(r"\s+", " ", text)[:200]

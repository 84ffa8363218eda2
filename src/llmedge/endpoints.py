"""Endpoint strings: fill in certificate and key, check before listening, describe for people."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.endpoints import quoteStringArgument, serverFromString

from llmedge.config.settings import Tls


class EndpointError(Exception):
    """An endpoint string cannot be used; the message says why and what to write."""


def complete(description: str, tls: Tls) -> str:
    """``description`` with certificate and key filled in where a bare ``ssl:PORT`` leaves them out.

    :raises EndpointError: TLS is asked for and no certificate is known.
    """
    if not description.startswith("ssl:") or "privateKey=" in description:
        return description
    if not (tls.cert and tls.key):
        raise EndpointError(
            f"{description} needs a certificate and a key: set TLS_CERT_PATH and TLS_KEY_PATH, [tls] cert and key, "
            "or write ssl:PORT:privateKey=KEY.pem:certKey=CERT.pem"
        )
    key, cert = map(quoteStringArgument, (tls.key, tls.cert))
    return f"{description}:privateKey={key}:certKey={cert}"


def parse(reactor: Any, description: str, tls: Tls) -> Any:
    """The endpoint of ``description``.

    :raises EndpointError: it is not one, or its certificate or key cannot be read.
    """
    full = complete(description, tls)
    port = re.match(r"(?:tcp[46]?|ssl):([^:]*)", description)
    if port and not (port[1].isdigit() and int(port[1]) <= 65535):
        raise EndpointError(f"{description!r} needs a port from 0 to 65535, not {port[1]!r}")
    try:
        return serverFromString(reactor, full)  # type: ignore[no-untyped-call]  # twisted has no types here
    except OSError as error:
        raise EndpointError(f"{description}: {error.filename} cannot be read: {error.strerror}") from None
    except Exception as error:
        # Twisted has a different exception for each thing wrong with a string, and OpenSSL lists of errors.
        raise EndpointError(
            f"{description!r} is not an endpoint ({_reason(error)}); write for example tcp:8080, "
            "tcp:8080:interface=127.0.0.1, ssl:8443:privateKey=key.pem:certKey=cert.pem or unix:/run/llmedge.sock"
        ) from None


def _reason(error: Exception) -> str:
    text = str(error) or type(error).__name__
    if isinstance(error, TypeError):
        names = re.search(r"argument '(\w+)'", text)
        return f"it has no argument {names[1]!r}" if names else "an argument is missing"
    if "PEM" in text or "SSL" in type(error).__module__:
        return "its certificate or key is not good PEM, or they do not belong together"
    return re.sub(r"\s+", " ", text)[:200]

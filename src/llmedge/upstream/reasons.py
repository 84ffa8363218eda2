"""Why no connection could be had, in words."""

from __future__ import annotations

import errno

from OpenSSL import SSL
from twisted.internet import error as internet_error

from llmedge.upstream.trust import TlsRefused


class ProxyFailed(Exception):
    """No connection through the proxy; the message is a predicate about the vendor.

    :ivar cause: for routing.
    """

    def __init__(self, why: str, cause: str = "proxy") -> None:
        super().__init__(why)
        self.cause = cause


def explain(error: BaseException) -> tuple[str, str]:
    """The cause for routing, and a short reason without addresses."""
    if isinstance(error, ProxyFailed):
        return error.cause, str(error)
    if isinstance(error, internet_error.ConnectionRefusedError):
        return "refused", "connection refused"
    if isinstance(error, internet_error.DNSLookupError):
        return "dns", "its host name does not resolve"
    if isinstance(error, internet_error.TimeoutError):
        return "connect", "no answer to the connection attempt"
    if isinstance(error, TlsRefused):
        return "tls", f"TLS failed: {error}"
    if isinstance(error, SSL.Error):
        return "tls", f"TLS failed: {tls_reason(error)}"
    if isinstance(error, internet_error.ConnectionLost | internet_error.ConnectionDone):
        return "reset", "it closed the connection while it was being opened"
    if isinstance(error, internet_error.ConnectError):
        if error.osError == errno.ENOENT:
            return "refused", "there is no such socket"
        if error.osError == errno.EACCES:
            return "connect", "the gateway may not open its socket"
    return "connect", "the connection failed"


def tls_reason(error: SSL.Error) -> str:
    """What OpenSSL says of a failed handshake, and what that usually means."""
    queue = error.args[0] if error.args else ()
    said = str(queue[-1][-1]) if isinstance(queue, list | tuple) and queue else ""
    hint = _HINTS.get(said[said.find("alert ") :] if "alert " in said else said)  # before it: of which version
    return (f"{said} ({hint})" if hint else said) or "the handshake broke off"


_HINTS = {
    "wrong version number": "no TLS is spoken there: is it http?",
    "packet length too long": "no TLS is spoken there: is it http?",
    "record layer failure": "no TLS is spoken there: is it http?",
    "alert handshake failure": "it may want a client_cert, or another version of TLS",
    "alert certificate required": "it wants a client_cert",
    "alert bad certificate": "it wants another client_cert, or one at all",
    "alert unknown ca": "it does not know who signed the client_cert",
}

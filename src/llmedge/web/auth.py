"""API keys: from a request to a Caller."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote_to_bytes

from llmedge.config.settings import Key
from llmedge.errors import AuthError
from llmedge.model import Caller
from llmedge.web.head import RequestHead

_FORWARDED = frozenset(  # in the form that twisted.web's Headers keep names in
    b"-".join(part.capitalize() for part in name.split(b"-"))
    for name in (
        b"forwarded",
        b"via",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-port",
        b"x-forwarded-proto",
        b"x-forwarded-server",
        b"x-real-ip",
        b"x-client-ip",
        b"true-client-ip",
        b"cf-connecting-ip",
    )
)
_LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}


class Authenticator:
    """Keys are known by their SHA-256 only; a presented key is hashed, found by hash, compared in constant time.

    :param enabled: ``False`` lets everyone in as ``anonymous``.
    """

    def __init__(self, enabled: bool, keys: Iterable[Key]) -> None:
        self._enabled = enabled
        self._callers: dict[bytes, tuple[bytes, Caller]] = {}
        self._by_certificate: dict[str, Caller] = {}
        for key in keys:
            caller = Caller(key.name, key.models, key.rpm, key.burst)
            if key.key is not None:
                digest = key.digest()
                self._callers[digest] = (digest, caller)
            if key.certificate:
                self._by_certificate[key.certificate] = caller
        self._anonymous = Caller("anonymous")

    @property
    def mode(self) -> str:
        """``off``, ``loopback`` or ``keys``, for the banner."""
        if not self._enabled:
            return "off"
        return "keys" if self._callers or self._by_certificate else "loopback"

    def identify(self, request: Any) -> Caller:
        """Who sent ``request``.

        :raises AuthError: nobody we know; the message never repeats what was sent.
        """
        if not self._enabled:
            return self._anonymous
        head: RequestHead = request.context.head
        if head.caller_by is self and head.caller is not None:
            return head.caller
        if not self._callers and not self._by_certificate:
            return self._loopback(request)
        presented = presented_key(request)
        if presented is None:
            if self._by_certificate and (caller := self._certified(request)) is not None:
                return caller
            raise AuthError("Missing API key: send it as 'Authorization: Bearer KEY' or 'x-api-key: KEY'.")
        digest = hashlib.sha256(presented).digest()
        known, caller = self._callers.get(digest, (b"\0" * 32, None))
        if not hmac.compare_digest(known, digest) or caller is None:
            raise AuthError("Invalid API key")
        head.caller, head.caller_by = caller, self  # it depends on nothing else
        return caller

    def _certified(self, request: Any) -> Caller | None:
        """The caller named by the client's certificate, which the handshake has verified."""
        for name in request.certificate_names():
            if (caller := self._by_certificate.get(name)) is not None:
                return caller
        return None

    def _loopback(self, request: Any) -> Caller:
        """Without keys, only callers who are plainly on this machine: never an open proxy."""
        why = "No API keys are configured, so only callers on this machine are let in"
        if not _is_loopback(getattr(request.getClientAddress(), "host", None)):
            raise AuthError(f"{why}. Set API_KEYS to let others in.")
        if not _FORWARDED.isdisjoint(request.requestHeaders._rawHeaders):
            raise AuthError(f"{why}, and this request was forwarded by a proxy. Set API_KEYS to let others in.")
        if getattr(request.getClientAddress(), "host", None) is None:
            return self._anonymous  # a UNIX socket: who may open it is the file system's business
        host = (request.getHeader(b"host") or b"localhost").decode("latin-1").lower()
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in _LOCAL_NAMES:
            # A page on the web may have had its name resolve to 127.0.0.1 (DNS rebinding).
            raise AuthError(f"{why}, under the name localhost. Set API_KEYS to let others in.")
        return self._anonymous


def presented_key(request: Any) -> bytes | None:
    """The key a request carries, wherever its SDK puts it: ``x-api-key``, ``x-goog-api-key``, ``Authorization: Bearer``
    (RFC 6750 section 2.1), ``?key=`` on Google's paths, or in a WebSocket's subprotocol, as OpenAI's realtime clients
    have it."""
    for name in (b"x-api-key", b"x-goog-api-key"):
        key: bytes | None = request.getHeader(name)
        if key:
            return key.strip()
    authorization: bytes = request.getHeader(b"authorization") or b""
    scheme, _, token = authorization.partition(b" ")
    if scheme.lower() == b"bearer" and token.strip():
        return token.strip()
    path, _, query = request.uri.partition(b"?")
    if query and path.startswith((b"/v1beta/", b"/v1/models")):
        for part in query.split(b"&"):
            if part.startswith(b"key=") and len(part) > 4:
                return unquote_to_bytes(part[4:])
    for name in (request.getHeader(b"sec-websocket-protocol") or b"").split(b","):
        if name.strip().startswith(b"openai-insecure-api-key."):  # browsers can set no other header of a WebSocket
            return bytes(name.strip().removeprefix(b"openai-insecure-api-key.")) or None
    return None


@lru_cache(1024)
def _is_loopback(host: str | None) -> bool:
    if host is None:
        return True  # a UNIX socket: who may open it is the file system's business
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback

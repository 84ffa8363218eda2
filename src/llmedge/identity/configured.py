"""Whom the configuration lets in: its keys, client certificates that stand for one, and without keys this machine."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from llmedge.config.sections.auth import Auth, Key
from llmedge.errors import AuthError
from llmedge.identity.chain import Credentials, IdentifierChain
from llmedge.model import Caller

ANONYMOUS = Caller("anonymous")
_LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}


def mode(auth: Auth) -> str:
    """``off``, ``loopback`` (no keys are configured) or ``keys``."""
    return "off" if not auth.enabled else "keys" if auth.keys else "loopback"


def identifiers(auth: Auth) -> IdentifierChain:
    """Those who say who asks, in order."""
    match mode(auth):
        case "off":
            return IdentifierChain([Everybody()])
        case "loopback":
            return IdentifierChain([Loopback()])
        case _:
            certificates = [Certificates(auth.keys)] if any(key.certificate for key in auth.keys) else []
            return IdentifierChain([FileKeys(auth.keys), *certificates])


class FileKeys:
    """Keys are known by their SHA-256 only; a presented key is hashed, found by hash, compared in constant time."""

    def __init__(self, keys: Iterable[Key]) -> None:
        digests = ((key.digest(), caller_of(key)) for key in keys if key.key is not None)
        self._callers = {digest: (digest, caller) for digest, caller in digests}

    def identify(self, credentials: Credentials) -> Caller | None:
        presented = credentials.key
        if presented is None:
            return None
        digest = hashlib.sha256(presented).digest()
        known, caller = self._callers.get(digest, (b"\0" * 32, None))
        if not hmac.compare_digest(known, digest) or caller is None:
            return None
        credentials.lasting = True
        return caller


class Certificates:
    """Callers named by the client's certificate, which the handshake has verified. Who presents a key is that key."""

    def __init__(self, keys: Iterable[Key]) -> None:
        self._callers = {key.certificate: caller_of(key) for key in keys if key.certificate}

    def identify(self, credentials: Credentials) -> Caller | None:
        if credentials.key is None:
            for name in credentials.certificate_names():
                if (caller := self._callers.get(name)) is not None:
                    return caller
        return None


class Everybody:
    """``auth.enabled`` is off."""

    def identify(self, credentials: Credentials) -> Caller:
        return ANONYMOUS


class Loopback:
    """Only callers who are plainly on this machine: never an open proxy."""

    def identify(self, credentials: Credentials) -> Caller:
        why = "No API keys are configured, so only callers on this machine are let in"
        peer = credentials.peer
        if not _is_loopback(peer):
            raise AuthError(f"{why}. Set API_KEYS to let others in.")
        if credentials.forwarded:
            how = "came in HTTP/1.0, as" if credentials.version == b"HTTP/1.0" else "was forwarded"
            raise AuthError(f"{why}, and this request {how} by a proxy. Set API_KEYS to let others in.")
        if peer is None:
            return ANONYMOUS  # a UNIX socket: who may open it is the file system's business
        host = credentials.host
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in _LOCAL_NAMES:
            # A page on the web may have had its name resolve to 127.0.0.1 (DNS rebinding).
            # A proxy may pass on the name that it was asked by.
            raise AuthError(f"{why}, under the name localhost. Set API_KEYS to let others in.")
        return ANONYMOUS


def caller_of(key: Key) -> Caller:
    """Who asks with ``key``, and what it may."""
    return Caller(key.name, key.models, key.rpm, key.burst)


@lru_cache(1024)
def _is_loopback(host: str | None) -> bool:
    if host is None:
        return True
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback

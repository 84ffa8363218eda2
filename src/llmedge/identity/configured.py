"""Whom the configuration lets in: its keys, client certificates that stand for one, and without keys this machine."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from fnmatch import translate
from functools import lru_cache
from ipaddress import ip_address

from llmedge.config.sections.auth import Auth, Key
from llmedge.config.sections.budgets import handles
from llmedge.config.sections.scopes import Scope
from llmedge.config.sections.spiffe import Spiffe
from llmedge.errors import AuthError
from llmedge.identity.chain import Credentials, Identifier, IdentifierChain
from llmedge.identity.refusals import KeyExpired, KeyMissing
from llmedge.identity.roles import grants_of, scopes_of
from llmedge.model import Account, Caller, Clock, Limits
from llmedge.tls import SPIFFE

ANONYMOUS = Caller("anonymous")
KNOWN_WORKLOADS = 1000
"""Service accounts that are remembered."""
_LOCAL_NAMES = {"localhost", "127.0.0.1", "[::1]"}


def mode(auth: Auth) -> str:
    """``off``, ``loopback`` (the file knows nobody who may ask models) or ``keys``."""
    callers = auth.jwt or auth.spiffe or any("inference" in caller_of(key).scopes for key in auth.keys)
    return "off" if not auth.enabled else "keys" if callers else "loopback"


def identifiers(
    auth: Auth, clock: Clock, others: Sequence[Identifier] = (), known: Callable[[], bool] = lambda: False
) -> IdentifierChain:
    """Those who say who asks, in order.

    :param others: who may know keys that the file does not. :param known: whether they know any.
    """
    chain: list[Identifier] = [FileKeys(auth.keys, clock)] if auth.keys else []
    chain += others
    if auth.spiffe or any(key.certificate for key in auth.keys):
        chain.append(Certificates(auth, clock))
    match mode(auth):
        case "off":
            chain.append(Everybody())
        case "loopback":
            chain.append(Loopback(known))
    return IdentifierChain(chain)


class FileKeys:
    """Keys are known by their SHA-256 only; a presented key is hashed, found by hash, compared in constant time."""

    def __init__(self, keys: Iterable[Key], clock: Clock) -> None:
        self._clock = clock
        self._callers: dict[bytes, tuple[bytes, Caller, datetime | None]] = {}
        for key in keys:
            caller = caller_of(key)
            self._callers |= {digest: (digest, caller, key.expires) for digest in key.digests()}

    def identify(self, credentials: Credentials) -> Caller | None:
        presented = credentials.key
        if presented is None:
            return None
        digest = hashlib.sha256(presented).digest()
        known, caller, expires = self._callers.get(digest, (b"\0" * 32, None, None))
        if not hmac.compare_digest(known, digest) or caller is None:
            return None
        if expires is None:
            credentials.lasting = True
        else:
            _expired(expires, self._clock)
        return caller


class Certificates:
    """Callers named by the client's certificate, which the handshake has verified: keys of the file, by any of its
    names, and service accounts, by its SPIFFE ID. Who presents a key is that key."""

    def __init__(self, auth: Auth, clock: Clock) -> None:
        self._clock = clock
        self._keys = {key.certificate: (caller_of(key), key.expires) for key in auth.keys if key.certificate}
        self._accounts = [(re.compile(translate(each.id)), each) for each in auth.spiffe]
        self._workload = lru_cache(KNOWN_WORKLOADS)(self._find_workload)

    def identify(self, credentials: Credentials) -> Caller | None:
        if credentials.key is not None:
            return None
        names = credentials.certificate_names()
        for name in names:
            if (found := self._keys.get(name)) is not None:
                _expired(found[1], self._clock)
                return found[0]
        if self._accounts:
            for name in names:
                if name.startswith(SPIFFE):
                    return self._workload(name)
        return None

    def _find_workload(self, id: str) -> Caller | None:
        return next((workload_of(each, id) for pattern, each in self._accounts if pattern.match(id)), None)


class Everybody:
    """``auth.enabled`` is off."""

    def identify(self, credentials: Credentials) -> Caller:
        return ANONYMOUS


class Loopback:
    """Only callers who are plainly on this machine: never an open proxy.

    :param unless: there are keys elsewhere, so that nobody is let in for being here.
    """

    def __init__(self, unless: Callable[[], bool] = lambda: False) -> None:
        self._unless = unless

    def identify(self, credentials: Credentials) -> Caller | None:
        if self._unless():
            return None
        why = "No API keys are configured, so only callers on this machine are let in"
        refusal = KeyMissing if credentials.key is None else AuthError  # whoever shows one may be guessing the admin's
        peer = credentials.peer
        if not _is_loopback(peer):
            raise refusal(f"{why}. Set API_KEYS to let others in.")
        if credentials.forwarded:
            how = "came in HTTP/1.0, as" if credentials.version == b"HTTP/1.0" else "was forwarded"
            raise refusal(f"{why}, and this request {how} by a proxy. Set API_KEYS to let others in.")
        if peer is None:
            return ANONYMOUS  # a UNIX socket: who may open it is the file system's business
        host = credentials.host
        name = host if host.endswith("]") else host.rpartition(":")[0] or host
        if name not in _LOCAL_NAMES:
            # A page on the web may have had its name resolve to 127.0.0.1 (DNS rebinding).
            # A proxy may pass on the name that it was asked by.
            raise refusal(f"{why}, under the name localhost. Set API_KEYS to let others in.")
        return ANONYMOUS


def _expired(expires: datetime | None, clock: Clock) -> None:
    """:raises KeyExpired: that moment is over."""
    if expires is not None and clock.seconds() >= expires.timestamp():
        raise KeyExpired(f"This API key expired on {expires:%Y-%m-%d}.")


def caller_of(key: Key) -> Caller:
    """Who asks with ``key``, and what it may."""
    account = Account(f"file:{key.name}", key.team, key.project, "", key.user, key.tags)
    limits = limits_of(key, f"key:file:{key.name}", f"The key '{key.name}'")
    grants = grants_of(key.roles, account)
    return Caller(
        key.name,
        key.models,
        limits,
        scopes_of(grants),
        account,
        roles=key.roles,
        grants=grants,
        guardrails=key.guardrails,
    )


def workload_of(account: Spiffe, id: str) -> Caller:
    """Who asks with a certificate for ``id``, one of those that ``account`` is for."""
    whose = Account(id, account.team, account.project, tags=account.tags)
    grants = grants_of(account.roles, whose)
    limits = limits_of(account, f"key:{id}", f"The service account '{id}'")
    return Caller(
        id,
        account.models,
        limits,
        scopes_of(grants),
        whose,
        roles=account.roles,
        grants=grants,
        guardrails=account.guardrails,
    )


def limits_of(scope: Scope, id: str, who: str) -> tuple[Limits, ...]:
    """What ``scope`` limits; nothing: none."""
    budgets = tuple((f"{id}/{handle}", each) for handle, each in handles(scope.budgets).items())
    limits = Limits(id, who, scope.rpm, scope.burst, scope.tpm, scope.max_concurrency, budgets, scope.cache)
    return (limits,) if limits != Limits(id, who, burst=scope.burst) else ()


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

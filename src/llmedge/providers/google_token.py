"""Access tokens of Google Cloud for a service account: a signed assertion is exchanged for one (RFC 7523;
developers.google.com/identity/protocols/oauth2/service-account)."""

from __future__ import annotations

import base64
from typing import Any, NoReturn, Protocol
from urllib.parse import urlencode

import msgspec
import treq
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from llmedge.errors import ConnectFailed, TargetError, UpstreamTooLarge, VendorRejectedCredentials
from llmedge.providers.service_account import ServiceAccount

SCOPE = "https://www.googleapis.com/auth/cloud-platform"
AHEAD = 600.0
"""Seconds before its end at which a token is replaced; of a short-lived one, half its life."""
MARGIN = 5.0
"""Seconds a token must still have to be sent."""
TIMEOUT = 15.0
MAX_BACKOFF = 60.0
_MAX_ANSWER = 64 * 1024

_log = Logger()
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class TokenClient(Protocol):
    """What is used of ``treq.client.HTTPClient``."""

    def post(self, url: str, /, **kw: Any) -> Deferred[Any]: ...


class VertexToken:
    """A :class:`~llmedge.providers.signing.Signer` with an access token that is always fresh.

    The first request waits for the first token. From then on it is replaced in the background before it ends;
    requests use the old one meanwhile. Failures are retried with growing pauses.

    :param reactor: ``IReactorTime``, its seconds those since the epoch, and ``IReactorThreads``.
    """

    def __init__(self, reactor: Any, account: ServiceAccount, http: TokenClient) -> None:
        self._reactor = reactor
        self._account = account
        self._http = http
        self._headers: list[tuple[str, str]] = []
        self._expires = 0.0
        self._fetching: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []
        self._timer: Any = None
        self._failures = 0
        self._retry_at = 0.0
        self._failure: tuple[type[TargetError], str] = (ConnectFailed, "")
        self._closed = False

    def __repr__(self) -> str:
        return f"<VertexToken of {self._account.email}>"

    async def headers(self, method: str, url: str, body: bytes) -> list[tuple[str, str]]:
        """The token's header.

        :raises VendorRejectedCredentials: Google refuses the service account.
        :raises ConnectFailed: no token could be had for another reason.
        """
        if self._usable():
            return self._headers
        if self._fetching is None:
            if self._reactor.seconds() < self._retry_at:
                raise self._error()
            self._start()
        if self._fetching is not None:
            turn: Deferred[None] = Deferred(self._waiting.remove)  # who leaves does not stop the others' token
            self._waiting.append(turn)
            await turn
        if not self._usable():
            raise self._error()
        return self._headers

    def secrets(self) -> tuple[str, ...]:
        return tuple(value.removeprefix("Bearer ") for _, value in self._headers)

    def close(self) -> None:
        self._closed = True
        self._stop_timer()
        if self._fetching is not None and not self._waiting:  # calls under way may still need it
            self._fetching.cancel()

    def _usable(self) -> bool:
        return bool(self._headers) and self._reactor.seconds() < self._expires - MARGIN

    def _error(self) -> TargetError:
        kind, message = self._failure
        return kind(message)  # a new one each time: whoever catches it completes its message

    def _start(self) -> None:
        """Fetch a token; the timer for the next one, or the next try, is set when that is over."""
        self._stop_timer()
        fetching = Deferred.fromCoroutine(self._fetch())
        if not fetching.called:
            self._fetching = fetching
            fetching.addErrback(lambda failure: _log.failure("A token's refresh failed", failure))

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _on_timer(self) -> None:
        self._timer = None
        if self._fetching is None:
            self._start()

    async def _fetch(self) -> None:
        try:
            token, lifetime = await self._ask()
        except TargetError as error:
            self._failed(error)
        except CancelledError:
            self._failed(ConnectFailed("could not get an access token: the gateway is closing"))
        except Exception as error:
            # Whatever treq raises: the type says enough, and a text might say too much.
            self._failed(ConnectFailed(f"could not get an access token: {type(error).__name__}"))
        else:
            self._headers = [("authorization", f"Bearer {token}")]
            self._expires = self._reactor.seconds() + lifetime
            self._failures = 0
            self._retry_at = 0.0
            self._schedule(lifetime - min(AHEAD, lifetime / 2))
        finally:
            self._fetching = None
            waiting, self._waiting = self._waiting, []
            for turn in waiting:
                turn.callback(None)

    def _failed(self, error: TargetError) -> None:
        pause = min(MAX_BACKOFF, 2.0**self._failures)
        self._failures = min(self._failures + 1, 10)
        self._failure = (type(error), error.message)
        self._retry_at = self._reactor.seconds() + pause
        if not self._closed:
            _log.warn("Vertex {reason}; next try in {pause:g} s", reason=error.message, pause=pause)
        if self._headers:
            self._schedule(pause)

    def _schedule(self, seconds: float) -> None:
        if not self._closed:
            self._timer = self._reactor.callLater(seconds, self._on_timer)

    async def _ask(self) -> tuple[str, float]:
        """A new token and its life in seconds.

        :raises TargetError: there is none.
        """
        account, now = self._account, int(self._reactor.seconds())
        pool = self._reactor.getThreadPool()
        assertion: str = await deferToThreadPool(self._reactor, pool, make_assertion, account, now)
        form = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": assertion}
        answer = Deferred.fromCoroutine(self._post(urlencode(form).encode()))

        def give_up(result: object, timeout: float) -> NoReturn:
            raise ConnectFailed(f"did not answer within {timeout:g} s")

        answer.addTimeout(TIMEOUT, self._reactor, give_up)
        try:
            status, body = await answer
        except TargetError as error:  # a predicate about the endpoint
            raise ConnectFailed(f"could not get an access token: its endpoint {error.message}") from None
        try:
            fields = _decode(body)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            fields = None
        said = fields if isinstance(fields, dict) else {}
        if status in (400, 401, 403):
            reason = said.get("error")
            word = reason if isinstance(reason, str) and reason.replace("_", "").isalpha() else f"status {status}"
            raise VendorRejectedCredentials(
                f"could not get an access token: Google refused the service account ({word[:64]}); "
                "the operator has to check its key, and the clock"
            )
        if status != 200:
            raise ConnectFailed(f"could not get an access token: its endpoint answered with status {status}")
        token, lifetime = said.get("access_token"), said.get("expires_in")
        if not isinstance(token, str) or not token.isascii() or not token.isprintable() or not token:
            raise ConnectFailed("could not get an access token: its endpoint answered with something else")
        if isinstance(lifetime, bool) or not isinstance(lifetime, int | float) or not lifetime > 2 * MARGIN:
            raise ConnectFailed("could not get an access token: its endpoint gave one that has no life")
        return token, min(float(lifetime), 86400.0)

    async def _post(self, form: bytes) -> tuple[int, bytes]:
        response = await self._http.post(
            self._account.token_uri,
            data=_Form(form),
            headers={"content-type": "application/x-www-form-urlencoded"},
            allow_redirects=False,
            unbuffered=True,
        )
        body = bytearray()

        def collect(data: bytes) -> None:
            if len(body) + len(data) > _MAX_ANSWER:
                raise UpstreamTooLarge("answered with too much")
            body.extend(data)

        await treq.collect(response, collect)
        return response.code, bytes(body)


@implementer(IBodyProducer)
class _Form:
    """A body that is written at once; treq's own needs the global reactor."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.length = len(data)

    def startProducing(self, consumer: Any) -> Deferred[None]:
        consumer.write(self.data)
        return succeed(None)

    def pauseProducing(self) -> None: ...

    def resumeProducing(self) -> None: ...

    def stopProducing(self) -> None: ...


def make_assertion(account: ServiceAccount, now: int) -> str:
    """A JWT signed with RS256 (RFC 7519, RFC 7515) that asks for a token. Takes milliseconds: for a thread.

    :raises VendorRejectedCredentials: the key cannot be used.
    """
    head = {"alg": "RS256", "typ": "JWT", "kid": account.key_id}
    claims = {"iss": account.email, "scope": SCOPE, "aud": account.token_uri, "iat": now, "exp": now + 3600}
    signed = _base64(_encode(head)) + b"." + _base64(_encode(claims))
    try:
        key = load_pem_private_key(account.key.reveal().encode(), None)
    except (ValueError, TypeError):
        key = None
    if not isinstance(key, RSAPrivateKey):
        raise VendorRejectedCredentials("could not get an access token: the service account's key is not an RSA key")
    return (signed + b"." + _base64(key.sign(signed, PKCS1v15(), hashes.SHA256()))).decode()


def _base64(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")

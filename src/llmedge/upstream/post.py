"""One POST, for what is not hot: its status, or its whole answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure

from llmedge.errors import UpstreamTimeout, UpstreamTooLarge
from llmedge.model import Target
from llmedge.record import Attempt, Routing
from llmedge.upstream.client import Client
from llmedge.upstream.exchange import Exchange

TIMEOUT = 20.0
"""Seconds until the headers of the answer are here, by which Standard Webhooks has senders give up (15 to 30)."""


class Poster:
    """Posts to URLs of the configuration, over the connections of ``client``. No redirect is followed."""

    def __init__(self, reactor: Any, client: Client) -> None:
        self._reactor, self._client = reactor, client

    def __call__(self, url: str, headers: Mapping[str, str], body: bytes) -> Deferred[int]:
        """The status of the answer, whose body nobody reads.

        :param headers: of ours: without line breaks.
        :raises UpstreamTimeout: it did not come in time. Others are those of
            :meth:`llmedge.upstream.client.Pool.send`.
        """
        asking = Deferred.fromCoroutine(self._ask(url, headers, body))
        return asking.addTimeout(TIMEOUT, self._reactor, onTimeoutCancel=_late)

    async def _ask(self, url: str, headers: Mapping[str, str], body: bytes) -> int:
        exchange = await self._send(url, headers, body)
        status = exchange.status
        exchange.abort()
        return status

    async def whole(self, url: str, headers: Mapping[str, str], body: bytes, most: int) -> tuple[int, bytes]:
        """Status and body of the answer; the connection is kept. Who waits limits the time, and cancels.

        :param headers: of ours: without line breaks.
        :raises UpstreamTooLarge: the body has more than ``most`` bytes. Others are those of
            :meth:`llmedge.upstream.client.Pool.send` and of reading an answer.
        """
        exchange = await self._send(url, headers, body)
        answer = bytearray()
        try:
            while data := await exchange.read():
                answer += data
                if len(answer) > most:
                    raise UpstreamTooLarge(f"answered with more than {most} bytes")
        except BaseException:
            exchange.abort()
            raise
        return exchange.status, bytes(answer)

    async def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> Exchange:
        parts = urlsplit(url)
        path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = [f"POST {path} HTTP/1.1", f"Host: {parts.netloc}", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        head = "\r\n".join(lines).encode("ascii") + b"\r\n\r\n"
        attempt = Attempt(Target("post", parts.netloc), self._reactor.seconds())
        return await self._client.pool_for(url).send(head + body, attempt, Routing())  # nobody reads these two


def _late(result: Any, timeout: float) -> Any:
    if isinstance(result, Failure) and isinstance(result.value, CancelledError):
        raise UpstreamTimeout(f"did not answer within {timeout:g} s")
    return result

"""Small documents, fetched whole: what is not hot, over our own connections."""

from __future__ import annotations

from typing import Any

import treq
from treq.client import HTTPClient

from llmedge.config.sections.upstream import Upstream
from llmedge.errors import UpstreamTooLarge
from llmedge.upstream.agent import UpstreamAgent
from llmedge.upstream.client import Client

MOST = 512 * 1024
"""Bytes of one."""


class Fetcher:
    """Asks for a URL.

    :param client: whose connections are used.
    """

    def __init__(self, reactor: Any, client: Client, limits: Upstream) -> None:
        agent: Any = UpstreamAgent(reactor, client, limits)  # mypy knows no implementer()
        self._http: Any = HTTPClient(agent)

    async def __call__(self, url: str) -> tuple[int, str, bytes]:
        """Status, ``Cache-Control`` and body. No redirect is followed.

        Errors are those of :meth:`UpstreamAgent.request`.

        :raises UpstreamTooLarge: there are more than :data:`MOST` bytes.
        """
        headers = {"accept": "application/json"}
        response = await self._http.get(url, headers=headers, allow_redirects=False, unbuffered=True)
        body = bytearray()

        def collect(data: bytes) -> None:
            if len(body) + len(data) > MOST:
                raise UpstreamTooLarge(f"answered with more than {MOST} bytes")
            body.extend(data)

        await treq.collect(response, collect)
        said = response.headers.getRawHeaders("cache-control") or []
        return response.code, ", ".join(said), bytes(body)

"""A thousand callers at once, who ask again and again until their budget is spent, and a vendor that is paid."""

from __future__ import annotations

import json
import random
from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredList
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, Request, TextMessage

from tests.e2e.client import Client, wait
from tests.e2e.service import PATIENCE, Gateway
from tests.e2e.vendor import Asked, Vendor

reactor: Any = _reactor
INPUT, OUTPUT = 1, 10
"""Micro-USD a token."""
LONGEST = 1000
"""Tokens of an answer where nobody says how many."""
TOML = f"""
[server]
timeout = {PATIENCE}
[upstream]
max_connections = 2000
connect_timeout = {PATIENCE}
idle_timeout = {PATIENCE}
[routing]
adaptive = false
queue_wait = 1
[providers.v]
base_url = "http://127.0.0.1:VENDOR/v1"
[models.m]
targets = ["v/x"]
[models.m.capabilities]
max_output = {LONGEST}
[prices."v/x"]
input = {INPUT}
output = {OUTPUT}
"""


class Paid:
    """A vendor that answers with 10 to 100 % of what may be written, after a while.

    :ivar earned: micro-USD; ``answered``: answers.
    """

    def __init__(self) -> None:
        self.vendor = Vendor(self.script)
        self.random = random.Random(7)
        self.earned = self.answered = 0

    def script(self, asked: Asked) -> None:
        reactor.callLater(self.random.uniform(0.02, 0.2), self.answer, asked)

    def answer(self, asked: Asked) -> None:
        if asked.connection.closed_at is not None:
            return
        document = asked.json()
        most = document.get("max_tokens") or document.get("max_completion_tokens") or LONGEST
        read, said = len(asked.body) // 4, max(1, int(most * self.random.uniform(0.1, 1.0)))
        path = asked.line.split()[1]
        if "embeddings" in path:
            said = 0
        self.earned += INPUT * read + OUTPUT * said
        self.answered += 1
        usage = {"prompt_tokens": read, "completion_tokens": said, "total_tokens": read + said}
        if "embeddings" in path:
            data = [{"object": "embedding", "index": 0, "embedding": [0.5]}]
            asked.connection.answer(200, {"object": "list", "model": "x", "data": data, "usage": usage})
        elif "images" in path:
            of_pictures = {"input_tokens": read, "output_tokens": said, "total_tokens": read + said}
            asked.connection.answer(200, {"created": 1, "data": [{"b64_json": "eA=="}], "usage": of_pictures})
        elif document.get("stream"):
            head = {"id": "c", "object": "chat.completion.chunk", "created": 1, "model": "x"}
            asked.connection.begin_stream()
            for delta, reason in (
                ({"role": "assistant", "content": ""}, None),
                ({"content": "hi"}, None),
                ({}, "stop"),
            ):
                asked.connection.event(head | {"choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})
            asked.connection.event(head | {"choices": [], "usage": usage})
            asked.connection.event(b"[DONE]")
            asked.connection.end()
        else:
            message = {"role": "assistant", "content": "hi", "refusal": None}
            choice = {"index": 0, "message": message, "finish_reason": "stop", "logprobs": None}
            whole = {"id": "c", "object": "chat.completion", "created": 1, "model": "x", "choices": [choice]}
            asked.connection.answer(200, whole | {"usage": usage})


async def http(gateway: Gateway, key: str, path: str, document: Any) -> tuple[int, str]:
    """One call: its status, and the code of its error."""
    client = await Client.connect(gateway.port)
    body = json.dumps(document).encode()
    client.send(
        f"POST {path} HTTP/1.1\r\nhost: localhost\r\nx-api-key: {key}\r\nconnection: close\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        + body
    )
    response = await client.response()
    client.leave()
    return response.status, "" if response.status == 200 else json.loads(response.body)["error"]["code"]


class Socket:
    """A WebSocket of a caller's."""

    def __init__(self, client: Client) -> None:
        self._client, self._protocol = client, WSConnection(ConnectionType.CLIENT)
        self._taken = 0
        self._texts: list[str] = []
        self._open = False

    @classmethod
    async def open(cls, gateway: Gateway, key: str) -> Socket:
        self = cls(await Client.connect(gateway.port))
        self._client.send(
            self._protocol.send(
                Request(host="localhost", target="/v1/chat/completions", extra_headers=[(b"x-api-key", key.encode())])
            )
        )
        while not self._open:
            await self._more()
        return self

    async def _more(self) -> None:
        if self._taken == len(self._client.received):
            assert not self._client.closed.called, "the socket was closed"
            await self._client.wait_for_more()
        data, self._taken = self._client.received[self._taken :], len(self._client.received)
        self._protocol.receive_data(data)
        for event in self._protocol.events():
            if isinstance(event, AcceptConnection):
                self._open = True
            elif isinstance(event, TextMessage):
                self._texts.append(event.data)

    async def ask(self, document: Any) -> tuple[int, str]:
        self._client.send(self._protocol.send(TextMessage(json.dumps(document))))
        while True:
            while self._texts:
                text = self._texts.pop(0)
                if text == "[DONE]":
                    return 200, ""
                if "error" in (said := json.loads(text)):
                    return 429, said["error"]["code"]
            await self._more()

    def leave(self) -> None:
        self._client.leave()


async def spend(callers: int, ask: Callable[[], Awaitable[tuple[int, str]]]) -> list[str]:
    """All at once ask until there is nothing left; the codes of all refusals."""
    codes: list[str] = []

    async def one() -> None:
        while True:
            status, code = await ask()
            if status != 200:
                codes.append(code)
            if code == "insufficient_quota":
                return
            if code:
                await wait(0.05)

    results = await DeferredList([Deferred.fromCoroutine(one()) for _ in range(callers)])
    for good, result in results:
        if not good:
            result.raiseException()
    return codes

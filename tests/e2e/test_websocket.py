"""A WebSocket client nobody here wrote (the websockets package) against the real service."""

from __future__ import annotations

import json

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from tests.e2e.service import PATIENCE, TIMEOUT, Gateway, until
from tests.fakes import CHAT

KEYS = '[[auth.keys]]\nname = "page"\nkey = "page-key-1"\n'


class WebSocket(TestCase):
    timeout = TIMEOUT

    async def begin(self, toml: str) -> Gateway:
        gateway = await Gateway(toml).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    async def test_chat(self) -> None:
        """Several requests on a socket, errors as messages, the key where a browser puts it."""
        gateway = await self.begin(KEYS)
        url = f"ws://localhost:{gateway.port}/v1/chat/completions"

        def ask(socket: object, body: object) -> list[str]:
            socket.send(json.dumps(body))
            texts = []
            while not texts or (texts[-1] != "[DONE]" and "error" not in texts[-1]):
                texts.append(socket.recv(timeout=PATIENCE))
            return texts

        def work() -> None:
            with connect(url, subprotocols=["realtime", "openai-insecure-api-key.page-key-1"]) as socket:
                self.assertEqual(socket.subprotocol, "realtime")
                for _ in range(3):
                    chunks = [json.loads(text) for text in ask(socket, CHAT)[:-1]]
                    text = "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
                    self.assertEqual(text, "This is a mock answer to: one two three")
                self.assertEqual(json.loads(ask(socket, {"model": "m"})[-1])["error"]["param"], "messages")
                socket.ping().wait(PATIENCE)
                with self.assertRaises(ConnectionClosed) as caught:
                    socket.send("x" * 11_000_000)
                    socket.recv(timeout=PATIENCE)
                self.assertEqual(caught.exception.rcvd.code, 1009)
            with self.assertRaises(InvalidStatus) as refused:
                connect(url)
            self.assertEqual(refused.exception.response.status_code, 401)
            with self.assertRaises(InvalidStatus) as foreign:
                connect(url, origin="https://evil.example", subprotocols=["openai-insecure-api-key.page-key-1"])
            self.assertEqual(foreign.exception.response.status_code, 403)
            with connect(
                url, origin=f"http://localhost:{gateway.port}", subprotocols=["openai-insecure-api-key.page-key-1"]
            ):
                pass

        await deferToThread(work)
        await until(lambda: len([f for f in gateway.access() if f["outcome"] == "ok"]) == 3, "three records")
        self.assertNotIn("page-key-1", gateway.process.out)

"""Streams: what other gateways' users suffer from, tried on the real service over real sockets."""

from __future__ import annotations

import json

from tests.e2e.client import Client, wait
from tests.e2e.service import until
from tests.e2e.vendor import ROLE, Asked, delta
from tests.e2e.with_vendor import STREAM, WithVendor
from tests.fakes import CHAT, request


class Streams(WithVendor):
    async def test_a_cut_answer_is_never_shown_as_finished(self) -> None:
        """However the vendor breaks off: an error event, no [DONE], no clean end."""

        def cut(asked: Asked) -> None:
            how = asked.json()["messages"][0]["content"]
            vendor = asked.connection
            vendor.begin_stream()
            for event in (ROLE, delta("hel"), delta("lo")):
                vendor.event(event)
            if how == "close":
                vendor.close()
            elif how == "reset":
                pass  # once the client has heard it: a reset takes what was not read yet with it
            elif how == "clean end":
                vendor.end()
            elif how == "malformed":
                vendor.event(b'{"choices":[{')
                vendor.event(delta(" there"))
                vendor.event(b"[DONE]")
                vendor.end()
            elif how == "error":
                vendor.event({"error": {"message": "overloaded"}})
            elif how == "half an event":
                vendor.chunk(b'data: {"choices":[{"index":0,"delta":{"content":"x"},"fin')
                vendor.close()
            elif how == "done without a finish":
                vendor.event(b"[DONE]")
                vendor.end()
            elif how == "bad chunk":
                vendor.send(b"zz\r\n")

        await self.begin(cut)
        ways = [
            "close",
            "reset",
            "clean end",
            "malformed",
            "error",
            "half an event",
            "done without a finish",
            "bad chunk",
        ]
        for how in ways:
            client = await Client.connect(self.gateway.port)
            client.send(request(body=STREAM | {"messages": [{"role": "user", "content": how}]}))
            if how == "reset":
                await client.wait_for(b'"lo"')
                self.vendor.asked[-1].connection.reset()
            response = await client.response()
            client.leave()
            self.assertFalse(response.complete, how)
            events = response.events()
            self.assertNotIn("[DONE]", events, how)
            self.assertEqual(json.loads(events[-1])["error"]["code"], "UPSTREAM_ERROR", how)
            text = "".join(json.loads(e)["choices"][0]["delta"].get("content", "") for e in events[:-1])
            self.assertEqual(text, "hello", how)

    async def test_early_failures_are_a_status(self) -> None:
        """Nothing that fails before content arrives as status 200."""

        def fail(asked: Asked) -> None:
            how = asked.json()["messages"][0]["content"]
            vendor = asked.connection
            if how == "500":
                vendor.answer(500, {"error": {"message": "internal"}})
            elif how == "429":
                vendor.answer(429, {"error": {"message": "slow down"}}, retry_after="7")
            elif how == "error in a 200":
                vendor.answer(200, {"error": {"message": "not really"}})
            elif how == "not json":
                vendor.answer(200, b"<html>")
            elif how == "close":
                vendor.close()
            elif how == "role then cut":
                vendor.begin_stream()
                vendor.event(ROLE)
                vendor.close()
            elif how == "role then error":
                vendor.begin_stream()
                vendor.event(ROLE)
                vendor.event({"error": {"message": "overloaded"}})

        await self.begin(fail)
        for how, status in {
            "500": 502,
            "error in a 200": 502,
            "not json": 502,
            "close": 502,
            "role then cut": 502,
            "role then error": 502,
            "429": 429,
        }.items():
            bodies = [STREAM] if how.startswith("role") else [STREAM, CHAT]
            for body in bodies:
                asked = {"model": f"v/{how[:3]}", "messages": [{"role": "user", "content": how}]}
                response = await self.ask(body | asked)
                self.assertEqual(response.status, status, how)
                self.assertIn("The provider 'v'", response.error["message"])
                if how == "429":
                    self.assertIn(response.headers["retry-after"], ("6", "7"))

    async def test_usage_is_asked_for_and_accounted(self) -> None:
        """The vendor is always asked, the client sees it only if it asked."""

        def answer(asked: Asked) -> None:
            vendor = asked.connection
            vendor.begin_stream()
            for event in (ROLE, delta("hi", usage=None), delta(finish="stop")):
                vendor.event(event)
            vendor.event(ROLE | {"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 22}})
            vendor.event(b"[DONE]")
            vendor.end()

        await self.begin(answer)
        response = await self.ask(STREAM)
        self.assertEqual(self.vendor.asked[0].json()["stream_options"], {"include_usage": True})
        self.assertNotIn("usage", response.body.decode())
        record = await self.record()
        self.assertEqual((record["input_tokens"], record["output_tokens"]), (11, 22))
        asked = await self.ask(STREAM | {"stream_options": {"include_usage": True}})
        self.assertIn('"completion_tokens":', asked.body.decode().replace(" ", ""))

    async def test_events_arrive_as_they_are_sent(self) -> None:
        """Compression and buffering never hold an event back."""
        go: list[Asked] = []
        await self.begin(go.append)
        client = await Client.connect(self.gateway.port)
        client.send(request(body=STREAM, headers={"accept-encoding": "gzip"}))
        await until(lambda: bool(go), "the vendor's turn")
        vendor = go[0].connection
        vendor.begin_stream()
        for word in ("one", "two", "three"):
            vendor.event(delta(word))
            await client.wait_for(f'"{word}"'.encode())
        self.assertNotIn(b"content-encoding", client.received.lower())
        client.leave()

    async def test_heartbeats(self) -> None:
        """A silent vendor's stream is kept alive with comments."""
        await self.begin(lambda asked: None, "[server]\nheartbeat = 0.2\n")
        client = await Client.connect(self.gateway.port)
        client.send(request(body=STREAM))
        await client.wait_for(b": ping\n\n")
        self.assertTrue(client.received.startswith(b"HTTP/1.1 200 OK"))
        client.leave()

    async def test_a_slow_reader_does_not_grow_memory(self) -> None:
        """The vendor's socket is paused instead: it cannot push 64 MB through a client that does not read."""
        pushed = [0]
        event = b"data: " + json.dumps(delta("x" * 60000)).encode() + b"\n\n"

        def flood(asked: Asked) -> None:
            connection = asked.connection
            connection.begin_stream()

            class Producer:
                def resumeProducing(self) -> None:
                    if pushed[0] < 64_000_000:
                        connection.chunk(event)
                        pushed[0] += len(event)

                def stopProducing(self) -> None: ...

            connection.transport.registerProducer(Producer(), False)  # type: ignore[union-attr]

        await self.begin(flood)
        before = self.gateway.memory()
        client = await Client.connect(self.gateway.port)
        client.transport.pauseProducing()  # type: ignore[union-attr]
        client.send(request(body=STREAM))
        await until(lambda: pushed[0] > 0, "a first push")
        stable = -1
        while stable != pushed[0]:
            stable = pushed[0]
            await wait(0.5)
        self.assertLess(stable, 32_000_000)  # the kernel's buffers on two loopback connections
        self.assertLess(self.gateway.memory() - before, 4_000_000)
        client.transport.resumeProducing()  # type: ignore[union-attr]
        await until(lambda: pushed[0] > stable + 1_000_000, "the flow to go on")
        client.leave()

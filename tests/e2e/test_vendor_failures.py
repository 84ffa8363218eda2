"""What other gateways' users suffer from, tried on the real service over real sockets."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import treq
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client, wait
from tests.e2e.service import CANARY_KEY, CANARY_VENDOR, TIMEOUT, Gateway, connections, until
from tests.e2e.vendor import ANSWER, ROLE, Asked, Script, Vendor, delta
from tests.fakes import CHAT, Response, request

STREAM = CHAT | {"stream": True}
NO_LIMITS = "[server]\ntimeout = 86400\n[upstream]\nconnect_timeout = 3600\nidle_timeout = 3600\n"


class WithVendor(TestCase):
    timeout = TIMEOUT

    async def begin(self, script: Script, more: str = "", **kw: Any) -> None:
        self.vendor = vendor = Vendor(script)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        if "[routing]" not in more:
            # The vendor's failures are looked at one by one: nothing is asked again, nobody is left alone.
            more += "\n[routing]\nretries = 0\nbreaker_failures = 10000\nbreaker_rate = 2\n"
        self.gateway = gateway = Gateway(vendor.toml + more, **kw)
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))

    async def ask(self, body: Any, **headers: str) -> Response:
        client = await Client.connect(self.gateway.port)
        client.send(request(body=body, headers=headers))
        response = await client.response()
        client.leave()
        return response

    async def record(self) -> dict[str, Any]:
        await until(lambda: bool(self.gateway.access()), "an access line")
        return self.gateway.access()[-1]


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
                vendor.event(b'{"choices":[{')  # left out, and what follows decides
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


class Leaving(WithVendor):
    """Nothing else ends these calls: the gateway's own limits are far away."""

    async def test_in_each_phase(self) -> None:
        """The vendor sees the close and the record is settled."""

        def script(asked: Asked) -> None:
            if asked.json()["stream"]:
                asked.connection.begin_stream()
                if asked.json()["messages"][0]["content"] == "content":
                    asked.connection.event(delta("x"))

        await self.begin(script, NO_LIMITS)
        for content in ("headers", "content"):
            for stream in (False, True):
                self.vendor.asked.clear()
                count = len(self.gateway.access())
                client = await Client.connect(self.gateway.port)
                client.send(request(body=CHAT | {"stream": stream, "messages": [{"role": "user", "content": content}]}))
                await until(lambda: bool(self.vendor.asked), "the request at the vendor")
                if stream and content == "content":
                    await client.wait_for(b"data: ")
                client.leave()
                connection = self.vendor.asked[0].connection
                await until(lambda c=connection: c.closed_at is not None, "the close at the vendor")
                await until(lambda n=count: len(self.gateway.access()) > n, "the record")
                self.assertEqual(self.gateway.access()[-1]["outcome"], "client_closed")

    async def test_while_connecting(self) -> None:
        """A vendor that does not even accept: the wait ends with the client."""
        import socket

        full = socket.socket()
        self.addCleanup(full.close)
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
            self.addCleanup(filler.close)
        more = f'[providers.full]\nbase_url = "http://127.0.0.1:{full.getsockname()[1]}"\n'
        await self.begin(lambda asked: None, more + NO_LIMITS)
        port = full.getsockname()[1]
        before = connections(port, "02", remote=True)
        client = await Client.connect(self.gateway.port)
        client.send(request(body=CHAT | {"model": "full/x"}))
        await until(lambda: connections(port, "02", remote=True) > before, "the connecting")
        client.leave()
        record = await self.record()
        self.assertEqual((record["outcome"], record["attempts"][0]["outcome"]), ("client_closed", "aborted"))


class Time(WithVendor):
    async def test_every_limit_fires(self) -> None:
        """First byte, first token, idle, and the whole: each ends a silent vendor's call."""

        def script(asked: Asked) -> None:
            how = asked.json()["messages"][0]["content"]
            vendor = asked.connection
            if how == "headers only":
                vendor.begin_stream()
                vendor.event(ROLE)
            elif how == "one word":
                vendor.begin_stream()
                vendor.event(delta("x"))
            elif how == "half a body":
                vendor.send(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{")

        for how, limit, seconds, body, words in (
            ("silent", "first_byte", 0.3, CHAT, "first byte of its answer within 0.3 s"),
            ("silent", "first_byte", 0.3, STREAM, "first byte of its answer within 0.3 s"),
            ("headers only", "first_token", 0.5, STREAM, "first content of its answer within 0."),
            ("half a body", "idle", 0.3, CHAT, "go on with its answer within 0.3 s"),
        ):
            await self.begin(script, f"[upstream]\n{limit}_timeout = {seconds}\n")
            response = await self.ask(body | {"messages": [{"role": "user", "content": how}]})
            self.assertEqual((response.status, response.error["code"]), (504, "TIMEOUT_ERROR"), how)
            self.assertIn(words, response.error["message"])
            await self.closed()
        await self.begin(script, "[upstream]\nidle_timeout = 0.3\n")
        response = await self.ask(STREAM | {"messages": [{"role": "user", "content": "one word"}]})
        self.assertFalse(response.complete)
        self.assertIn("go on with its answer within 0.3 s", json.loads(response.events()[-1])["error"]["message"])
        await self.closed()

    async def closed(self) -> None:
        """Until the vendor has seen the close of every connection."""
        for asked in self.vendor.asked:
            await until(lambda c=asked.connection: c.closed_at is not None, "the close at the vendor")

    async def test_the_whole_call(self) -> None:
        """A silent vendor is a 504 after server.timeout, whatever the other limits are."""
        await self.begin(lambda asked: None, "[server]\ntimeout = 0.5\n")
        for body in (CHAT, STREAM):
            response = await self.ask(body)
            self.assertEqual((response.status, response.error["code"]), (504, "TIMEOUT_ERROR"))


class Secrets(WithVendor):
    async def test_canaries(self) -> None:
        """Neither key turns up in a log, an answer, a metric, or a header sent to the other side."""

        def script(asked: Asked) -> None:
            how = asked.json()["messages"][0]["content"]
            headers = {
                "set_cookie": "vendor=1",
                "server": "vendor-server",
                "x_vendor": "internal",
                "x_request_id": "up-7",
            }
            if how == "echo":
                leak = {"code": CANARY_VENDOR, "type": CANARY_VENDOR, "param": CANARY_VENDOR}
                asked.connection.answer(400, {"error": {"message": f"bad: {asked.headers}"} | leak}, **headers)
            elif how == "401":
                asked.connection.answer(401, {"error": {"message": f"Incorrect API key: {CANARY_VENDOR}"}}, **headers)
            elif how == "close":
                asked.connection.close()
            else:
                asked.connection.answer(200, ANSWER, **headers)

        vendor_key = f'api_key = "{CANARY_VENDOR}"\nheaders = {{x-extra = "canary-extra-header-5"}}\n'
        keys = f'[[auth.keys]]\nname = "team"\nkey = "{CANARY_KEY}"\n'
        await self.begin(script, vendor_key + keys)
        seen = ""
        for how in ("ok", "echo", "401", "close"):
            sent = {
                "authorization": f"Bearer {CANARY_KEY}",
                "cookie": "client-cookie=1",
                "x-client-secret": "client-header",
                "user-agent": "client-agent",
                "x-forwarded-for": "10.1.2.3",
                "x-request-id": f"id-{how}",
            }
            response = await self.ask(CHAT | {"messages": [{"role": "user", "content": how}]}, **sent)
            seen += f"{response.headers}{response.body.decode()}"
        for key in (CANARY_KEY + "x", "wrong-" + CANARY_KEY):
            seen += str(await self.ask(CHAT, **{"x-api-key": key}))
        await self.ask(b"{" + CANARY_KEY.encode(), **{"x-api-key": CANARY_KEY})
        metrics = await treq.content(await treq.get(f"{self.gateway.url}/metrics", persistent=False))
        await self.gateway.stop()  # all is logged
        seen += metrics.decode() + self.gateway.process.out + self.gateway.process.err
        for secret in (CANARY_VENDOR, CANARY_KEY, "canary-extra", "vendor-server", "set-cookie", "internal"):
            self.assertNotIn(secret, seen, secret)
        self.assertIn("up-7", seen)  # the vendor's request id is in our log, for support
        for asked in self.vendor.asked:
            self.assertEqual(asked.headers["authorization"], f"Bearer {CANARY_VENDOR}")
            allowed = {"host", "user-agent", "content-type", "content-length", "accept", "accept-encoding"}
            self.assertEqual(set(asked.headers) - allowed, {"authorization", "x-extra", "x-request-id"})
            self.assertTrue(asked.headers["user-agent"].startswith("llmedge/"))
            self.assertNotIn(CANARY_KEY, str(asked.headers))

    async def test_destinations_come_from_configuration(self) -> None:
        """Nothing a client sends makes the gateway call another address."""
        await self.begin(lambda asked: asked.connection.answer(200, ANSWER))
        target = Vendor(lambda asked: asked.connection.answer(200, ANSWER))
        self.addCleanup(lambda: Deferred.fromCoroutine(target.stop()))
        evil = f"127.0.0.1:{target.port}"
        for headers in ({"x-forwarded-host": evil}, {"x-base-url": f"http://{evil}"}, {"x-llmedge-target": evil}, {}):
            for model in (f"http://{evil}/v1", f"v/../../{evil}", f"v@{evil}/x", f"{evil}/x"):
                await self.ask(
                    CHAT | {"model": model, "base_url": f"http://{evil}", "api_base": f"http://{evil}"}, **headers
                )
        self.assertEqual(target.connections, [])
        for asked in self.vendor.asked:
            self.assertEqual(asked.line, "POST /v1/chat/completions HTTP/1.1")


class NoTraces(TestCase):
    def test_no_canary_is_written_to_disk_by_us(self) -> None:
        """The source itself holds no secret-like constant of the tests."""
        source = Path(__file__).parent.parent.parent / "src"
        for path in source.rglob("*.py"):
            self.assertIsNone(re.search("canary-", path.read_text()), str(path))

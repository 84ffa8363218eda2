"""The openai package → a real ``twist llmedge`` → a vendor that looks at every byte: what is passed through."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import openai
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client, reactor, wait
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.e2e.vendor import Asked, Vendor
from tests.folders import new_folder
from tests.web.test_multipart import FILE, MODEL, TYPE, body

SOUND = bytes(range(256)) * 1200
PICTURE = {"created": 1, "data": [{"b64_json": "AAAA"}], "usage": {"input_tokens": 3, "output_tokens": 5}}


class WithSdk(TestCase):
    timeout = TIMEOUT

    async def begin(self, toml: str) -> None:
        self.gateway = await Gateway(toml).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.gateway.stop()))

    async def with_sdk(self, work: Callable[[openai.OpenAI], Any]) -> Any:
        def run() -> Any:
            with openai.OpenAI(base_url=f"{self.gateway.url}/v1", api_key="any", max_retries=0) as client:
                return work(client)

        return await deferToThread(run)


class PassedThrough(WithSdk):
    def answer(self, asked: Asked) -> None:
        """As OpenAI would, in as much as it is about bytes."""
        path = asked.line.split(" ")[1]
        if path.endswith("/speech"):
            vendor = asked.connection
            if asked.json().get("stream_format") == "sse":
                vendor.begin_stream()
                vendor.event({"type": "speech.audio.delta", "audio": "AA=="})
                vendor.event({"type": "speech.audio.done", "usage": {"input_tokens": 1, "output_tokens": 2}})
                vendor.end()
                return
            vendor.send(b"HTTP/1.1 200 OK\r\ncontent-type: audio/mpeg\r\ntransfer-encoding: chunked\r\n\r\n")
            for start in range(0, len(SOUND), 10000):
                vendor.chunk(SOUND[start : start + 10000])
            vendor.end()
        elif path.endswith("/transcriptions"):
            if b'name="stream"' in asked.body:
                asked.connection.begin_stream()
                asked.connection.event({"type": "transcript.text.delta", "delta": "he"})
                asked.connection.event({"type": "transcript.text.done", "text": "hello"})
                asked.connection.end()
            else:
                asked.connection.answer(200, {"text": "hello", "usage": {"type": "duration", "seconds": 2}})
        elif path.endswith("/moderations"):
            asked.connection.answer(200, {"id": "m", "model": "up", "results": []})
        else:
            asked.connection.answer(200, PICTURE)

    async def test_by_the_sdk(self) -> None:
        """Each of its methods gets what the vendor said, and the vendor what it said, byte for byte."""
        vendor = Vendor(self.answer)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        await self.begin(vendor.toml + '[models.nick]\ntargets = ["v/real"]\n')

        def work(client: openai.OpenAI) -> None:
            file = ("a.mp3", io.BytesIO(SOUND), "audio/mpeg")
            self.assertEqual(client.audio.transcriptions.create(file=file, model="nick").text, "hello")
            file = ("a.mp3", io.BytesIO(SOUND), "audio/mpeg")
            events = list(client.audio.transcriptions.create(file=file, model="nick", stream=True))
            self.assertEqual([event.type for event in events], ["transcript.text.delta", "transcript.text.done"])
            with client.audio.speech.with_streaming_response.create(model="nick", voice="alloy", input="hi") as said:
                said.stream_to_file(path := new_folder() / "speech.mp3")
            self.assertEqual(path.read_bytes(), SOUND)
            self.assertEqual(said.headers["content-type"], "audio/mpeg")
            pictures = client.images.generate(model="nick", prompt="a cat", size="1024x1024")
            self.assertEqual((pictures.data[0].b64_json, pictures.usage.output_tokens), ("AAAA", 5))
            picture = ("a.png", io.BytesIO(SOUND), "image/png")
            edited = client.images.edit(model="nick", prompt="a dog", image=picture)
            self.assertEqual(edited.data[0].b64_json, "AAAA")
            self.assertEqual(client.moderations.create(input="x").model, "up")

        await self.with_sdk(work)
        first, second, speech, picture, edit, moderation = vendor.asked
        for asked in (first, second, edit):
            boundary = asked.headers["content-type"].partition("boundary=")[2].encode()
            self.assertIn(SOUND, asked.body)
            self.assertIn(b'name="model"\r\n\r\nreal\r\n--' + boundary, asked.body)
            self.assertTrue(asked.body.endswith(b"--" + boundary + b"--\r\n"))
            self.assertEqual(asked.headers["content-length"], str(len(asked.body)))
        self.assertEqual(speech.json(), {"model": "real", "voice": "alloy", "input": "hi"})
        self.assertEqual(picture.json(), {"model": "real", "prompt": "a cat", "size": "1024x1024"})
        self.assertEqual(moderation.json(), {"model": "omni-moderation-latest", "input": "x"})
        await until(lambda: len(self.gateway.access()) == 6, "six access lines")
        lines = self.gateway.access()
        self.assertEqual([line["outcome"] for line in lines], ["ok"] * 6)
        self.assertEqual((lines[3]["input_tokens"], lines[3]["output_tokens"]), (3, 5))

    async def test_the_mock_has_it_all(self) -> None:
        """``make run`` answers whatever the SDK has: nothing to configure."""
        await self.begin('[providers.m]\ndialect = "mock"\nmodels = ["*"]\n')

        def work(client: openai.OpenAI) -> None:
            file = ("a.mp3", io.BytesIO(SOUND), "audio/mpeg")
            self.assertIn("mock", client.audio.transcriptions.create(file=file, model="whisper-1").text)
            speech = client.audio.speech.create(model="tts-1", voice="alloy", input="hi")
            self.assertEqual(speech.read()[:4], b"RIFF")
            self.assertEqual(len(client.images.generate(model="g", prompt="a cat", n=2).data), 2)
            self.assertEqual([r.flagged for r in client.moderations.create(input=["x", "y"]).results], [False] * 2)
            again = [client.embeddings.create(model="e", input=["a b", "c"], dimensions=8) for _ in range(2)]
            self.assertEqual([e.embedding for e in again[0].data], [e.embedding for e in again[1].data])
            vector = again[0].data[0].embedding
            self.assertAlmostEqual(sum(each * each for each in vector), 1.0, places=5)
            self.assertEqual((len(vector), again[0].usage.prompt_tokens), (8, 3))
            for dimensions in (-1, 2**63):
                with self.assertRaises(openai.BadRequestError):
                    client.embeddings.create(model="e", input="a", dimensions=dimensions)
            ranked = client.post("/rerank", body={"model": "r", "query": "b", "documents": ["a", "b"]}, cast_to=object)
            self.assertEqual([each["index"] for each in ranked["results"]], [1, 0])

        await self.with_sdk(work)


class SlowReader(Protocol):
    """Takes 64 KiB every few milliseconds, and answers when the body is here."""

    def __init__(self) -> None:
        self.got = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self.got += data
        transport: Any = self.transport
        transport.pauseProducing()
        reactor.callLater(0.005, transport.resumeProducing)
        if self.got.endswith(b"--XyZ-7--\r\n"):
            said = b'{"text":"hello"}'
            transport.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 16\r\n\r\n" + said)


class Memory(WithSdk):
    async def test_a_large_upload_is_not_held(self) -> None:
        """20 MB for a vendor that reads slowly: the gateway's memory grows by less than 8 MB, no byte is lost."""
        readers: list[SlowReader] = []

        class Slow(Factory):
            noisy = False

            def buildProtocol(self, addr: Any) -> SlowReader:
                readers.append(SlowReader())
                return readers[-1]

        port = reactor.listenTCP(0, Slow(), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        await self.begin(f'[providers.v]\nbase_url = "http://127.0.0.1:{port.getHost().port}/v1"\nmodels = ["*"]\n')
        head = "POST /v1/audio/transcriptions HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n"
        head += f"content-type: {TYPE}\r\ncontent-length: "

        async def send(size: int) -> tuple[int, bytes]:
            """The most memory there was meanwhile, and what was sent."""
            data = body(MODEL + b"m", FILE + b"s" * size)
            client = await Client.connect(self.gateway.port)
            client.send(head.encode() + b"%d\r\n\r\n" % len(data) + data)
            most = 0
            while not client.closed.called:
                most = max(most, self.gateway.memory())
                await wait(0.02)
            self.assertTrue(client.received.endswith(b'{"text":"hello"}'), client.received)
            return most, data

        before, _ = await send(1000)
        most, data = await send(20_000_000)
        self.assertEqual(bytes(readers[-1].got).partition(b"\r\n\r\n")[2], data)
        self.assertLess(most - before, 8_000_000)
        for reader in readers:
            reader.transport.abortConnection()  # type: ignore[union-attr]

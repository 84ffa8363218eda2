"""Vendors that cannot run here, each in its own dialect (aimock), asked through every client dialect."""

from __future__ import annotations

import json
from collections.abc import Coroutine, Iterable
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from tests.e2e.aimock import ANSWER, CITY, ODD, USAGE, VENDORS, Aimock
from tests.e2e.client import Client
from tests.e2e.dialect_clients import ASKERS, Asker, Said, code_of
from tests.e2e.service import TIMEOUT, Gateway, until
from tests.e2e.test_real_clients import CALM
from tests.e2e.vendor import ROLE, Asked, Vendor, delta
from tests.fakes import request

EVERY = [(asker, vendor, stream) for asker in ASKERS for vendor in VENDORS for stream in (False, True)]


class Vendors(TestCase):
    timeout = TIMEOUT

    async def setUp(self) -> None:
        self.aimock = await Aimock().start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.aimock.stop()))
        self.gateway = await Gateway(self.aimock.toml + CALM).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.gateway.stop()))

    async def ask(self, asker: Asker, vendor: str, content: str, stream: bool, **more: Any) -> Said:
        return await asker.ask(self.gateway.port, f"m-{vendor}", content, stream=stream, **more)

    async def test_answers(self) -> None:
        """Text, the reason of its end in the asker's words, and usage."""
        usage = (USAGE["prompt_tokens"], 0, USAGE["completion_tokens"])
        for asker, vendor, stream in EVERY:
            for content, reason in (("hello", "stop"), ("long", "length")):
                said = await self.ask(asker, vendor, content, stream)
                stop = asker.stops[reason]
                if asker.name == "responses" and vendor in ("responses", "azure"):
                    stop = stop.partition(":")[0]  # aimock's own answer, which gives no reason, goes through as it is
                wanted = Said(200, ANSWER, stop=stop, usage=usage)
                self.assertEqual(said, wanted, (asker.name, vendor, stream, content))

    async def test_parallel_tool_calls(self) -> None:
        """Each call keeps its place and its arguments: byte for byte where both dialects have them as
        text, the same value where one of them has them as an object."""
        for asker, vendor, stream in EVERY:
            said = await self.ask(asker, vendor, "many", stream, schema=CITY)
            which = (asker.name, vendor, stream)
            self.assertEqual([name for name, _ in said.calls], ["get_weather"] * 3, which)
            arguments = [text for _, text in said.calls]
            self.assertEqual([json.loads(text) for text in arguments], [json.loads(text) for text in ODD], which)
            as_text = asker.name in ("chat", "responses") or (asker.name == "anthropic" and stream)
            if as_text and vendor not in ("gemini", "anthropic"):  # aimock has Anthropic's parsed and written anew
                self.assertEqual(arguments, ODD, which)
            if (asker.name, vendor) != ("gemini", "gemini"):  # aimock's FUNCTION_CALL goes through as it is
                self.assertEqual(said.stop, asker.stops["tool"], which)
            self.assertTrue(said.clean, which)

    async def test_usage_is_asked_for_and_stripped(self) -> None:
        """A chat that did not ask for usage sees none, whoever answers; the vendor is always asked for it."""
        for vendor in VENDORS:
            client = await Client.connect(self.gateway.port)
            say = [{"role": "user", "content": "hello"}]
            client.send(request(body={"model": f"m-{vendor}", "messages": say, "stream": True}))
            response = await client.response()
            client.leave()
            *events, last = response.events()
            self.assertEqual((response.complete, last), (True, "[DONE]"), vendor)
            for event in events:
                self.assertIsNone(json.loads(event).get("usage"), vendor)
        await until(lambda: len(self.gateway.access()) == len(VENDORS), "the records")
        for fields in self.gateway.access():
            self.assertEqual(
                (fields["input_tokens"], fields["output_tokens"], fields["tokens_estimated"]),
                (USAGE["prompt_tokens"], USAGE["completion_tokens"], False),
                fields,
            )

    async def test_a_cut_answer_is_an_error(self) -> None:
        """However a vendor breaks off, in text or in a call: an explicit error in the asker's dialect, no clean end."""

        async def cut(asker: Asker, vendor: str, content: str) -> None:
            said = await self.ask(asker, vendor, content, True, schema=CITY)
            which = (asker.name, vendor, content, said)
            if (asker.name, content) == ("gemini", "truncated call"):  # nothing had been said yet: calls are one event
                self.assertEqual(said.status, 502, which)
            else:
                self.assertEqual((said.status, said.clean), (200, False), which)
                self.assertTrue(said.text or said.calls, which)
                self.assertTrue((ANSWER * 50).startswith(said.text), which)
            self.assertIsNone(said.stop, which)
            self.assertEqual(code_of(asker, said.error), "UPSTREAM_ERROR", which)

        async def gone(asker: Asker, vendor: str, stream: bool) -> None:
            said = await self.ask(asker, vendor, "gone", stream)
            self.assertEqual(said.status, 502, (asker.name, vendor, stream, said))
            self.assertEqual(code_of(asker, said.error), "UPSTREAM_ERROR")

        async def together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
            await gatherResults([Deferred.fromCoroutine(work) for work in works], consumeErrors=True)

        await together(
            cut(asker, vendor, content)
            for asker in ASKERS
            for vendor in VENDORS
            for content in ("truncated", "truncated call", "disconnected")
            if (vendor, content) != ("gemini", "truncated call")  # Gemini sends a call in one event
        )
        await together(gone(*which) for which in EVERY)

    async def test_refusals(self) -> None:
        """A vendor's error is the asker's, with its status and the vendor's words."""
        for asker, vendor, stream in EVERY:
            for status, ours in ((400, 400), (429, 429), (500, 502)):
                said = await self.ask(asker, vendor, f"fail with {status}", stream)
                self.assertEqual(said.status, ours, (asker.name, vendor, stream, said))
                self.assertIn(f"a rehearsed {status}", said.error["error"]["message"])
                self.assertTrue(code_of(asker, said.error))


class Interleaved(TestCase):
    timeout = TIMEOUT

    async def test_parallel_deltas(self) -> None:
        """Pieces of several calls in turns, as some servers send them: each call is put together again byte for byte,
        in its place, whatever the asker speaks."""

        def piece(index: int, arguments: str, **more: Any) -> Any:
            function = {"arguments": arguments} | ({"name": "get_weather"} if more else {})
            chunk = delta()
            chunk["choices"][0]["delta"] = {"tool_calls": [{"index": index, "function": function, **more}]}
            return chunk

        def answer(asked: Asked) -> None:
            vendor = asked.connection
            vendor.begin_stream()
            vendor.event(ROLE)
            for index in range(len(ODD)):
                vendor.event(piece(index, "", id=f"call_{index}", type="function"))
            for at in range(max(map(len, ODD))):
                for index, text in enumerate(ODD):
                    if at < len(text):
                        vendor.event(piece(index, text[at]))
            vendor.event(delta(finish="tool_calls"))
            vendor.event(ROLE | {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 2}})
            vendor.event(b"[DONE]")
            vendor.end()

        vendor = Vendor(answer)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        gateway = await Gateway(vendor.toml).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        for asker in ASKERS:
            said = await asker.ask(gateway.port, "m", "x", stream=True, schema=CITY)
            self.assertEqual((said.stop, said.usage, said.clean), (asker.stops["tool"], (1, 0, 2), True), asker.name)
            self.assertEqual([name for name, _ in said.calls], ["get_weather"] * len(ODD), asker.name)
            arguments = [text for _, text in said.calls]
            if asker.name == "gemini":  # which has objects, not text
                self.assertEqual([json.loads(text) for text in arguments], [json.loads(text) for text in ODD])
            else:
                self.assertEqual(arguments, ODD, asker.name)

"""Guardrails on the real gateway: the page's examples as they stand there, and a canary that nobody ever sees."""

from __future__ import annotations

import json
import os
import re
import textwrap
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase
from websockets.sync.client import connect

from tests.e2e.client import Client
from tests.e2e.service import PYTHONPATH, ROOT, TIMEOUT, Gateway, until
from tests.e2e.vendor import Asked, Vendor
from tests.e2e.with_vendor import WithVendor
from tests.fakes import Response, request
from tests.folders import new_folder
from tests.guards.positions import REQUESTS

CANARY = "canary-17@leak.example"
CHAT: dict[str, Any] = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
DIALECTS = {
    "chat": "/v1/chat/completions",
    "responses": "/v1/responses",
    "messages": "/v1/messages",
    "gemini": "/v1beta/models/m:{verb}",
}
MASK = '[[guardrails]]\nname = "pii"\ntype = "pii"\non = ["input", "response"]\naction = "{action}"\nmode = "enforce"\n'


def blocks(language: str) -> list[str]:
    """Those of the page."""
    page = (Path(ROOT) / "docs" / "guardrails.rst").read_text()
    found = re.findall(rf"\.\. code-block:: {language}\n\n((?: {{4}}.*\n|\n)+)", page)
    return [textwrap.dedent(each) for each in found]


def said(text: str, asked: Asked) -> None:
    """Answers with ``text``, streamed in small pieces if a stream is asked for."""
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "up"}
    if not asked.json().get("stream"):
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        asked.connection.answer(200, head | {"choices": [choice], "usage": usage})
        return
    asked.connection.begin_stream()
    for at in range(0, len(text), 5):
        asked.connection.event(head | {"choices": [{"index": 0, "delta": {"content": text[at : at + 5]}}]})
    asked.connection.event(head | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]})
    asked.connection.chunk(b"data: [DONE]\n\n")
    asked.connection.chunk(b"")


def echo(asked: Asked) -> None:
    """Says what the last message says."""
    content = asked.json()["messages"][-1]["content"]
    said(content if isinstance(content, str) else json.dumps(content), asked)


class Page(TestCase):
    timeout = TIMEOUT

    async def begin(self, toml: str, path: str = PYTHONPATH) -> None:
        self.vendor = vendor = Vendor(echo)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        self.gateway = gateway = Gateway(vendor.toml + toml, {"PYTHONPATH": path})
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))

    async def chat(self, text: str) -> Response:
        client = await Client.connect(self.gateway.port)
        client.send(request(body=CHAT | {"messages": [{"role": "user", "content": text}]}))
        response = await client.response()
        client.leave()
        await until(lambda: bool(self.gateway.access()), "an access line")
        return response

    async def test_the_worked_example(self) -> None:
        """The vendor, the header and the log have what the page says."""
        page = " ".join((Path(ROOT) / "docs" / "guardrails.rst").read_text().split())
        found = re.search(
            r"A chat that says ``(.+?)`` reaches its vendor as ``(.+?)``\. .*?header ``(\S+): (.+?)``", page
        )
        assert found is not None
        text, reached, header, value = found.groups()
        await self.begin(blocks("toml")[0])
        response = await self.chat(text)
        self.assertEqual(self.vendor.asked[0].json()["messages"][0]["content"], reached)
        self.assertEqual(response.headers[header], value)
        told = self.gateway.access()[-1]["guardrails"]
        want = json.loads(blocks("json")[0])["guardrails"]
        want[2] |= {"verdict": "pseudonymize", "finds": {"EMAIL": 1}}  # this vendor repeats what it is told
        self.assertEqual([each | {"ms": 0} for each in told], [each | {"ms": 0} for each in want])

    async def test_the_plugin(self) -> None:
        folder = new_folder() / "llmedge" / "plugins"
        folder.mkdir(parents=True)
        (folder / "contracts.py").write_text(blocks("python")[0])
        path = f"{folder.parent.parent}{os.pathsep}{PYTHONPATH}"
        await self.begin(blocks("toml")[1], path)
        await self.chat("contract HH202612345, not XX202612345")
        self.assertEqual(self.vendor.asked[0].json()["messages"][0]["content"], "contract [CONTRACT], not XX202612345")
        wrong = blocks("toml")[1].replace("branches", "branch")
        gateway = Gateway(self.vendor.toml + wrong, {"PYTHONPATH": path}, arguments=("--check",))
        gateway.process.ready.addErrback(lambda failure: None)
        gateway.launch()
        self.assertEqual(await gateway.process.ended, 1)
        self.assertIn("is not a setting; did you mean", gateway.process.err)
        self.assertIn("needs branches", gateway.process.err)


class Canaries(WithVendor):
    """In each place that a text can have, of each dialect, whole and streamed, to a vendor of another one."""

    async def begin_guarded(self, action: str, answer: str) -> None:
        self.folder = new_folder()
        store = f'[store]\nurl = "sqlite:{self.folder}/ledger.db"\n'
        toml = MASK.format(action=action) + store + '[log]\nfilter = "*=debug"\n[auth]\nenabled = false\n'
        await self.begin(lambda asked: said(answer, asked), toml)

    async def poison(self, name: str, stream: bool) -> tuple[int, str]:
        """Ask with a canary in every place; the status, and all that came back."""
        body = json.loads(
            re.sub(r"\b((?:request|history|system|tool_\w+|tools):)", rf"\1 {CANARY} ", json.dumps(REQUESTS[name]))
        )
        for medium in ("image_url", "input_image", "inlineData", "image"):
            body = without(body, medium)
        path = DIALECTS[name].format(verb="streamGenerateContent?alt=sse" if stream else "generateContent")
        if name == "messages":
            body |= {"max_tokens": 9}
        if name == "responses":
            body.pop("previous_response_id")
        if name != "gemini":
            body |= {"stream": stream}
        client = await Client.connect(self.gateway.port)
        client.send(request(path=path, body=body))
        response = await client.response()
        client.leave()
        return response.status, str(response.headers) + response.body.decode()

    async def leaks_nothing(self) -> None:
        metrics = await Client.connect(self.gateway.port)
        metrics.send(request("GET", "/metrics"))
        page = (await metrics.response()).body.decode()
        metrics.leave()
        self.assertIn('llm_guardrail_total{name="pii"', page)
        await self.gateway.stop()
        files = b"".join(each.read_bytes() for each in self.folder.rglob("*") if each.is_file())
        self.assertIn(b"guardrails", files)  # the ledger has the facts of calls
        for place in (page, self.gateway.process.out, self.gateway.process.err, files.decode("latin-1")):
            self.assertFalse("canary-17" in place, place[max(0, place.find("canary-17") - 200) :][:300])

    async def test_masked(self) -> None:
        await self.begin_guarded("mask", f"it was {CANARY}, was it")
        for name in DIALECTS:
            for stream in (False, True):
                status, back = await self.poison(name, stream)
                self.assertEqual(status, 200, f"{name} {back}")
                self.assertIn("[EMAIL]", back)
                self.assertNotIn("canary-17", back)
                self.assertGreater(self.vendor.asked[-1].body.count(b"[EMAIL]"), 8)
        self.assertEqual(len(self.vendor.asked), 8)
        self.assertNotIn("canary-17", str([asked.body for asked in self.vendor.asked]))
        await self.leaks_nothing()

    async def test_blocked(self) -> None:
        await self.begin_guarded("block", "fine")
        for name in DIALECTS:
            for stream in (False, True):
                status, back = await self.poison(name, stream)
                self.assertEqual(status, 400, back)
                self.assertIn("pii", back)
                self.assertNotIn("canary-17", back)
        self.assertEqual(self.vendor.asked, [])
        await self.leaks_nothing()

    async def test_put_back(self) -> None:
        """The vendor never sees it; the client has it again, and nothing of ours has it."""
        await self.begin_guarded("pseudonymize", "write to <EMAIL_1> now")
        for name in DIALECTS:
            for stream in (False, True):
                status, back = await self.poison(name, stream)
                self.assertEqual(status, 200, back)
                self.assertIn(CANARY, "".join(re.findall(r'"(?:text|content|delta)": ?"([^"]*)"', back)))
        self.assertNotIn("canary-17", str([asked.body for asked in self.vendor.asked]))
        await self.leaks_nothing()


class Sockets(WithVendor):
    async def test_a_socket_of_chats(self) -> None:
        """Each message goes through the same guardrails."""
        await self.begin(echo, MASK.format(action="mask"))

        def chat() -> str:
            with connect(f"ws://127.0.0.1:{self.gateway.port}/v1/chat/completions") as socket:
                socket.send(json.dumps(CHAT | {"messages": [{"role": "user", "content": f"to {CANARY}"}]}))
                said: list[str] = []
                while not said or said[-1] != "[DONE]":
                    said.append(str(socket.recv(timeout=20)))
                return "".join(said)

        back = await deferToThread(chat)
        self.assertNotIn("canary-17", back + str(self.vendor.asked[0].body))
        self.assertIn("[EMAIL]", str(self.vendor.asked[0].body))


def without(value: Any, medium: str) -> Any:
    """``value`` without parts that are pictures."""
    if isinstance(value, list):
        kept = [
            each for each in value if not (isinstance(each, dict) and (medium in each or each.get("type") == medium))
        ]
        return [without(each, medium) for each in kept]
    return {name: without(each, medium) for name, each in value.items()} if isinstance(value, dict) else value

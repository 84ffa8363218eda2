"""Conversations that clients hold through the real gateway, and what is found wrong with them."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest

from tests.e2e.conversations.agents import LIMIT, Agent
from tests.e2e.conversations.pictures import pictures
from tests.e2e.conversations.rules import faults
from tests.e2e.conversations.vendors import DIALECTS, Vendors
from tests.e2e.service import CANARY_KEY, PYTHONPATH, ROOT, Gateway
from tests.e2e.tools import find, node_module

reactor: Any = _reactor
KEY = f'[[auth.keys]]\nname = "tests"\nkey = "{CANARY_KEY}"\n'
HERE = Path(__file__).parent
BLIND = {"AI SDK openai chat", "AI SDK openai-compatible", "llama-index openai-like", "llama-index google-genai"}
"""Ways in which the client itself puts no picture into a tool's result, or only as text."""

Results = dict[tuple[str, str], str]
"""(client and way, the vendor's dialect) → what is wrong, ``""`` for nothing."""


@attrs.define
class Stage:
    """The gateway with default settings, and vendors of all dialects behind it."""

    vendors: Vendors = attrs.field(factory=Vendors)
    gateway: Gateway = attrs.field(factory=Gateway)

    async def start(self) -> Stage:
        await self.vendors.start()
        self.gateway = Gateway(KEY + self.vendors.toml)
        try:
            await self.gateway.start()
        except BaseException:
            await self.vendors.stop()
            raise
        return self

    async def stop(self) -> None:
        await self.gateway.stop()
        await self.vendors.stop()

    def taken(self, vendor: str) -> list[dict[str, Any]]:
        """What the vendor got since this was asked last."""
        bodies = self.vendors.each[vendor].got
        self.vendors.each[vendor].got = []
        return bodies


class Lines(ProcessProtocol):
    """A process whose lines are told as they come."""

    def __init__(self, told: Callable[[str], None]) -> None:
        self._told = told
        self._rest = ""
        self.err = ""
        self.ended: Deferred[int | None] = Deferred()

    def connectionMade(self) -> None:
        self.transport.closeStdin()  # type: ignore[union-attr]

    def outReceived(self, data: bytes) -> None:
        *lines, self._rest = (self._rest + data.decode()).split("\n")
        for line in lines:
            self._told(line)

    def errReceived(self, data: bytes) -> None:
        self.err += data.decode("utf-8", "replace")

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(reason.value.exitCode)


def judge(asker: str, vendor: str, bodies: list[dict[str, Any]], said: tuple[str, ...], seen: bool = True) -> str:
    """What is wrong with what a vendor got in a conversation.

    :param said: words that its last request must have.
    :param seen: whether it must have the picture.
    """
    talk = [body for body in bodies if body.get("tools")]
    if not talk:
        return "the vendor was asked nothing"
    wrong = [fault for body in talk for fault in faults(vendor, body)] if asker != vendor else []
    text = json.dumps(talk[-1])
    wrong += [f"the last request lacks {word!r}" for word in said if word not in text]
    try:
        if seen and not pictures(vendor, talk[-1]):
            wrong.append("the last request lacks the picture")
    except ValueError as error:
        wrong.append(f"a picture in another base64: {error}")
    return "; ".join(dict.fromkeys(wrong))


async def errands(stage: Stage, kind: type[Agent], vendor: str, many: int) -> str:
    """Have an agent do ``many`` errands in one conversation: what is wrong."""
    agent = kind(stage.gateway.url, f"{kind.family}-{vendor}")
    agent.settle()
    for errand in range(1, many + 1):
        said, problem = await agent.ask(errand)
        if problem or said.strip() != f"Done: Errand {errand}.":
            return problem or f"said {said!r}"
    wrong = judge(agent.dialect, vendor, stage.taken(vendor), ("forty-two", "a word from the shell"))
    if many > 1 and agent.note() != "the note says forty-three\n":
        wrong += "; the note was not edited"
    return wrong


async def agents(stage: Stage, *kinds: type[Agent], many: int = 1) -> Results:
    """Each agent with each vendor."""
    pairs = [(kind, vendor) for kind in kinds for vendor in kind.vendors]
    places = DeferredSemaphore(2)

    async def one(kind: type[Agent], vendor: str) -> str:
        async with places:
            return await errands(stage, kind, vendor, many)

    found = await gatherResults([Deferred.fromCoroutine(one(*pair)) for pair in pairs])
    return {(kind.way or kind.name, vendor): wrong for (kind, vendor), wrong in zip(pairs, found, strict=True)}


async def script(stage: Stage, program: str, *arguments: str) -> Results:
    """Have a script of a client hold its conversations with each vendor, in each of its ways."""
    results: Results = {}

    def told(line: str) -> None:  # right at the end of a conversation: what the vendors got is of this one
        way, asker, model, problem = json.loads(line)
        vendor = model.removeprefix("m-")
        bodies = stage.taken(vendor)
        wrong = problem or judge(asker, vendor, bodies, ("one says forty-two", "no such note"), way not in BLIND)
        results[way, vendor] = wrong

    process = Lines(told)
    given = ["timeout", LIMIT, program, *arguments, stage.gateway.url, CANARY_KEY, *(f"m-{name}" for name in DIALECTS)]
    environ = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": PYTHONPATH}
    reactor.spawnProcess(process, find("timeout"), given, env=environ, path=ROOT)
    if code := await process.ended:
        results[arguments[-1], "all"] = f"ended with {code}: {process.err[-3000:]}"
    return results


async def node(stage: Stage, name: str) -> Results:
    modules = node_module("ai").removesuffix("/ai")
    return await script(stage, find("node"), str(HERE / f"{name}.mjs"), modules)


async def python(stage: Stage, name: str, interpreter: str = sys.executable) -> Results:
    return await script(stage, interpreter, "-m", f"tests.e2e.conversations.{name}")


def llama_index() -> str:
    """The interpreter that has it."""
    interpreter = Path(ROOT) / ".venv" / "llama-index" / "bin" / "python"
    if not interpreter.exists():
        raise SkipTest("llama-index is not in .venv/llama-index: make test puts it there")
    return str(interpreter)

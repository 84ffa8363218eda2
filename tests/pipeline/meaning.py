"""The cache by meaning over a vendor, a judge and vectors that are scripts; its thread works at once."""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
import msgspec
import numpy as np
from twisted.internet.defer import Deferred, succeed

from llmedge.cache.semantic.embedder import Vector, unit
from llmedge.cache.semantic.meanings import Meanings
from llmedge.cache.semantic.state import SemanticState
from llmedge.cache.state import CacheState
from llmedge.call import Call
from llmedge.config.sections.cache import Cache as CacheSettings
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.semantic import Semantic
from llmedge.model import Answer, Usage
from llmedge.pipeline.asides import Asides
from llmedge.pipeline.cached import CacheDeps
from llmedge.pipeline.prices import Prices
from llmedge.pipeline.semantic import SemanticCache, SemanticDeps
from llmedge.pipeline.settle import Settle
from llmedge.pipeline.stage import StageDeps, compose
from llmedge.pipeline.tokens import TokenCounter
from llmedge.record import CACHE, CACHE_RULE, Record
from llmedge.state.allowances import Allowances
from llmedge.state.items import ItemMemory
from tests.pipeline.harness import Stream, World, chunk, read
from tests.pipeline.test_prices import at_once

TRANSLATE = str.maketrans("", "", "?!.,")


def bag(text: str) -> Vector:
    """Texts of the same words are alike. No model is needed for it."""
    vector = np.zeros(512, np.float32)
    for word in text.casefold().translate(TRANSLATE).split():
        vector[sum(ord(each) * 31**place for place, each in enumerate(word)) % 512] += 1.0
    return unit(vector + 0.15)  # some likeness for all


@attrs.define
class Aside:
    """Work of the thread, done at once, or refused."""

    full: bool = False
    done: int = 0

    def __call__(self, work: Any, *args: Any) -> Any:
        if self.full:
            return None
        self.done += 1
        return succeed(work(*args))


class Meaning:
    """One model ``m`` that says what ``answer`` does of a question; a model ``judge`` that says what ``judging`` does
    of what it is asked; ``embed`` makes vectors."""

    def __init__(
        self,
        answer: Callable[[str], Any],
        judging: Callable[[str], Any] = lambda asked: "yes",
        chance: float = 1.0,
        embed: Callable[[str], list[float]] | None = None,
        cache: dict[str, Any] | None = None,
        **settings: Any,
    ) -> None:
        settings.setdefault("threshold", 0.5)
        self.answer, self.judging, self.embed = answer, judging, embed
        self.judged: list[str] = []
        self.embedded: list[str] = []
        models = {"judge": Model((TargetEntry("p1/j"),)), "vectors": Model((TargetEntry("p2/v"),))}
        entries = (TargetEntry("p0/x"),)
        self.world = world = World(
            (self._say,), (self._judge,), (self._embed,), models=models, entries=entries, settings={"retries": 0}
        )
        self.settings = Semantic(**settings)
        self.aside = Aside()
        self.state = SemanticState(self.settings, self.aside)
        self.state._meanings = Meanings(
            None if self.settings.embeddings else lambda: bag,
            self.settings.max_entries,
            self.settings.max_bytes,
            self.settings.threshold,
        )
        prices = Prices({}, {}, world.clock, at_once)
        self.asides: list[Record] = []
        parts = StageDeps(
            world.index, prices, TokenCounter(at_once), ItemMemory(world.clock), Allowances(world.clock), _known
        )
        handlers = compose([Settle(parts)], world.route)
        random = Random(1)
        random.random = lambda: chance  # type: ignore[method-assign]
        self.cache = CacheState(world.clock, 1 << 24)
        self.made = Asides(world.clock, world.index, handlers, [self.asides.append])
        deps = SemanticDeps(self.settings, self.state, self.made)
        policy = CacheSettings(enabled=True, semantic=self.settings, **cache or {})
        cached = CacheDeps(policy, self.cache, {}, {}, [], random, deps)
        parts = attrs.evolve(parts, cache=cached)
        self.handlers = compose([Settle(parts), SemanticCache(parts)], world.route)

    async def _handle(self, call: Call) -> Any:
        return await self.handlers[call.operation](call)

    def begin(self, *said: str, **more: Any) -> Deferred[Any]:
        """Ask for an answer to the last of ``said``, before which the user and the model have said the others."""
        roles = ["user", "assistant"] * len(said)
        messages = [{"role": role, "content": each} for role, each in zip(roles[: len(said)], said, strict=True)]
        messages = more.pop("messages", messages)
        fields = {"model": "m", "messages": messages, **more.pop("fields", {})}
        raw = {name: msgspec.Raw(json.dumps(value).encode()) for name, value in fields.items()}
        call = self.world.call(fields=raw, **more)
        call.record.message_count = len(messages)
        return Deferred.fromCoroutine(self._handle(call))

    def ask(self, *said: str, **more: Any) -> str:
        """What is answered."""
        asking = self.begin(*said, **more)
        reply = _result(asking)
        if more.get("stream"):
            return str(_result(Deferred.fromCoroutine(read(reply))))
        return str(json.loads(reply.body)["choices"][0]["message"]["content"])

    @property
    def how(self) -> str:
        """What the cache did last."""
        facts = self.world.record.facts
        return str(facts[CACHE]) + (f" {facts[CACHE_RULE]}" if CACHE_RULE in facts else "")

    @property
    def asked(self) -> int:
        """How often the vendor was."""
        return len(self.world.vendors[0].calls)

    def standing(self) -> tuple[int, int]:
        """Answers that would have done, and that would not."""
        return self.state.right, self.state.wrong

    def _say(self, call: Call) -> Any:
        said = self.answer(_last(call))
        if isinstance(said, str) and call.stream:
            from tests.pipeline.harness import END

            return Stream(self.world.clock, [chunk(said)], END)
        return whole(said) if isinstance(said, str) else said

    def _judge(self, call: Call) -> Any:
        self.judged.append(_last(call))
        said = self.judging(self.judged[-1])
        return whole(said) if isinstance(said, str) else said

    def _embed(self, call: Call) -> Any:
        assert self.embed is not None
        text = json.loads(bytes(call.fields["input"]))[0]
        self.embedded.append(text)
        values = self.embed(text)
        return Answer(json.dumps({"data": [{"embedding": values}]}).encode(), Usage(3))


def whole(text: str, finish: str = "stop") -> Answer:
    """A whole answer."""
    message = {"role": "assistant", "content": text}
    body = {"id": "chatcmpl-12345678", "created": 1, "model": "up", "object": "chat.completion"}
    body |= {"choices": [{"index": 0, "finish_reason": finish, "message": message}]}
    return Answer(json.dumps(body).encode(), Usage(10, 5))


def _last(call: Call) -> str:
    return str(json.loads(bytes(call.fields["messages"]))[-1]["content"])


def _result(asking: Deferred[Any]) -> Any:
    found: list[Any] = []
    asking.addBoth(found.append)
    assert found, "there is no answer yet"
    if hasattr(found[0], "raiseException"):
        found[0].raiseException()
    return found[0]


async def _known(funds: Any, patience: float) -> None:
    """Nothing was spent."""

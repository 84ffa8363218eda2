"""Whatever a dialect can say comes back as it was said: requests, answers, streams; one test for all dialects."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.rendering import RenderContext
from tests.dialects import strategies
from tests.dialects.fitted import fitted
from tests.dialects.matrix.cases import MODELS
from tests.effort import examples

ASKERS = ("openai_chat", "openai_responses", "anthropic", "gemini")
MODERATE = settings(max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def placeless(request: ir.Request) -> ir.Request:
    """Without the messages' paths, which belong to the body. A picture's type, too, may be what its URL says."""

    def known(part: Any) -> Any:
        if isinstance(part, ir.Image) and part.source.kind == "url":
            return ir.Image(ir.Source("url", part.source.data), part.detail, part.cache)
        return part

    messages = tuple(ir.Message(each.role, tuple(map(known, each.parts)), each.name) for each in request.messages)
    return msgspec.structs.replace(request, messages=messages)


class RoundTrips(SynchronousTestCase):
    def requests(self, name: str) -> None:
        dialect: Any = DIALECTS[name]

        @MODERATE
        @given(strategies.requests(name), st.booleans())
        def check(request: ir.Request, stream: bool) -> None:
            request = fitted(dialect, request)
            body = dialect.render(request, MODELS[name], RenderContext({}, "refuse"), stream=stream)
            again = dialect.parse(dialect.parse_request(body, model="m", stream=stream).fields)
            self.assertEqual(placeless(again), placeless(request))

        check()

    def answers(self, name: str) -> None:
        dialect: Any = DIALECTS[name]

        @MODERATE
        @given(strategies.answers(name))
        def check(answer: ir.Answer) -> None:
            body = dialect.render_answer(answer, ResponseContext("m", "i", 5))
            self.assertEqual(dialect.parse_answer(body), answer)
            self.assertEqual(dialect.read_answer(body), answer.usage)

        check()

    def streams(self, name: str) -> None:
        dialect: Any = DIALECTS[name]

        @settings(MODERATE, max_examples=examples(20))
        @given(strategies.streams(name), st.lists(st.integers(0, 3000), max_size=9))
        def check(events: list[ir.StreamEvent], cuts: list[int]) -> None:
            encoder = dialect.encoder(ResponseContext("m", "i", 5, wants_usage=True))
            frames = encoder.encode(events[:3]) + encoder.encode(events[3:])
            data = b"".join(each.frame for each in frames)
            for places in (sorted(cuts), range(1, len(data))):
                again: list[ir.StreamEvent] = []
                decoder = dialect.decoder(choices=1, max_event=100_000)
                for start, end in zip([0, *places], [*places, len(data)], strict=True):
                    again += decoder.feed(data[start:end])
                if not decoder.done:
                    again += decoder.end()
                # Where the usage comes is the dialect's; the last one stands.
                counted = [each for each in again if isinstance(each, ir.Counted)]
                self.assertEqual(counted[-1], events[-2])
                self.assertEqual([each for each in again if not isinstance(each, ir.Counted)], uncounted(events))

        check()

    def test_requests(self) -> None:
        for name in MODELS:
            self.requests(name)

    def test_answers(self) -> None:
        for name in MODELS:
            self.answers(name)

    def test_streams(self) -> None:
        """Wherever the bytes are cut, and at every byte."""
        for name in ASKERS:
            self.streams(name)


def uncounted(events: list[ir.StreamEvent]) -> list[ir.StreamEvent]:
    return [each for each in events if not isinstance(each, ir.Counted)]

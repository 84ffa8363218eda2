import importlib.util
import json
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from llmedge.call import Call
from llmedge.model import Caller, Deadline, Usage
from llmedge.operations import Operation
from llmedge.pipeline import tokens
from llmedge.pipeline.tokens import TokenCounter, rough, text_in, texts
from llmedge.record import Record
from tests.pipeline.test_prices import at_once


def fields(**values: Any) -> Any:
    return {name: msgspec.Raw(json.dumps(value).encode()) for name, value in values.items()}


def call(**values: Any) -> Call:
    """A chat with these fields; where it has a ``prompt``, a completion."""
    text = "prompt" in values
    return Call(
        Operation.TEXT if text else Operation.CHAT,
        "openai_text" if text else "openai_chat",
        "m",
        fields(**values),
        False,
        False,
        1,
        Caller("c"),
        Deadline(Clock(), 30),
        Record("id", "POST", "/", "peer", 0.0),
    )


def run(coroutine: Any) -> Any:
    try:
        coroutine.send(None)
    except StopIteration as stop:
        return stop.value
    raise AssertionError("it waits")


QUESTION = [
    {"role": "system", "content": "Be brief."},
    {
        "role": "user",
        "content": [{"type": "text", "text": "What is it?"}, {"type": "image_url", "image_url": {"url": "x" * 9000}}],
    },
]


class Texts(SynchronousTestCase):
    def test_what_is_said(self) -> None:
        """Texts by their fields' names, in order; an image, an id or a role is none."""
        self.assertEqual(texts(QUESTION, said=True), ["Be brief.", "What is it?"])
        call = {"tool_calls": [{"id": "call_1", "function": {"name": "look", "arguments": '{"q":1}'}}]}
        self.assertEqual(texts({"choices": [{"message": {"content": "Yes.", **call}}]}), ["Yes.", '{"q":1}'])
        self.assertEqual(texts({"candidates": [{"content": {"parts": [{"text": "a"}], "role": "model"}}]}), ["a"])
        self.assertEqual(texts([{"type": "tool_use", "id": "t", "input": {"a": 1}}]), ['{"a":1}'])
        self.assertEqual(texts(["one", "two"], said=True), ["one", "two"])

    def test_in_frames(self) -> None:
        """What each adds; the framing is none of it, and neither is what says again what was said."""
        for frame, expected in (
            (
                b'data: {"choices":[{"delta":{"content":"abc"}}]}\n\ndata: {"choices":[{"delta":{"content":"d"}}]}\n\n',
                "abcd",
            ),
            (b'event: content_block_delta\ndata: {"delta":{"text":"1234"}}\n\n', "1234"),
            (b'data: {"type":"response.output_text.delta","delta":"1234"}\n\n', "1234"),
            (b'data: {"type":"response.output_text.done","text":"1234"}\n\n', ""),
            (b'data: {"type":"response.content_part.done","part":{"text":"1234"}}\n\n', ""),
            (b": x\n\n", ""),
            (b"data: [DONE]\n\n", ""),
            (b"data: {broken\n\n", ""),
        ):
            self.assertEqual(text_in(frame), expected, frame)

    def test_deep(self) -> None:
        document: Any = "x"
        for _ in range(5000):
            document = {"content": [document]}
        self.assertEqual(texts(document), ["x"])


class Estimates(SynchronousTestCase):
    def setUp(self) -> None:
        self.counter = TokenCounter(at_once)

    def without_library(self) -> None:
        self.patch(tokens, "_load_tokenizer", lambda name: None)

    def test_counted(self) -> None:
        """The tokenizer's counts: o200k for today's models, cl100k for the older ones."""
        if importlib.util.find_spec("bpe_openai") is None:
            raise SkipTest("bpe-openai is not installed")
        for text, model, expected in (
            ("hello world", "gpt-4o", 2),  # tiktoken's README
            (b"tiktoken is great!", "gpt-4", 6),  # OpenAI's cookbook: 83 1609 5963 374 2294 0
            ("", "x", 0),
            ("您好", "gpt-4o", 1),
            ("您好", "gpt-3.5-turbo", 2),
        ):
            self.assertEqual(run(self.counter.count([text], model)), expected, text)
        usage = run(self.counter.estimate(call(messages=QUESTION), b'{"choices":[{"text":"hello world"}]}', "m"))
        self.assertEqual(usage, Usage(3 + 4 + 11, 2, estimated=True))

    def test_without_the_library(self) -> None:
        """Four bytes a token, still marked."""
        self.without_library()
        usage = run(self.counter.estimate(call(prompt="12345678"), b'{"choices":[{"text":"12345"}]}', "m"))
        self.assertEqual(usage, Usage(2, 2, estimated=True))

    def test_a_stream(self) -> None:
        """Its text is given, or the first of it: what was not kept is added."""
        self.without_library()
        usage = run(self.counter.estimate(call(), "x" * 12, "m", 2.0))
        self.assertEqual(usage, Usage(0, 6, estimated=True))

    def test_what_is_not_json(self) -> None:
        self.without_library()
        broken = call().changed(fields={"messages": msgspec.Raw(b'["a')})
        for body in (b"\xff{", b"[" * 100000):
            self.assertEqual(run(self.counter.estimate(broken, body, "m")).output, 0)

    def test_rough(self) -> None:
        """At once, from lengths; an image in base64 is left out."""
        self.assertEqual(rough(call(prompt="x" * 38), 9), Usage(10, 3, estimated=True))
        image = {"role": "user", "content": [{"image_url": {"url": "data:image/png;base64," + "aB3/" * 250000}}]}
        self.assertLess(rough(call(messages=[image]), 0).input, 3000)
        for text in ("word " * 20000, "漢字" * 20000):
            raw = json.dumps(text, ensure_ascii=False).encode()
            said = call(prompt=text, metadata=text)  # only what is said is counted
            said.fields = {"prompt": msgspec.Raw(raw), "metadata": msgspec.Raw(raw)}
            self.assertEqual(rough(said, 0).input, -(-len(raw) // 4))

"""Whatever can be said is understood again, and AWS's own client finds nothing wrong."""

from __future__ import annotations

import base64
import functools
import itertools
import json
from typing import Any

from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.endings import with_calls
from llmedge.dialects.rendering import RenderContext
from llmedge.model import Usage
from tests.dialects.bedrock.cases import CLAUDE, COUNTED, DIALECT, EVENTS, REQUEST, USAGE
from tests.dialects.fitted import fitted, thinkable
from tests.dialects.strategies import billed
from tests.effort import examples

try:
    from botocore.eventstream import EventStreamBuffer  # type: ignore[import-not-found]
    from botocore.loaders import Loader  # type: ignore[import-not-found]
    from botocore.model import ServiceModel  # type: ignore[import-not-found]
    from botocore.parsers import create_parser  # type: ignore[import-not-found]
    from botocore.validate import ParamValidator  # type: ignore[import-not-found]
except ImportError:
    EventStreamBuffer = None

texts = st.text(st.characters(exclude_categories=("Cs",)), min_size=1, max_size=20)
words = st.text("abcXYZ019", min_size=1, max_size=12)
caches = st.sampled_from(["", "5m", "1h"])
data = st.binary(min_size=1, max_size=12).map(lambda raw: base64.b64encode(raw).decode())
json_objects = st.dictionaries(words, st.none() | st.integers(-9, 9) | texts, max_size=3).map(json.dumps)
citations = st.one_of(
    st.builds(ir.Citation, st.just("url"), url=words, title=st.just("") | texts, quote=st.just("") | texts),
    st.builds(
        ir.Citation,
        st.sampled_from(["char", "page", "block"]),
        title=texts,
        quote=texts,
        document=st.integers(0, 5),
        start=st.integers(0, 9),
        end=st.integers(10, 20),
    ),
)
plain_texts = st.builds(ir.Text, texts, cache=caches)
cited_texts = st.builds(ir.Text, texts, st.lists(citations, max_size=2).map(tuple), caches)
image_sources = st.builds(
    ir.Source, st.just("base64"), data, st.sampled_from(["image/png", "image/jpeg", "image/gif", "image/webp"])
) | st.builds(ir.Source, st.just("url"), words.map("s3://{}".format), st.just("image/png"))
images = st.builds(ir.Image, image_sources, cache=caches)
file_sources = st.builds(
    ir.Source, st.just("base64"), data, st.sampled_from(["application/pdf", "text/csv", "text/markdown"])
) | st.builds(ir.Source, st.just("text"), texts, st.sampled_from(["", "text/plain"]))
files = st.builds(ir.File, file_sources, words, st.just("") | texts, st.booleans(), caches)
audios = st.builds(
    ir.Audio, st.builds(ir.Source, st.just("base64"), data, st.sampled_from(["audio/mpeg", "audio/wav"]))
)
calls = st.builds(ir.ToolCall, words, words, json_objects, cache=caches)
thoughts = st.builds(ir.Thinking, texts, words) | st.builds(ir.Thinking, st.just(""), data, st.just(True))
results = st.builds(
    ir.ToolResult,
    words,
    st.lists(
        st.builds(ir.Text, texts) | st.builds(ir.Image, image_sources) | st.builds(ir.File, file_sources, words),
        min_size=1,
        max_size=3,
    ).map(tuple),
    error=st.booleans(),
    cache=caches,
)


def parts(*kinds: st.SearchStrategy[Any]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=4).map(tuple)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[ir.Message, ...]:
    messages = []
    if draw(st.booleans()):
        messages.append(ir.Message("system", draw(parts(plain_texts)), at="system"))
    for index in range(draw(st.integers(1, 3))):
        at = f"messages[{index}]"
        if index % 2:
            messages.append(ir.Message("assistant", draw(parts(cited_texts, calls, thoughts)), at=at))
            continue
        if index:
            messages.append(ir.Message("tool", draw(parts(results)), at=at))
        if not index or draw(st.booleans()):
            messages.append(ir.Message("user", draw(parts(plain_texts, images, files, audios)), at=at))
    return tuple(messages)


tools = st.builds(
    ir.Tool, words, st.just("") | texts, json_objects.map(str.encode), st.sampled_from([None, True]), caches
)
shows = st.sampled_from([None, True, False])
reasonings = st.one_of(
    st.builds(ir.Reasoning, effort=st.sampled_from(["low", "high", "max"]), show=shows),
    st.builds(ir.Reasoning, st.just(True), show=shows),
    st.builds(ir.Reasoning, st.just(True), st.sampled_from(["", "low"]), st.integers(1024, 9999), shows),
    st.just(ir.Reasoning(False)),
)  # fmt: skip


def placeless(request: ir.Request) -> ir.Request:
    """Without the messages' paths: what is put between them has one of theirs."""
    return ir.replace(request, messages=tuple(ir.replace(each, at="") for each in request.messages))


def possible(request: ir.Request) -> ir.Request:
    """While it thinks, Claude takes no sampling, and need not call a tool."""
    if request.reasoning is None or request.reasoning == ir.Reasoning(False):
        return request
    choice = ir.ToolChoice("auto") if request.tool_choice else None
    return ir.replace(request, temperature=None, top_p=None, top_k=None, max_tokens=None, tool_choice=choice)


@st.composite
def requests(draw: st.DrawFn) -> ir.Request:
    offered = draw(st.lists(tools, max_size=2).map(tuple))
    choices = [None, ir.ToolChoice("auto"), ir.ToolChoice("required"), ir.ToolChoice("named", ("f",))]
    return ir.Request(
        draw(conversations()),
        offered,
        draw(st.sampled_from(choices)) if offered else None,
        output=draw(
            st.none() | st.builds(ir.Output, st.just("json_schema"), json_objects.map(str.encode), st.just("") | words)
        ),
        reasoning=draw(st.none() | reasonings),
        max_tokens=draw(st.none() | st.integers(1, 9999)),
        temperature=draw(st.none() | st.floats(0, 1)),
        top_p=draw(st.none() | st.floats(0, 0.99)),
        top_k=draw(st.none() | st.integers(1, 100)),
        stop=draw(st.lists(texts, max_size=2).map(tuple)),
        metadata=tuple(draw(st.dictionaries(words, texts, max_size=2)).items()),
        service_tier=draw(st.sampled_from(["", "flex", "priority"])),
    )


@functools.cache
def service() -> Any:
    """AWS's own description of the API."""
    return ServiceModel(Loader().load_service_model("bedrock-runtime", "service-2"))


def faults(body: bytes) -> str:
    """What AWS's own client finds wrong with a request."""
    if EventStreamBuffer is None:
        return ""
    shape = service().operation_model("ConverseStream").input_shape
    report: str = ParamValidator().validate(json.loads(body) | {"modelId": CLAUDE}, shape).generate_report()
    return report


def distinct_documents(request: ir.Request) -> bool:
    found = [
        part.name
        for message in request.messages
        for outer in message.parts
        for part in (outer.content if isinstance(outer, ir.ToolResult) else (outer,))
        if isinstance(part, ir.File)
    ]
    return len(found) == len(set(found))


usages = st.builds(
    lambda rest, output, cached, five, hour: Usage(rest + cached + five + hour, output, cached, 0, five + hour, hour),
    *[st.integers(0, 1000)] * 5,
)


def ended(reason: ir.FinishReason, said: tuple[ir.Part, ...]) -> ir.FinishReason:
    """A reason that goes with what is said."""
    return with_calls(reason, any(isinstance(part, ir.ToolCall) for part in said))


answers = st.builds(
    lambda said, finish, stopped, usage, tier: ir.Answer(
        (ir.Choice(said, ended(finish, said), stop_sequence=stopped),),
        usage=usage,
        service_tier=tier,
    ),
    parts(st.builds(ir.Text, texts, st.lists(citations, max_size=2).map(tuple)), thoughts)
    | parts(st.builds(ir.ToolCall, words, words, json_objects), st.builds(ir.Image, image_sources)),
    st.sampled_from(["stop", "stop_sequence", "length", "tool", "filter", "context"]),
    st.just("") | texts,
    st.none() | usages,
    st.sampled_from(["", "flex"]),
).map(billed)


class RoundTrips(SynchronousTestCase):
    @settings(max_examples=examples(200), deadline=None)
    @given(requests().filter(distinct_documents).map(possible))
    def test_requests(self, request: ir.Request) -> None:
        """What the dialect can say is read back as it was said."""
        request = thinkable(fitted(DIALECT, request))
        assume(all(one.role != next.role for one, next in itertools.pairwise(request.messages)))  # who is heard as one
        body = DIALECT.render(request, CLAUDE, RenderContext({}, "refuse"), stream=False)
        self.assertEqual(placeless(DIALECT.parse(DIALECT.parse_request(body).fields)), placeless(request))
        self.assertEqual(faults(body), "")

    def test_as_aws_has_it(self) -> None:
        """AWS's client finds nothing wrong with what we say, and understands our answers and streams in full."""
        if EventStreamBuffer is None:
            self.skipTest("botocore is not installed")
        self.assertEqual(faults(json.dumps(REQUEST).encode()), "")
        self.assertIn("Unknown parameter", faults(b'{"messages":[{"role":"user","content":[{"txt":"x"}]}]}'))
        parser = create_parser("rest-json")
        shape = service().operation_model("Converse").output_shape
        said = ir.Answer(
            (
                ir.Choice(
                    (ir.Thinking("hm", "s"), ir.Text("Hi"), ir.ToolCall("t", "f", '{"a":1}')),
                    "stop_sequence",
                    stop_sequence="END",
                ),
            ),
            usage=COUNTED,
        )
        theirs = parser.parse(
            {"body": DIALECT.render_answer(said, ResponseContext("m")), "headers": {}, "status_code": 200}, shape
        )
        del theirs["ResponseMetadata"]
        content = [
            {"reasoningContent": {"reasoningText": {"text": "hm", "signature": "s"}}},
            {"text": "Hi"},
            {"toolUse": {"toolUseId": "t", "name": "f", "input": {"a": 1}}},
        ]
        self.assertEqual(
            theirs,
            {
                "output": {"message": {"role": "assistant", "content": content}},
                "stopReason": "stop_sequence",
                "additionalModelResponseFields": {"stop_sequence": "END"},
                "metrics": {"latencyMs": 0},
                "usage": USAGE,
            },
        )
        events = service().operation_model("ConverseStream").output_shape.members["stream"]
        for event in DIALECT.encoder(ResponseContext("m")).encode(EVENTS):
            buffer = EventStreamBuffer()
            buffer.add_data(event.frame)
            for message in buffer:
                payload = json.loads(message.payload)
                found = parser._event_stream_parser.parse(message.to_response_dict(), events)
                (name,) = found
                self.assertEqual(message.headers[":event-type"], name)
                self.assertEqual(set(found[name]), set(payload), "a field AWS's client does not know")

    @settings(max_examples=examples(200), deadline=None)
    @given(answers)
    def test_answers(self, said: ir.Answer) -> None:
        """What can be said is read back as it was said."""
        self.assertEqual(DIALECT.parse_answer(DIALECT.render_answer(said, ResponseContext("m"))), said)

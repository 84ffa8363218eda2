"""Whatever can be said is understood again."""

import json
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types.responses import Response
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.ir import Begin, Citation, Close, Counted, Delta, End, Finish, Open, Sign, Text, Thinking
from llmedge.model import Usage
from tests.dialects.fitted import fitted
from tests.dialects.openai_responses.cases import DIALECT, decoded, encoded, packed, raw, rendered
from tests.dialects.strategies import billed
from tests.effort import examples

words = st.text(st.characters(codec="utf-8"), min_size=1, max_size=8)
maybe = st.one_of(st.just(""), words)
ints = st.integers(0, 1000)
floats = st.floats(0, 2, allow_nan=False)
base64s = st.builds(ir.Source, st.just("base64"), st.just("QUJD"), st.sampled_from(["image/png", "application/pdf"]))
sources = st.one_of(
    base64s,
    st.builds(ir.Source, st.just("url"), words.map(lambda name: f"https://{name}")),
    st.builds(ir.Source, st.just("file"), words),
)
citations = st.one_of(
    st.builds(Citation, st.just("url"), url=words, title=maybe, text_start=ints, text_end=ints),
    st.builds(Citation, st.just("file"), file=words, title=maybe, text_start=ints),
)
plain_texts = st.builds(Text, words)
texts = st.builds(Text, words, st.lists(citations, max_size=2).map(tuple))
images = st.builds(ir.Image, sources, st.sampled_from(["", "low", "high"]))
files = st.builds(ir.File, sources, maybe)
audios = st.builds(ir.Audio, st.just(ir.Source("base64", "QUJD", "audio/wav")))
calls = st.builds(ir.ToolCall, words, words, st.just('{"a": 1}'))
thoughts = st.one_of(
    st.builds(Thinking, words, maybe, id=words),
    st.builds(Thinking, st.just(""), words, st.just(True), words),
)
refusals = st.builds(ir.Refusal, words)
results = st.builds(ir.ToolResult, words, st.lists(st.one_of(plain_texts, images, files), max_size=3).map(tuple))


def parts_of(*kinds: Any) -> Any:
    return st.lists(st.one_of(*kinds), min_size=1, max_size=4).map(tuple)


messages = st.one_of(
    st.builds(
        ir.Message, st.sampled_from(["user", "system", "developer"]), parts_of(plain_texts, images, files, audios)
    ),
    st.builds(ir.Message, st.just("assistant"), parts_of(texts, calls, thoughts, refusals)),
    st.builds(ir.Message, st.just("tool"), parts_of(results)),
)


def placed(history: list[ir.Message]) -> tuple[ir.Message, ...]:
    """With the paths they have in a request, and as the form has it: nothing said twice in a row by the assistant."""
    out: list[ir.Message] = []
    index = 0
    for each in history:
        if out and each.role == out[-1].role and each.role in ("assistant", "tool"):
            continue
        out.append(msgspec.structs.replace(each, at=f"input[{index}]"))
        kinds = ["said" if isinstance(part, Text | ir.Refusal) else "" for part in each.parts]
        if each.role == "assistant":
            index += sum(not kind or number == 0 or not kinds[number - 1] for number, kind in enumerate(kinds))
        else:
            index += len(kinds) if each.role == "tool" else 1
    return tuple(out)


histories = st.one_of(
    words.map(lambda text: (ir.Message("user", (Text(text),), at="input"),)),
    st.tuples(
        maybe.map(lambda text: (ir.Message("system", (Text(text),), at="instructions"),) if text else ()),
        st.lists(messages, min_size=1, max_size=5).map(placed),
    ).map(lambda both: both[0] + both[1]),
)
strict = st.sampled_from([None, True])
schemas = st.sampled_from([b"", b'{"type": "object"}'])
requests = st.builds(
    ir.Request,
    messages=histories,
    tools=st.lists(st.builds(ir.Tool, words, maybe, schemas, strict), max_size=2).map(tuple),
    tool_choice=st.one_of(
        st.none(),
        st.builds(ir.ToolChoice, st.sampled_from(["auto", "none", "required"])),
        st.builds(ir.ToolChoice, st.just("named"), words.map(lambda name: (name,))),
        st.builds(ir.ToolChoice, st.sampled_from(["auto", "required"]), st.lists(words, min_size=1).map(tuple)),
    ),
    parallel_tools=st.sampled_from([None, False]),
    output=st.one_of(
        st.none(),
        st.just(ir.Output("json")),
        st.builds(ir.Output, st.just("json_schema"), schemas, words, maybe, strict),
    ),
    reasoning=st.one_of(
        st.none(),
        st.builds(ir.Reasoning, effort=words, show=strict),
        st.just(ir.Reasoning(show=True)),
    ),
    max_tokens=st.one_of(st.none(), ints),
    temperature=st.one_of(st.none(), floats),
    top_p=st.one_of(st.none(), st.floats(0, 0.99)),
    logprobs=st.just(True),
    top_logprobs=st.sampled_from([None, 5]),
    user=maybe,
    metadata=st.dictionaries(words, words, max_size=2).map(lambda table: tuple(table.items())),
    service_tier=st.sampled_from(["", "flex"]),
    store=st.sampled_from([None, True]),
    verbosity=st.sampled_from(["", "low"]),
)
tokens = st.lists(
    st.builds(ir.TokenLogprob, words, floats, st.just((1, 2)), st.just((ir.TokenLogprob("x", -1.5, (120,)),))),
    min_size=1,
    max_size=2,
).map(tuple)
counts = st.builds(Usage, input=ints, output=ints, cached=ints, cache_write=ints, reasoning=ints)


@st.composite
def answers(draw: Any) -> ir.Answer:
    parts = draw(st.lists(st.one_of(texts, calls, thoughts, refusals), max_size=5).map(tuple))
    kinds = {type(part) for part in parts}
    whole = "tool" if ir.ToolCall in kinds else "refusal" if ir.Refusal in kinds else "stop"
    finish = draw(st.sampled_from([whole, "length", "filter"]))
    logprobs = draw(st.one_of(st.none(), tokens)) if Text in kinds else None
    choice = ir.Choice(parts, finish, logprobs=logprobs)
    usage = draw(st.one_of(st.none(), counts))
    return billed(ir.Answer((choice,), draw(words), draw(words), draw(st.integers(1, 2**31)), usage, "flex"))


@st.composite
def streams(draw: Any) -> list[ir.StreamEvent]:
    """Blocks one after the other, but for calls of tools, which mix."""
    events: list[ir.StreamEvent] = [Begin(draw(words), draw(words), draw(st.integers(1, 2**31)), "default")]
    kinds = draw(st.lists(st.sampled_from(["text", "thinking", "redacted", "refusal", "tools"]), max_size=4))
    number, finish = 0, "stop"
    for kind in kinds:
        if kind == "tools":
            several = range(number, number + draw(st.integers(1, 3)))
            events += [Open(each, "tool", 0, f"call_{each}", draw(words)) for each in several]
            events += [Delta(each, draw(words)) for each in draw(st.permutations([*several, *several]))]
            events += [Close(each) for each in draw(st.permutations(list(several)))]
            number += len(several)
            finish = "tool"
            continue
        if kind == "redacted":
            events += [Open(number, "thinking", signature=draw(words), redacted=True), Close(number)]
        else:
            events.append(Open(number, kind))
            events += [Delta(number, text) for text in draw(st.lists(words, min_size=1, max_size=3))]
            if kind == "thinking" and draw(st.booleans()):
                events.append(Sign(number, draw(words)))
            if kind == "text":
                events += [ir.Cite(number, cite) for cite in draw(st.lists(citations, max_size=2))]
            events.append(Close(number))
        finish = "refusal" if kind == "refusal" and finish == "stop" else finish
        number += 1
    events.append(Finish(draw(st.sampled_from([finish, "length", "filter"]))))
    if draw(st.booleans()):
        events.append(Counted(draw(counts)))
    return [*events, End()]


class RoundTrips(SynchronousTestCase):
    @settings(max_examples=examples(150), deadline=None)
    @given(requests)
    def test_requests(self, request: ir.Request) -> None:
        """What can be said is understood."""
        request = fitted(DIALECT, request)
        said, _ = rendered(request)
        self.assertEqual(placeless(DIALECT.parse(raw(packed(said)))), placeless(schemas_of(request)))

    @settings(max_examples=examples(150), deadline=None)
    @given(answers())
    def test_answers(self, answer: ir.Answer) -> None:
        """A client that is a gateway gets what we were given."""
        body = DIALECT.render_answer(answer, ResponseContext("m"))
        self.assertEqual(DIALECT.parse_answer(body), answer)
        Response.model_validate_json(body)

    @settings(max_examples=examples(150), deadline=None)
    @given(streams(), st.integers(1, 200))
    def test_streams(self, events: list[ir.StreamEvent], size: int) -> None:
        """Event by event, wherever the bytes are split; and its last event is the whole answer."""
        stream = encoded(events)
        self.assertEqual(decoded(stream, size), events)
        said = [json.loads(frame.split(b"\ndata: ")[1]) for frame in stream.split(b"\n\n")[:-1]]
        self.assertEqual([event["sequence_number"] for event in said], list(range(len(said))))
        added = [event["output_index"] for event in said if event["type"] == "response.output_item.added"]
        self.assertEqual(added, list(range(len(said[-1]["response"]["output"]))))


def placeless(request: ir.Request) -> ir.Request:
    """Without the messages' paths: what is put between them has one of theirs."""
    return msgspec.structs.replace(
        request, messages=tuple(msgspec.structs.replace(each, at="") for each in request.messages)
    )


def schemas_of(request: ir.Request) -> ir.Request:
    """Schemas as the test's own JSON encoder writes them."""

    def again(schema: bytes) -> bytes:
        return packed(json.loads(schema)) if schema else b""

    output = request.output
    return msgspec.structs.replace(
        request,
        tools=tuple(msgspec.structs.replace(tool, schema=again(tool.schema)) for tool in request.tools),
        output=None if output is None else msgspec.structs.replace(output, schema=again(output.schema)),
    )

"""Whatever can be said is understood again."""

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.endings import with_calls
from llmedge.dialects.rendering import RenderContext
from llmedge.model import Usage
from tests.dialects.anthropic.streams import ASKED, CLAUDE, decode, documents, encode, joined, read
from tests.dialects.fitted import fitted, thinkable
from tests.dialects.strategies import billed
from tests.effort import examples

words = st.text(max_size=8)
some = st.text(min_size=1, max_size=8)
counts = st.integers(0, 100)
marks = st.sampled_from(["", "5m", "1h"])
ranges = st.builds(
    ir.Citation,
    st.sampled_from(["char", "page", "block"]),
    title=words,
    quote=words,
    document=counts,
    start=counts,
    end=counts,
)
webs = st.builds(ir.Citation, st.just("url"), url=words, title=words, quote=words, opaque=some)
results = st.builds(
    ir.Citation, st.just("block"), url=some, title=words, quote=words, document=counts, start=counts, end=counts
)
texts = st.builds(ir.Text, some, cache=marks)
cited = st.builds(ir.Text, some, st.lists(ranges | webs | results, max_size=2).map(tuple), marks)
urls = st.builds(ir.Source, st.just("url"), words.map("https://".__add__))
files = st.builds(ir.Source, st.just("file"), some)
pictures = st.builds(ir.Source, st.just("base64"), words, st.sampled_from(["image/png", "image/webp"]))
papers = st.just(ir.Source("base64", "JVBE", "application/pdf")) | st.builds(
    ir.Source, st.just("text"), words, st.just("text/plain")
)
images = st.builds(ir.Image, urls | files | pictures, cache=marks)
papers_said = st.builds(ir.File, urls | files | papers, words, words, st.booleans(), marks)
objects = st.dictionaries(words, st.none() | st.integers() | words, max_size=3)
arguments = st.builds(json.dumps, objects, indent=st.sampled_from([None, 1]), ensure_ascii=st.booleans())
ids = st.from_regex(r"[a-zA-Z0-9_-]{1,8}", fullmatch=True)
calls = st.builds(ir.ToolCall, ids, some, arguments, cache=marks)
thoughts = st.builds(ir.Thinking, words, some) | st.builds(ir.Thinking, st.just(""), some, st.just(True))
contents = st.lists(texts | images | papers_said, max_size=2).map(tuple)
answers_of_tools = st.builds(ir.ToolResult, ids, contents, error=st.booleans(), cache=marks).filter(
    lambda result: result.content or not result.error  # which says so
)


def message(role: ir.Role, part: Any, least: int = 1) -> st.SearchStrategy[ir.Message]:
    return st.builds(ir.Message, st.just(role), st.lists(part, min_size=least, max_size=3).map(tuple))


said_by_user = message("user", texts | images | papers_said)
said_by_model = message("assistant", cited | calls | thoughts)
turns = st.one_of(
    said_by_user.map(lambda each: (each,)),
    said_by_model.map(lambda each: (each,)),
    st.tuples(said_by_model, message("tool", answers_of_tools, 1), said_by_model),
    st.tuples(said_by_model, message("tool", answers_of_tools, 1), said_by_user, said_by_model),
    st.tuples(said_by_user, message("system", texts, 1), said_by_model),
)
tools = st.builds(ir.Tool, some, words, arguments.filter("{}".__ne__).map(str.encode), st.none() | st.just(True), marks)
choices = st.sampled_from([ir.ToolChoice("auto"), ir.ToolChoice("required"), ir.ToolChoice("named", ("f",))])
ways_to_think = st.builds(ir.Reasoning, st.just(False), st.sampled_from(["", "low"])) | st.builds(
    ir.Reasoning,
    st.just(True),
    st.sampled_from(["", "low", "max"]),
    st.just(-1) | st.integers(1024, 5000),
    st.none() | st.booleans(),
)


@st.composite
def requests(draw: st.DrawFn) -> ir.Request:
    opening = draw(st.none() | message("system", texts, 1))
    kit = tuple(draw(st.lists(tools, max_size=2)))
    choice = draw(st.none() | choices) if kit else None
    reasoning = draw(st.none() | ways_to_think)
    conversation = [m for turn in draw(st.lists(turns, min_size=1, max_size=3)) for m in turn]
    thinks = reasoning is not None and reasoning.enabled
    if thinks and choice is not None and choice.mode != "auto":
        choice = None
    return ir.Request(
        messages=(*(() if opening is None else (opening,)), *conversation),
        tools=kit,
        tool_choice=choice,
        parallel_tools=draw(st.sampled_from([None, False])) if choice else None,
        output=draw(st.none() | st.builds(ir.Output, st.just("json_schema"), arguments.map(str.encode))),
        reasoning=reasoning,
        max_tokens=draw(st.integers(5001, 9999)),
        temperature=None if thinks else draw(st.none() | st.floats(0, 1)),
        top_p=None if thinks else draw(st.none() | st.floats(0, 0.99)),
        top_k=None if thinks else draw(st.none() | st.integers(0, 99)),
        stop=tuple(draw(st.lists(some, max_size=2))),
        user=draw(words),
        service_tier=draw(st.sampled_from(["", "default"])),
    )


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    fresh, cached, five, hour, reasoning, rest = (draw(counts) for _ in range(6))
    return Usage(fresh + cached + five + hour, reasoning + rest, cached, reasoning, five + hour, hour)


def ended(choice: ir.Choice) -> ir.Choice:
    """With a reason that goes with its parts."""
    called = any(isinstance(part, ir.ToolCall) for part in choice.parts)
    return ir.replace(choice, finish=with_calls(choice.finish, called))


shown = st.builds(ir.Text, some, st.lists(ranges | webs | results, max_size=2).map(tuple))
answers = st.builds(
    ir.Answer,
    st.builds(
        ir.Choice,
        st.lists(shown | thoughts | st.builds(ir.ToolCall, some, some, arguments), max_size=4).map(tuple),
        st.sampled_from(["stop", "stop_sequence", "length", "tool", "refusal", "pause", "context"]),
        stop_sequence=words,
    ).map(lambda choice: (ended(choice),)),
    some,
    some,
    usage=usages(),
    service_tier=st.sampled_from(["", "default", "priority", "batch"]),
).map(billed)


def streamed(answer: ir.Answer) -> list[ir.StreamEvent]:
    """An answer as a stream."""
    assert answer.usage is not None
    events: list[ir.StreamEvent] = [ir.Begin(answer.id, answer.model, 0, answer.service_tier)]
    # The message begins with the first thing said, and with the usage known by then.
    first = Usage(answer.usage.input, tier=answer.usage.tier) if answer.choices[0].parts else answer.usage
    events.append(ir.Counted(first))
    for number, part in enumerate(answer.choices[0].parts):
        if isinstance(part, ir.Text):
            events += (ir.Open(number, "text"), ir.Delta(number, part.text))
            events += (ir.Cite(number, cite) for cite in part.citations)
        elif isinstance(part, ir.ToolCall):
            events += (ir.Open(number, "tool", 0, part.id, part.name), ir.Delta(number, part.arguments[:5]))
            events += [ir.Delta(number, part.arguments[5:])] if part.arguments[5:] else []
        elif isinstance(part, ir.Thinking) and part.redacted:
            events.append(ir.Open(number, "thinking", signature=part.signature, redacted=True))
        elif isinstance(part, ir.Thinking):
            events.append(ir.Open(number, "thinking"))
            events += [ir.Delta(number, part.text)] if part.text else []
            events.append(ir.Sign(number, part.signature))
        events.append(ir.Close(number))
    choice = answer.choices[0]
    events += (ir.Finish(choice.finish, 0, choice.stop_sequence), ir.Counted(answer.usage), ir.End())
    return events


class RoundTrips(SynchronousTestCase):
    @settings(max_examples=examples(150), deadline=None)
    @given(requests())
    def test_requests(self, request: ir.Request) -> None:
        """What can be said is read back as it was said."""
        quirks = frozenset({"system_messages"})
        request = thinkable(fitted(CLAUDE, request, *quirks))
        body = CLAUDE.render(request, "m", RenderContext({}, "refuse"), stream=True, quirks=quirks)
        again = CLAUDE.parse(CLAUDE.parse_request(body).fields)
        self.assertEqual(without_places(again), without_places(request))

    @settings(max_examples=examples(150), deadline=None)
    @given(answers)
    def test_answers(self, answer: ir.Answer) -> None:
        """What can be said is read back as it was said."""
        self.assertEqual(CLAUDE.parse_answer(CLAUDE.render_answer(answer, ASKED)), answer)

    @settings(max_examples=examples(150), deadline=None)
    @given(answers, st.integers(1, 50))
    def test_streams(self, answer: ir.Answer, step: int) -> None:
        """Both ways, wherever the bytes are cut; and passed on unchanged."""
        events = streamed(answer)
        frames = encode(events)
        documents(frames)
        data = joined(frames)
        self.assertEqual(decode(data, step), events)
        passed, usage = read(data, step)
        self.assertEqual((joined(passed), usage), (data, answer.usage))

    @settings(max_examples=examples(150), deadline=None)
    @given(answers, st.randoms())
    def test_mixed_blocks(self, answer: ir.Answer, random: Any) -> None:
        """However the events of blocks are mixed, a client gets the blocks one after another, whole and in order."""
        first, counted, *rest = streamed(answer)
        queues: dict[int, list[ir.StreamEvent]] = {}
        opened: list[ir.StreamEvent] = []
        for event in rest[:-3]:
            assert isinstance(event, ir.Open | ir.Delta | ir.Sign | ir.Cite | ir.Close)
            if isinstance(event, ir.Open):
                opened.append(event)
            else:
                queues.setdefault(event.block, []).append(event)
        mixed: list[ir.StreamEvent] = []
        ready: list[int] = []
        while opened or ready:
            if opened and (not ready or random.random() < 0.5):
                ready.append(opened[0].block)  # type: ignore[union-attr]
                mixed.append(opened.pop(0))
            else:
                number = random.choice(ready)
                mixed.append(queues[number].pop(0))
                if not queues[number]:
                    ready.remove(number)
        frames = encode([first, counted, *mixed, *rest[-3:]])
        self.assertEqual(joined(frames), joined(encode(streamed(answer))))


def without_places(request: ir.Request) -> ir.Request:
    """The request without its messages' paths, which belong to the body."""
    fields = {name: getattr(request, name) for name in request.__struct_fields__}
    fields["messages"] = tuple(ir.Message(each.role, each.parts) for each in request.messages)
    return ir.Request(**fields)

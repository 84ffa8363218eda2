"""Strategies of what Gemini can say, in the form's canonical shape."""

import base64
import json

import msgspec
from hypothesis import strategies as st

from llmedge.dialects import ir
from llmedge.model import Usage

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
NAMES = st.from_regex(r"[a-z_]{1,8}", fullmatch=True)
BASE64 = st.binary(min_size=1, max_size=6).map(lambda raw: base64.b64encode(raw).decode())
OBJECTS = st.dictionaries(NAMES, st.integers() | TEXTS | st.lists(st.booleans(), max_size=2), max_size=3).map(
    lambda value: json.dumps(value, ensure_ascii=False)
)
SIGNATURES = st.just("") | BASE64
SIGNED = st.builds(ir.Thinking, st.just(""), BASE64, st.just(True))

IMAGE_SOURCES = st.builds(ir.Source, st.just("base64"), BASE64, st.sampled_from(["image/png", "image/webp"])) | st.just(
    ir.Source("url", "https://example.com/cat.png", "image/png")
)
IMAGES = st.builds(ir.Image, IMAGE_SOURCES, st.sampled_from(["", "low", "high"]))
AUDIO = st.builds(ir.Audio, st.builds(ir.Source, st.just("base64"), BASE64, st.just("audio/wav")))
FILES = st.builds(
    ir.File,
    st.builds(ir.Source, st.just("base64"), BASE64, st.just("application/pdf"))
    | st.builds(ir.Source, st.just("text"), TEXTS, st.just("text/plain"))
    | st.just(ir.Source("file", "https://generativelanguage.googleapis.com/v1beta/files/abc", "video/mp4")),
    st.just("") | TEXTS,
)
TEXT = st.builds(ir.Text, TEXTS)
THOUGHTS = st.builds(ir.Thinking, TEXTS, SIGNATURES)


@st.composite
def conversations(draw: st.DrawFn) -> tuple[ir.Message, ...]:
    messages = []
    if draw(st.booleans()):
        messages.append(ir.Message("system", tuple(draw(st.lists(TEXT, min_size=1, max_size=2)))))
    count = 0
    for _ in range(draw(st.integers(1, 3))):
        messages.append(
            ir.Message("user", tuple(draw(st.lists(TEXT | IMAGES | AUDIO | FILES, min_size=1, max_size=3))))
        )
        parts = draw(st.lists(TEXT | THOUGHTS, max_size=2))
        if len(parts) == 2 and isinstance(parts[1], ir.Thinking) and not getattr(parts[0], "signature", "text"):
            parts.pop()  # pieces of one thought
        if parts and isinstance(parts[-1], ir.Text) and draw(st.booleans()):
            parts.append(draw(SIGNED))
        results = []
        for _ in range(draw(st.integers(0, 2))):
            call = ir.ToolCall(f"id{count}", draw(NAMES), draw(OBJECTS), draw(SIGNATURES))
            count += 1
            parts.append(call)
            content = draw(st.lists(TEXT, max_size=2)) + draw(st.lists(IMAGES | FILES, max_size=1))
            error = draw(st.booleans())
            if error or not content:
                content = [ir.Text(draw(TEXTS | OBJECTS))]
            results.append(ir.ToolResult(call.id, tuple(content), call.name, error))
        if parts:
            messages.append(ir.Message("assistant", tuple(parts)))
        if results:
            messages.append(ir.Message("tool", tuple(results)))
    return tuple(messages)


@st.composite
def requests(draw: st.DrawFn) -> ir.Request:
    strict = draw(st.sampled_from([None, True]))
    schemas = st.just(b"") | OBJECTS.map(lambda text: b'{"type":"object","x":' + text.encode() + b"}")
    tools = tuple(draw(st.lists(st.builds(ir.Tool, NAMES, st.just("") | TEXTS, schemas, st.just(strict)), max_size=2)))
    choice = draw(
        st.sampled_from(
            [
                None,
                ir.ToolChoice("auto"),
                ir.ToolChoice("none"),
                ir.ToolChoice("required"),
                ir.ToolChoice("required", ("a", "b")),
                ir.ToolChoice("named", ("a",)),
            ]
        )
    )
    if strict and tools:
        choice = ir.ToolChoice("auto", draw(st.sampled_from([(), ("a",), ("a", "b")])))
    else:
        tools = tuple(msgspec.structs.replace(tool, strict=None) for tool in tools)
    reasoning = st.builds(
        ir.Reasoning,
        effort=st.sampled_from(["minimal", "low", "medium", "high"]),
        show=st.sampled_from([None, True, False]),
    ) | st.builds(ir.Reasoning, budget=st.integers(-1, 9000).filter(bool), show=st.sampled_from([None, True]))
    floats = st.none() | st.floats(0.01, 2)
    return ir.Request(
        messages=draw(conversations()),
        tools=tools,
        tool_choice=choice,
        output=draw(st.sampled_from([None, ir.Output("json"), ir.Output("json_schema", b'{"type":"object","a":1.0}')])),
        reasoning=draw(st.none() | st.just(ir.Reasoning(enabled=False)) | reasoning),
        max_tokens=draw(st.none() | st.integers(1, 99)),
        temperature=draw(floats),
        top_p=draw(floats),
        top_k=draw(st.none() | st.integers(1, 99)),
        stop=tuple(draw(st.lists(TEXTS, max_size=2))),
        n=draw(st.none() | st.integers(2, 4)),
        seed=draw(st.none() | st.integers(0, 99)),
        presence_penalty=draw(floats),
        frequency_penalty=draw(floats),
        logprobs=draw(st.sampled_from([None, True])),
        top_logprobs=draw(st.none() | st.integers(1, 5)),
        metadata=tuple(draw(st.dictionaries(NAMES, TEXTS, max_size=2)).items()),
        service_tier=draw(st.sampled_from(["", "default", "flex", "priority"])),
        store=draw(st.none() | st.booleans()),
    )


TOKENS = st.builds(
    ir.TokenLogprob,
    TEXTS,
    st.floats(-9, 0),
    top=st.lists(st.builds(ir.TokenLogprob, TEXTS, st.floats(-9, 0)), min_size=1, max_size=2).map(tuple),
)


@st.composite
def choices(draw: st.DrawFn, index: int) -> ir.Choice:
    parts: list[ir.Part] = draw(st.lists(THOUGHTS, max_size=2))
    before = 0
    for text in draw(st.lists(TEXTS, max_size=2)):
        start = draw(st.integers(0, len(text) - 1))
        end = draw(st.integers(start, len(text)))
        cite = ir.Citation("url", "https://a", "A", text_start=before + start, text_end=before + end)
        parts.append(ir.Text(text, draw(st.sampled_from([(), (cite,)]))))
        before += len(text)
        if draw(st.booleans()):
            parts.append(draw(SIGNED))
    parts += draw(st.lists(st.builds(ir.Image, IMAGE_SOURCES.filter(lambda s: s.kind == "base64")), max_size=1))
    calls = draw(st.integers(0, 2))
    parts += [ir.ToolCall(f"id{i}", draw(NAMES), draw(OBJECTS), draw(SIGNATURES)) for i in range(calls)]
    finish = draw(st.sampled_from(["length", "filter", "tool" if calls else "stop"]))
    logprobs = draw(st.none() | st.lists(TOKENS, max_size=2).map(tuple))
    return ir.Choice(tuple(parts), finish, index, logprobs=logprobs)


@st.composite
def usages(draw: st.DrawFn) -> Usage:
    def upto(most: int) -> int:
        return draw(st.integers(0, most))

    given, reasoning, spoken = upto(99), upto(99), upto(99)
    audio_output = upto(spoken)
    return Usage(given, spoken + reasoning, upto(given), reasoning, 0, 0, upto(given), audio_output)


@st.composite
def answers(draw: st.DrawFn) -> ir.Answer:
    n = draw(st.integers(1, 2))
    return ir.Answer(
        tuple(draw(choices(index)) for index in range(n)),
        draw(NAMES),
        draw(NAMES),
        draw(st.integers(1, 2**31)),
        draw(st.none() | usages()),
    )

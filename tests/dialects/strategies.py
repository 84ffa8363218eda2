"""Requests, answers and streams of the form, as far as a dialect can say them, in the form's canonical shape.

One description for all five: what a dialect cannot say is taken away from it by its row in :data:`CAN`. Citations, and
what only one dialect has words for, are tried in that dialect's own tests.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import attrs
from hypothesis import strategies as st

from llmedge.dialects import ir
from llmedge.dialects.billing import tier
from llmedge.model import Usage

CHAT, RESPONSES, CLAUDE, GEMINI, BEDROCK = "openai_chat", "openai_responses", "anthropic", "gemini", "bedrock"


@attrs.frozen
class Can:
    """What dialects differ in.

    :ivar settings: fields of a request that are simple values.
    :ivar parts: what a user may say beside text and pictures.
    :ivar thoughts: how they stand in a conversation: ``signed``, ``unsigned``, ``redacted``.
    :ivar usage: the counts it knows beside input, output and cached.
    """

    settings: frozenset[str]
    parts: frozenset[str]
    thoughts: tuple[str, ...]
    efforts: st.SearchStrategy[ir.Reasoning]
    finishes: tuple[ir.FinishReason, ...]
    usage: frozenset[str]
    named_schema: bool = False
    marks: bool = False
    result_names: bool = False
    result_errors: bool = True
    call_signatures: bool = False
    refusals: bool = False
    told: bool = True


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_EFFORT = st.sampled_from([ir.Reasoning(effort=effort) for effort in ("minimal", "low", "medium", "high")])
_BASIC = "max_tokens temperature top_p "
CAN = {
    CHAT: Can(
        _words(
            _BASIC + "stop n seed presence_penalty frequency_penalty logit_bias logprobs user metadata flex store "
            "verbosity json parallel_tools none allowed"
        ),
        _words("url audio pdf detail name developer"),
        (),
        _EFFORT,
        ("stop", "length", "filter"),
        _words("reasoning cache_write audio"),
        named_schema=True,
        result_errors=False,
        refusals=True,
    ),
    RESPONSES: Can(
        _words(_BASIC + "logprobs user metadata flex store verbosity json parallel_tools none allowed"),
        _words("url audio pdf detail developer"),
        ("signed", "unsigned", "redacted"),
        _EFFORT,
        ("stop", "length", "filter"),
        _words("reasoning cache_write"),
        named_schema=True,
        result_errors=False,
        refusals=True,
    ),
    CLAUDE: Can(
        _words(_BASIC + "top_k stop user"),
        _words("url pdf"),
        ("signed", "redacted"),
        st.just(ir.Reasoning(False)),  # the ways to think, and what they exclude: in its own tests
        ("stop", "stop_sequence", "length", "refusal", "pause", "context"),
        _words("reasoning cache_write"),
        marks=True,
    ),
    GEMINI: Can(
        _words(_BASIC + "top_k stop n seed presence_penalty frequency_penalty logprobs metadata flex store json none"),
        _words("audio pdf detail"),
        ("signed", "unsigned"),
        _EFFORT | st.just(ir.Reasoning(False)) | st.builds(ir.Reasoning, budget=st.integers(1, 9999)),
        ("stop", "length", "filter"),
        _words("reasoning audio"),
        result_names=True,
        call_signatures=True,
    ),
    BEDROCK: Can(
        _words(_BASIC + "top_k stop metadata flex"),
        _words("audio"),
        ("signed", "redacted"),
        st.just(ir.Reasoning(False)),  # as Anthropic's
        ("stop", "stop_sequence", "length", "filter", "context"),
        _words("cache_write"),
        named_schema=True,
        marks=True,
        told=False,
    ),
}

texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
words = st.text("abcXYZ019", min_size=1, max_size=8)
data = st.binary(min_size=1, max_size=9).map(lambda raw: base64.b64encode(raw).decode())
objects = st.builds(
    json.dumps,
    st.dictionaries(words, st.none() | st.integers(-9, 9) | texts | st.lists(st.booleans()), min_size=1, max_size=3),
    ensure_ascii=st.booleans(),
    indent=st.sampled_from([None, 1]),
)
floats = st.floats(0.01, 0.99)
maybe = st.none()


def _some(part: Any, least: int = 0, most: int = 2) -> Any:
    return st.lists(part, min_size=least, max_size=most).map(tuple)


def _text(can: Can) -> Any:
    return st.builds(ir.Text, texts, cache=st.sampled_from(["", "5m", "1h"] if can.marks else [""]))


def _user_parts(can: Can) -> Any:
    details = st.sampled_from(["", "low", "high"] if "detail" in can.parts else [""])
    sources = st.builds(ir.Source, st.just("base64"), data, st.sampled_from(["image/png", "image/webp"]))
    if "url" in can.parts:
        sources |= st.just(ir.Source("url", "https://example.com/cat.png"))
    kinds = [_text(can), st.builds(ir.Image, sources, details)]
    if "audio" in can.parts:
        kinds.append(st.builds(ir.Audio, st.builds(ir.Source, st.just("base64"), data, st.just("audio/wav"))))
    if "pdf" in can.parts:
        pdf = st.builds(ir.Source, st.just("base64"), data, st.just("application/pdf"))
        kinds.append(st.builds(ir.File, pdf, st.just("") | texts))
    return st.one_of(kinds)


def billed(answer: ir.Answer) -> ir.Answer:
    """An answer whose usage is of the tier that it tells."""
    usage = answer.usage
    return ir.replace(answer, usage=None if usage is None else ir.replace(usage, tier=tier(answer.service_tier)))


@st.composite
def thoughts(draw: st.DrawFn, can: Can, kinds: tuple[str, ...], identified: bool) -> ir.Thinking:
    kind = draw(st.sampled_from(kinds))
    identifier = "rs_" + draw(words) if identified else ""
    if kind == "redacted":
        return ir.Thinking("", draw(data), True, identifier)
    return ir.Thinking(draw(texts), draw(data) if kind == "signed" else "", id=identifier)


@st.composite
def conversations(draw: st.DrawFn, name: str) -> tuple[ir.Message, ...]:
    """Turns of user and assistant, tools called and answered in between; the user has the last word."""
    can, count = CAN[name], 0
    messages: list[ir.Message] = []
    if draw(st.booleans()):
        messages.append(ir.Message("system", draw(_some(_text(can), 1))))
        if name == RESPONSES:  # said at the top where it is one plain text
            messages = [ir.Message("system", (ir.Text(draw(texts)),))]
    for _ in range(draw(st.integers(0, 2))):
        named = draw(st.just("") | words) if "name" in can.parts else ""
        messages.append(ir.Message("user", draw(_some(_user_parts(can), 1, 3)), named))
        parts: list[ir.Part] = []
        if can.thoughts and draw(st.booleans()):
            parts.append(draw(thoughts(can, can.thoughts, name == RESPONSES)))
        parts += draw(_some(_text(can), 1))
        if can.refusals and draw(st.booleans()):
            parts.append(ir.Refusal(draw(texts)))
        results: list[ir.Part] = []
        for _ in range(draw(st.integers(0, 2))):
            signature = draw(st.just("") | data) if can.call_signatures else ""
            call = ir.ToolCall(f"c{count}", draw(words), draw(objects), signature)
            count += 1
            parts.append(call)
            error = can.result_errors and draw(st.booleans())
            content = draw(_some(st.builds(ir.Text, texts), int(error or name == BEDROCK), 1 if error else 2))
            results.append(ir.ToolResult(call.id, content, call.name if can.result_names else "", error))
        messages.append(ir.Message("assistant", tuple(parts)))
        if results:
            messages.append(ir.Message("tool", tuple(results)))
        if "developer" in can.parts and draw(st.booleans()):
            messages.append(ir.Message("developer", (ir.Text(draw(texts)),)))
    messages.append(ir.Message("user", draw(_some(_user_parts(can), 1, 3))))
    return tuple(messages)


@st.composite
def requests(draw: st.DrawFn, name: str) -> ir.Request:
    """What ``name`` can ask."""
    can = CAN[name]
    schemas = objects.map(str.encode)
    # No vendor takes a name twice.
    offered = st.builds(ir.Tool, words, st.just("") | texts, schemas)
    tools = draw(st.lists(offered, max_size=2, unique_by=lambda tool: tool.name).map(tuple))
    values: dict[str, Any] = {
        "max_tokens": st.integers(1, 9999),
        "temperature": floats,
        "top_p": floats,
        "top_k": st.integers(1, 99),
        "stop": _some(texts, 1),
        "n": st.integers(2, 4),
        "seed": st.integers(0, 99),
        "presence_penalty": floats,
        "frequency_penalty": floats,
        "logit_bias": st.just(b'{"5":1.5}'),
        "logprobs": st.just(True),
        "user": texts,
        "metadata": st.dictionaries(words, texts, min_size=1, max_size=2).map(lambda table: tuple(table.items())),
        "store": st.just(True),
        "verbosity": st.sampled_from(["low", "high"]),
        "parallel_tools": st.just(False),
    }
    said = {
        field: draw(values[field])
        for field in sorted(can.settings & set(values))
        if draw(st.booleans()) or (name == CLAUDE and field == "max_tokens")
    }
    if "flex" in can.settings:
        said["service_tier"] = draw(st.sampled_from(["", "flex"]))
    if tools:
        choices = [None, ir.ToolChoice("auto"), ir.ToolChoice("required"), ir.ToolChoice("named", ("f",))]
        choices += [ir.ToolChoice("none")] if "none" in can.settings else []
        choices += [ir.ToolChoice("required", ("f", "g"))] if "allowed" in can.settings else []
        said["tool_choice"] = draw(st.sampled_from(choices))
    outputs = [st.none(), st.builds(ir.Output, st.just("json_schema"), schemas, words)]
    if not can.named_schema:
        outputs[1] = st.builds(ir.Output, st.just("json_schema"), schemas)
    outputs += [st.just(ir.Output("json"))] if "json" in can.settings else []
    said["output"] = draw(st.one_of(outputs))
    return ir.Request(draw(conversations(name)), tools, reasoning=draw(maybe | can.efforts), **said)


@st.composite
def usages(draw: st.DrawFn, name: str) -> Usage:
    known = CAN[name].usage

    def count(word: str) -> int:
        return draw(st.integers(0, 99)) if word in known else 0

    cached, written, fresh = draw(st.integers(0, 99)), count("cache_write"), draw(st.integers(0, 99))
    reasoning, spoken = count("reasoning"), draw(st.integers(1, 99))
    heard, sung = min(count("audio"), fresh), min(count("audio"), spoken)
    return Usage(fresh + cached + written, reasoning + spoken, cached, reasoning, written, 0, heard, sung)


@st.composite
def answers(draw: st.DrawFn, name: str, streamed: bool = False) -> ir.Answer:
    """What ``name`` can answer: a thought, a text, a refusal, calls."""
    can = CAN[name]
    parts: list[ir.Part] = []
    kinds = tuple(kind for kind in can.thoughts or ("signed", "unsigned", "redacted"))
    if draw(st.booleans()):
        parts.append(draw(thoughts(can, kinds, name == RESPONSES and not streamed)))
    if draw(st.booleans()) or not parts:
        parts.append(ir.Text(draw(texts)))
    if can.refusals and draw(st.booleans()):
        parts.append(ir.Refusal(draw(texts)))
    for number in range(draw(st.integers(0, 2))):
        signature = draw(st.just("") | data) if can.call_signatures else ""
        arguments = draw(objects)
        if streamed and name == GEMINI:  # whose events are one line, with the arguments in it
            arguments = arguments.replace("\n", " ")
        parts.append(ir.ToolCall(f"c{number}", draw(words), arguments, signature))
    types = {type(part) for part in parts}
    finish = draw(st.sampled_from(can.finishes))
    if finish == "stop":
        finish = "tool" if ir.ToolCall in types else "refusal" if ir.Refusal in types else "stop"
    sequence = draw(texts) if finish == "stop_sequence" else ""
    choice = ir.Choice(tuple(parts), finish, stop_sequence=sequence)
    if not can.told:
        return ir.Answer((choice,), usage=draw(usages(name)))
    created = 0 if name == CLAUDE else draw(st.integers(1, 2**31))
    tier = "default" if name == RESPONSES else ""  # which always tells one
    return ir.Answer((choice,), draw(words), draw(words), created, draw(usages(name)), tier)


@st.composite
def streams(draw: st.DrawFn, name: str) -> list[ir.StreamEvent]:
    """An answer event by event, its texts and arguments in pieces; Gemini's calls are whole."""
    answer = draw(answers(name, streamed=True))
    (choice,) = answer.choices
    events: list[ir.StreamEvent] = [ir.Begin(answer.id, answer.model, answer.created, answer.service_tier)]
    for number, part in enumerate(choice.parts):
        text, sign = "", ""
        if isinstance(part, ir.ToolCall):
            events.append(ir.Open(number, "tool", 0, part.id, part.name, part.signature))
            text = part.arguments
        elif isinstance(part, ir.Thinking):
            redacted = part.signature if part.redacted else ""
            events.append(ir.Open(number, "thinking", signature=redacted, redacted=part.redacted))
            text, sign = part.text, "" if part.redacted else part.signature
        elif isinstance(part, ir.Text | ir.Refusal):
            events.append(ir.Open(number, "text" if isinstance(part, ir.Text) else "refusal"))
            text = part.text
        cut = 0 if name == GEMINI and isinstance(part, ir.ToolCall) else draw(st.integers(0, len(text)))
        events += [ir.Delta(number, piece) for piece in (text[:cut], text[cut:]) if piece]
        events += [ir.Sign(number, sign)] if sign else []
        events.append(ir.Close(number))
    events.append(ir.Finish(choice.finish, 0, choice.stop_sequence))
    assert answer.usage is not None
    return [*events, ir.Counted(answer.usage), ir.End()]

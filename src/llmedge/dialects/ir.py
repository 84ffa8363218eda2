"""The intermediate representation (IR): what the dialects can say of a request, an answer and a stream. Frozen values.

A dialect that differs from the vendor's is translated through it: the client's dialect parses into the IR, the
vendor's renders from it, and back. Canonical, so that ``parse(render(x)) == x`` can hold: tool results stand only in
messages of role ``"tool"``; texts that are empty are not there; a field left at its default says nothing.
"""

from __future__ import annotations

from typing import Literal

import msgspec

from llmedge.model import Usage

Role = Literal["system", "developer", "user", "assistant", "tool"]
FinishReason = Literal["stop", "stop_sequence", "length", "tool", "filter", "refusal", "pause", "context"]
"""Why an answer ended: of itself, at one of ``stop``, at ``max_tokens``, to have tools called, by the vendor's content
filter, because the model refused, to be continued by the client (Anthropic's ``pause_turn``), because the context
window was full. A vendor's reason that says that there is no answer is an error, and not here."""


class Struct(msgspec.Struct, frozen=True, gc=False):
    """One value of the IR."""


replace = msgspec.structs.replace
encode = msgspec.json.Encoder().encode


# Parts of messages


class Source(Struct, frozen=True):
    """Where a medium's bytes are.

    :ivar kind: ``base64`` (``data`` is the base64 text), ``url``, ``file`` (an id of the vendor's files API) or
        ``text`` (``data`` is the document itself).
    :ivar media_type: such as ``image/png``; ``""`` where nobody said.
    """

    kind: Literal["base64", "url", "file", "text"]
    data: str
    media_type: str = ""


class Citation(Struct, frozen=True):
    """What a text leans on.

    :ivar kind: what ``start`` and ``end`` count in the source: ``char``, ``page``, ``block``; else nothing.
    :ivar text_start: with ``text_end`` the cited range of the answer's text, in characters.
    :ivar document: number of the document in the request, from 0.
    :ivar opaque: what the vendor wants back unchanged.
    """

    kind: Literal["url", "file", "char", "page", "block"]
    url: str = ""
    title: str = ""
    quote: str = ""
    file: str = ""
    document: int | None = None
    start: int | None = None
    end: int | None = None
    text_start: int | None = None
    text_end: int | None = None
    opaque: str = ""


class Text(Struct, frozen=True):
    """:ivar cache: the prompt up to here may be cached this long: ``5m`` or ``1h``; ``""`` for no mark."""

    text: str
    citations: tuple[Citation, ...] = ()
    cache: str = ""


class Image(Struct, frozen=True):
    """:ivar detail: OpenAI's ``low``, ``high``, ``auto``; ``""`` for none."""

    source: Source
    detail: str = ""
    cache: str = ""


class Audio(Struct, frozen=True):
    """Sound said by the user or the model. :ivar id: of an earlier answer's audio, which stands for its data."""

    source: Source
    transcript: str = ""
    id: str = ""


class File(Struct, frozen=True):
    """A document. :ivar cite: the model is asked to cite it."""

    source: Source
    name: str = ""
    context: str = ""
    cite: bool = False
    cache: str = ""


class ToolCall(Struct, frozen=True):
    """A call of a tool.

    :ivar arguments: the JSON text, byte for byte as the model wrote it.
    :ivar signature: Gemini's thought signature.
    """

    id: str
    name: str
    arguments: str
    signature: str = ""
    cache: str = ""


class ToolResult(Struct, frozen=True):
    """:ivar name: of the tool, where the dialect says it. :ivar error: the tool failed; the content says how."""

    id: str
    content: tuple[Text | Image | File, ...]
    name: str = ""
    error: bool = False
    cache: str = ""


class Thinking(Struct, frozen=True):
    """The model's reasoning.

    :ivar signature: proves it to its vendor; opaque.
    :ivar redacted: ``signature`` is all there is.
    """

    text: str = ""
    signature: str = ""
    redacted: bool = False
    id: str = ""


class Refusal(Struct, frozen=True):
    text: str


Part = Text | Image | Audio | File | ToolCall | ToolResult | Thinking | Refusal


class Message(Struct, frozen=True):
    """:ivar at: the message's path in the client's request, for error messages."""

    role: Role
    parts: tuple[Part, ...]
    name: str = ""
    at: str = ""


# The rest of a request


class Tool(Struct, frozen=True):
    """:ivar schema: JSON Schema of the arguments, raw; ``b""`` for none. :ivar strict: arguments must keep to it.
    :ivar kind: what the client knows it as, where that is no function: ``custom``, whose input is free text, or a
        tool that it runs by itself.
    :ivar namespace: which the client knows it in; ``name`` begins with it.
    """

    name: str
    description: str = ""
    schema: bytes = b""
    strict: bool | None = None
    cache: str = ""
    kind: str = ""
    namespace: str = ""


class ToolChoice(Struct, frozen=True):
    """:ivar names: with ``required``, the only tools allowed; with ``named`` exactly one."""

    mode: Literal["auto", "none", "required", "named"]
    names: tuple[str, ...] = ()


class Output(Struct, frozen=True):
    """The answer's form: any JSON object, or JSON of a ``schema`` (raw)."""

    kind: Literal["json", "json_schema"]
    schema: bytes = b""
    name: str = ""
    description: str = ""
    strict: bool | None = None


class Reasoning(Struct, frozen=True):
    """How much to think. ``None`` and ``""`` where nothing is said.

    :ivar enabled: Anthropic's ``thinking.type``, Gemini's budget of 0.
    :ivar effort: ``minimal``, ``low``, ``medium``, ``high`` and whatever vendors add.
    :ivar budget: most tokens of thought; -1: as the model likes.
    :ivar show: whether thoughts, or a summary of them, are wanted in the answer.
    """

    enabled: bool | None = None
    effort: str = ""
    budget: int | None = None
    show: bool | None = None


class Request(Struct, frozen=True):
    """One request for a chat answer.

    :ivar parallel_tools: whether several tools may be called at once.
    :ivar top_logprobs: how many alternatives; only with ``logprobs``.
    :ivar logit_bias: token id to bias, raw JSON object.
    :ivar metadata: texts the client attaches for its own use.
    :ivar cache_key: requests with the same one are likely to begin alike.
    :ivar hints: fields of the client's that have no place in the IR and change nothing of the answer, by path.
    :ivar extra: those that change it: no other dialect can say them.
    :ivar lost: what is said to the model in ways that only its own dialect has.
    """

    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tools: bool | None = None
    output: Output | None = None
    reasoning: Reasoning | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    stop: tuple[str, ...] = ()
    n: int | None = None
    seed: int | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    logit_bias: bytes = b""
    logprobs: bool | None = None
    top_logprobs: int | None = None
    user: str = ""
    metadata: tuple[tuple[str, str], ...] = ()
    service_tier: str = ""
    store: bool | None = None
    verbosity: str = ""
    cache_key: str = ""
    hints: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()


# An answer


class TokenLogprob(Struct, frozen=True):
    """:ivar top: the likeliest alternatives, the token itself included if it is one; their own ``top`` is empty."""

    token: str
    logprob: float
    bytes: tuple[int, ...] | None = None
    top: tuple[TokenLogprob, ...] = ()


class Choice(Struct, frozen=True):
    """:ivar stop_sequence: which of ``stop`` ended it, where the vendor says."""

    parts: tuple[Part, ...]
    finish: FinishReason
    index: int = 0
    stop_sequence: str = ""
    logprobs: tuple[TokenLogprob, ...] | None = None


class Answer(Struct, frozen=True):
    """A whole answer.

    :ivar model: the model that answered, in the vendor's words.
    :ivar created: seconds since the epoch; 0 where nobody says.
    """

    choices: tuple[Choice, ...]
    id: str = ""
    model: str = ""
    created: int = 0
    usage: Usage | None = None
    service_tier: str = ""


# A stream. Blocks are numbered from 0 in each choice, in the order in which they open; deltas of two blocks may mix.


class Begin(Struct, frozen=True):
    """Once, first."""

    id: str = ""
    model: str = ""
    created: int = 0
    service_tier: str = ""


class Open(Struct, frozen=True):
    """A block begins.

    :ivar tool_id: a tool call's, and its ``name``.
    :ivar signature: of a thought that is ``redacted``, or of a tool call, where it is known by then.
    """

    block: int
    kind: Literal["text", "thinking", "refusal", "tool", "audio"]
    choice: int = 0
    tool_id: str = ""
    name: str = ""
    signature: str = ""
    redacted: bool = False


class Delta(Struct, frozen=True):
    """More of a block: of its text, or of its tool call's arguments. Never empty.

    :ivar logprobs: of the tokens of this delta.
    """

    block: int
    text: str
    choice: int = 0
    logprobs: tuple[TokenLogprob, ...] | None = None


class Sign(Struct, frozen=True):
    """The signature of a thought or a tool call."""

    block: int
    signature: str
    choice: int = 0


class Cite(Struct, frozen=True):
    block: int
    citation: Citation
    choice: int = 0


class Close(Struct, frozen=True):
    """Nothing more of this block. Each block is closed exactly once, before its choice finishes."""

    block: int
    choice: int = 0


class Finish(Struct, frozen=True):
    """A choice is complete."""

    reason: FinishReason
    choice: int = 0
    stop_sequence: str = ""


class Counted(Struct, frozen=True):
    """Usage so far; the last one stands."""

    usage: Usage


class End(Struct, frozen=True):
    """The vendor's terminal event: the stream is whole."""


StreamEvent = Begin | Open | Delta | Sign | Cite | Close | Finish | Counted | End

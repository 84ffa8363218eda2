"""How much a call may use at most, before it is made: what is held of a budget for it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import msgspec

from llmedge.call import Call, Candidate, Match
from llmedge.dialects import billing
from llmedge.dialects.registry import DIALECTS
from llmedge.model import RawObject, Target, Usage
from llmedge.operations import Operation
from llmedge.pipeline.books import asked_units
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.prices import Prices

UNKNOWN_OUTPUT = 16_384
"""Tokens that an answer is limited to where neither the client nor the model's entry does; those of a picture made, or
of a text spoken."""
UNKNOWN_WINDOW = 1_000_000
_REMEMBERED = 1000
"""Models of which it is kept what bounds their calls: clients can ask for any name where there are patterns."""
_TOOLS = 1_000
"""Tokens that vendors put before a prompt with tools (docs.claude.com/en/docs/agents-and-tools/tool-use/overview)."""
_PICTURE = 3_000
"""Tokens of a picture, at most (platform.openai.com/docs/guides/images,
docs.anthropic.com/en/docs/build-with-claude/vision)."""
_PICTURE_OF_SMALL = 50_000
"""Of OpenAI's small models, which count 20 to 33 times as many for the same picture."""
_PICTURE_EDITED = 8_000
"""Of one that is to be changed, with high fidelity (developers.openai.com/api/docs/guides/image-generation)."""
_PICTURES = (b'"image_url"', b'"input_image"', b'"image"', b'"inline_data"', b'"inlineData"')
_ELSEWHERE = (b'"file_id"', b'"file_url"', b'"fileUri"', b'"file_uri"', b'"document"', b'"input_file"', b'"file_data"')
"""What stands for more than its own bytes say."""
_of_any = re.compile(rb'"(?:image|in(?:put_|line)|file|document)').search
"""Finds the first of all of these, or nothing: then the text need not be looked through for each."""
_ESCAPED = re.compile(rb"\\u00([4-7][0-9a-fA-F])")
"""A letter of ASCII, of which names may be spelt: ``"image\\u005furl"``. After a backslash it is none, and is taken for
one: then more is seen than there is."""
_any_escaped = _ESCAPED.search
_unescaped = partial(_ESCAPED.sub, lambda found: bytes.fromhex(found[1].decode()))
_PLAIN = frozenset({"model", "stream", "max_tokens", "max_completion_tokens", "max_output_tokens", "temperature"})
"""Fields that many requests have, and that have nothing in them."""
_NONE = frozenset[str]()
_KEPT = {
    "openai_responses": frozenset({"previous_response_id", "conversation", "prompt"}),
    "gemini": frozenset({"cachedContent", "cached_content"}),
    "openai_chat": frozenset({"web_search_options"}),
    "anthropic": frozenset({"mcp_servers", "container"}),
}
"""Fields that stand for what the vendor keeps, or finds: by dialect."""
_TOOLS_ONLY = frozenset({"tools"})
_BESIDES = {dialect: _KEPT.get(dialect, _NONE) | _TOOLS_ONLY for dialect in DIALECTS}
"""Those, and tools: more is read than what is there."""
_RUN_BY_CLIENTS = ("function", "custom", "bash", "text_editor", "computer", "memory", "local_shell", "shell")
_RUN_BY_GOOGLE = frozenset({"functionDeclarations", "function_declarations"})
MS_A_BYTE = 2
"""Milliseconds of sound in a byte of a recording, at most: 4 kbit/s. Speech is recorded with 6 (RFC 6716 section 2.1.1)
and more."""
ELSEWHERE = 26_214_400
"""Bytes of a recording, at most, that the vendor fetches itself."""
TOKENS_A_SECOND = 50
"""Of sound, at most: OpenAI's are 17 to 20, Google's 32."""

_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_decode_tools = msgspec.json.Decoder(list[dict[str, msgspec.Raw]]).decode


def _seen(call: Call) -> tuple[int, int] | None:
    """What is read: tokens at most, for no token is shorter than a byte, and pictures; ``None``: nobody can tell."""
    fields, told, pictures = call.fields, call.record.bytes_in, 0
    if not _BESIDES[call.dialect].isdisjoint(fields):
        if not _KEPT.get(call.dialect, _NONE).isdisjoint(fields):
            return None
        if "tools" in fields:
            if _searches(fields):
                return None
            told += _TOOLS
    for name, raw in fields.items():
        if name in _PLAIN or (_of_any(raw) is None and _any_escaped(raw) is None):  # nearly always
            continue
        text = _unescaped(bytes(raw))
        if any(mark in text for mark in _ELSEWHERE):
            return None
        pictures += sum(map(text.count, _PICTURES))
    return told, pictures


def _window(target: Target) -> int:
    """Tokens of a prompt, at most."""
    return target.capabilities.context or UNKNOWN_WINDOW


def _picture(target: Target) -> int:
    """Tokens of a picture, at most."""
    return _PICTURE_OF_SMALL if "mini" in target.model or "nano" in target.model else _PICTURE


def _searches(fields: RawObject) -> bool:
    """Whether the vendor itself runs a tool, and reads what that finds."""
    try:
        tools = _decode_tools(fields["tools"])
    except msgspec.DecodeError:
        return True
    for tool in tools:
        kind = bytes(tool.get("type", b"")).strip(b'"').decode("utf-8", "replace")
        if kind and not kind.startswith(_RUN_BY_CLIENTS):
            return True
        if not kind and "name" not in tool and not tool.keys() <= _RUN_BY_GOOGLE:
            return True
    return False


def answers(call: Call) -> int:
    """How many are written, also where not all are given (``best_of`` of legacy completions)."""
    choices = call.choices if call.choices > 1 else 1
    if call.operation is not Operation.TEXT:
        return choices
    best_of = bytes(call.fields.get("best_of", b""))
    if not best_of.isdigit() or len(best_of) > 6:
        return choices
    n = bytes(call.fields.get("n", b"1"))
    each = int(n) if n.isdigit() and 0 < len(n) <= 6 else 1
    return choices // max(1, each) * max(each, int(best_of))


def output_asked(call: Call) -> int | None:
    """Tokens that the client wants at most, of all answers together."""
    asked = call.most_output()
    return None if asked is None else asked * answers(call)


def _of_input(call: Call, candidate: Candidate) -> Usage:
    """Nothing is said: embeddings, moderations. Many texts to embed are longer than the window together."""
    seen, window = _seen(call), _window(candidate.target)
    if seen is None:
        return Usage(window)
    told = seen[0] + seen[1] * _picture(candidate.target)
    return Usage(told if call.operation is Operation.EMBEDDINGS else min(told, window))


def _of_ranking(call: Call, candidate: Candidate) -> Usage:
    """Some count the query once for each document."""
    try:
        documents = len(_decode_list(call.fields.get("documents", call.fields.get("texts", b"[]"))))
    except msgspec.DecodeError:
        documents = call.record.bytes_in
    return Usage(call.record.bytes_in + documents * len(bytes(call.fields.get("query", b""))))


def _of_pictures(call: Call, candidate: Candidate) -> Usage:
    made, each = max(1, call.choices), candidate.capabilities.max_output or UNKNOWN_OUTPUT
    texts = [_unescaped(bytes(raw)) for raw in call.fields.values()]
    read = call.record.bytes_in + sum(text.count(mark) for text in texts for mark in _PICTURES) * _PICTURE_EDITED
    if call.upload is not None:
        made = call.upload.asked
        read = call.upload.texts + call.upload.files * _PICTURE_EDITED
    return Usage(read, made * each, images=made)


def _of_speech(call: Call, candidate: Candidate) -> Usage:
    units = asked_units(call)
    characters = call.record.bytes_in if units is None else units.characters
    return Usage(call.record.bytes_in, candidate.capabilities.max_output or UNKNOWN_OUTPUT, characters=characters)


def _of_sound(call: Call, candidate: Candidate) -> Usage:
    """A recording; in JSON it is base64, or is elsewhere."""
    if call.upload is not None:
        size = call.upload.most
    else:
        size = ELSEWHERE if any("ur" in name for name in call.fields) else call.record.bytes_in
    sound = size * MS_A_BYTE
    read = min(size, sound * TOKENS_A_SECOND // 1000 + UNKNOWN_OUTPUT)  # and what it is to listen for
    return Usage(
        min(read, candidate.capabilities.context or UNKNOWN_WINDOW),
        candidate.capabilities.max_output or UNKNOWN_OUTPUT,
        audio_ms=sound,
    )


_AT_MOST: Mapping[Operation, Callable[[Call, Candidate], Usage]] = {
    Operation.EMBEDDINGS: _of_input,
    Operation.MODERATIONS: _of_input,
    Operation.RERANK: _of_ranking,
    Operation.IMAGES_GENERATIONS: _of_pictures,
    Operation.IMAGES_EDITS: _of_pictures,
    Operation.AUDIO_SPEECH: _of_speech,
    Operation.AUDIO_TRANSCRIPTIONS: _of_sound,
    Operation.AUDIO_TRANSLATIONS: _of_sound,
}


def everyone(models: ModelIndex, match: Match) -> Sequence[Candidate]:
    """All who may be asked for a model, its fallbacks included."""
    if not match.model.fallbacks and not match.model.context_fallbacks:
        return match.candidates
    found, names, seen = list(match.candidates), [*match.model.fallbacks, *match.model.context_fallbacks], set[str]()
    while names:
        if (name := names.pop()) not in seen and (other := models.find(name)) is not None:
            seen.add(name)
            found += other.candidates
            names += [*other.model.fallbacks, *other.model.context_fallbacks]
    return found


class Bound(msgspec.Struct):
    """At most so much, in picos: ``fixed``, and for each of ``output`` tokens what its share is.

    :ivar limited: the client, the model's entry or what is asked for bounds the output; else it has to be said to the
        vendor.
    """

    fixed: int
    output: int
    for_output: int
    limited: bool

    @property
    def amount(self) -> int:
        return self.fixed + self.for_output

    def or_more(self, other: Bound) -> Bound:
        """What is enough for both."""
        return Bound(
            max(self.fixed, other.fixed),
            max(self.output, other.output),
            max(self.for_output, other.for_output),
            self.limited and other.limited,
        )

    def fitting(self, left: int) -> int:
        """Tokens of output that ``left`` picos pay for."""
        if self.for_output == 0:
            return self.output if left >= self.fixed else -1
        return (left - self.fixed) * self.output // self.for_output if left >= self.fixed else -1


class _Terms(msgspec.Struct, frozen=True):
    """Of one who may be asked for a text.

    :ivar window: tokens of a prompt, at most; ``picture``: of a picture; ``longest``: of an answer.
    :ivar limited: its entry says how long answers are.
    :ivar picos: of a token that is read, one that is written, and a request; ``None``: that is another each time.
    """

    target: Target
    window: int
    picture: int
    longest: int
    limited: bool
    picos: tuple[int, int, int] | None


class Bounds:
    """By the models and prices of one configuration."""

    def __init__(self, models: ModelIndex, prices: Prices) -> None:
        self._models, self._prices = models, prices
        self._terms: dict[Match, list[_Terms]] = {}

    def of(self, call: Call) -> Bound | None:
        """Of the dearest of those who may be asked; ``None``: of one of them the price is not known."""
        assert call.match is not None, "Admit found it"
        tier = billing.asked_tier(call.fields)
        if (at_most := _AT_MOST.get(call.operation)) is not None:
            return self._of_others(call, call.match, tier, at_most)
        seen, asked = _seen(call), output_asked(call)
        most: Bound | None = None
        for each in self._terms.get(call.match) or self._make_terms(call.match):
            read = each.window
            if seen is not None and (told := seen[0] + seen[1] * each.picture) < read:
                read = told
            output = each.longest * answers(call) if asked is None else asked
            if each.picos is not None and not tier:
                of_read, of_said, of_request = each.picos
                fixed, for_output = read * of_read + of_request, output * of_said
            elif (priced := self._prices.most_of_text(each.target, read, output, tier)) is not None:
                fixed, for_output = priced
            else:
                return None
            bound = Bound(fixed, output, for_output, each.limited or asked is not None)
            most = bound if most is None else most.or_more(bound)
        return most

    def _make_terms(self, match: Match) -> list[_Terms]:
        if len(self._terms) >= _REMEMBERED:
            self._terms.clear()
        terms = self._terms[match] = [
            _Terms(
                target := each.target,
                _window(target),
                _picture(target),
                target.capabilities.max_output or UNKNOWN_OUTPUT,
                target.capabilities.max_output is not None,
                self._prices.lasting(target),
            )
            for each in everyone(self._models, match)
        ]
        return terms

    def _of_others(
        self, call: Call, match: Match, tier: str, at_most: Callable[[Call, Candidate], Usage]
    ) -> Bound | None:
        dearest = 0
        for candidate in everyone(self._models, match):
            used = at_most(call, candidate)
            whole = self._prices.most(candidate.target, msgspec.structs.replace(used, tier=tier) if tier else used)
            if whole is None:
                return None
            dearest = max(dearest, whole)
        return Bound(dearest, 0, 0, True)  # what is passed through cannot be asked to be shorter

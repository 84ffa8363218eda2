"""Which answers are worth keeping: those that ended well and say something. Looked for in their bytes, whole or as the
frames of a stream, since reading them as JSON would cost as much as passing them on.

A member's name cannot stand unescaped in a text, so what is found is a member. It may be one of a tool's arguments,
where those are objects: every ending that is found has to be a good one.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

import attrs

Ending = Literal["good", "tool", "bad", "empty"]
_TAIL = 2048
"""Bytes of a stream's end in which the ending of a single answer is looked for first."""


@attrs.frozen
class _Signs:
    """How a dialect says it.

    :ivar end: finds each reason why an answer ended, where ``member`` stands; ``good``: those that are well, ``tool``:
        for a tool to be called.
    :ivar says: finds a text that is not empty.
    :ivar calls: finds a call of a tool, if ``call`` is somewhere; ``refuses``: a refusal, where ``refusal`` stands.
    :ivar member: ``b""``: there are several.
    """

    member: bytes
    end: re.Pattern[bytes]
    good: frozenset[bytes]
    says: re.Pattern[bytes]
    tool: frozenset[bytes] = frozenset()
    call: bytes = b""
    calls: re.Pattern[bytes] | None = None
    refusal: bytes = b""
    refuses: re.Pattern[bytes] | None = None


def _words(text: str) -> frozenset[bytes]:
    return frozenset(text.encode().split())


# A plain search is ten times as fast as a pattern's: patterns are asked only where it has found something.
_TEXT = re.compile(rb'"text"\s*:\s*"[^"]')
_REASON = b'"finish_reason"'
_FINISH = re.compile(rb'"finish_reason"\s*:\s*"([^"]*)"')
_SIGNS: Mapping[str, _Signs] = {
    # platform.openai.com/docs/api-reference/chat/object
    "openai_chat": _Signs(
        _REASON,
        _FINISH,
        _words("stop"),
        re.compile(rb'"content"\s*:\s*"[^"]'),
        _words("tool_calls function_call"),
        b"_call",
        re.compile(rb'"(?:tool_calls"\s*:\s*\[\s*\{|function_call"\s*:\s*\{)'),
        b'"refusal"',
        re.compile(rb'"refusal"\s*:\s*"'),
    ),
    "openai_text": _Signs(_REASON, _FINISH, _words("stop"), _TEXT),
    # platform.openai.com/docs/api-reference/responses/object: items have a status as well
    "openai_responses": _Signs(
        b"",
        re.compile(rb'(?:"status"\s*:\s*|"type"\s*:\s*"response\.)"?(completed|incomplete|failed|cancelled)"'),
        _words("completed"),
        _TEXT,
        call=b'_call"',
        calls=re.compile(rb'"type"\s*:\s*"[a-z_]*_call"'),
        refusal=b'"refusal"',
        refuses=re.compile(rb'"refusal"\s*[,}]'),  # the type of a part; its text is a member of that name
    ),
    # docs.anthropic.com/en/api/handling-stop-reasons
    "anthropic": _Signs(
        b'"stop_reason"',
        re.compile(rb'"stop_reason"\s*:\s*"([^"]*)"'),
        _words("end_turn stop_sequence"),
        _TEXT,
        _words("tool_use"),
        b'tool_use"',
        re.compile(rb'"type"\s*:\s*"[a-z_]*tool_use"'),
    ),
    # ai.google.dev/api/generate-content#FinishReason
    "gemini": _Signs(
        b'"finishReason"',
        re.compile(rb'"finishReason"\s*:\s*"([^"]*)"'),
        _words("STOP"),
        _TEXT,
        call=b'"functionCall"',
        calls=re.compile(rb'"functionCall"\s*:'),
    ),
}


def ending(dialect: str, body: bytes, single: bool = False) -> Ending:
    """How an answer ended. One that no text is in, such as an embedding, is good as it is.

    :param single: it has one ending, which stands near its end if anywhere.
    """
    signs = _SIGNS.get(dialect)
    if signs is None:
        return "good"
    calls = False
    for reason in (_last_reason(signs, body) if single else None) or signs.end.findall(body) or (b"none",):
        if reason not in signs.good:
            if reason not in signs.tool:
                return "bad"
            calls = True
    if signs.refuses is not None and _stands(signs.refusal, signs.refuses, body):
        return "bad"
    if calls or (signs.calls is not None and signs.call in body and signs.calls.search(body)):
        return "tool"
    return "good" if signs.says.search(body) else "empty"


def _last_reason(signs: _Signs, body: bytes) -> list[bytes]:
    """The last one, or those that stand near the end; maybe none."""
    if not signs.member:
        return signs.end.findall(body[-_TAIL:])
    at = body.rfind(signs.member)
    while at >= 0:
        if (found := signs.end.match(body, at)) is not None:
            return [found[1]]
        at = body.rfind(signs.member, 0, at)
    return []


def _stands(word: bytes, pattern: re.Pattern[bytes], body: bytes) -> bool:
    """Whether ``pattern``, which begins with ``word``, finds something."""
    at = body.find(word)
    while at >= 0 and not pattern.match(body, at):
        at = body.find(word, at + 1)
    return at >= 0

"""Messages in the order and the form a vendor takes: nothing of what is said is left out."""

from __future__ import annotations

import mimetypes
import re
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from typing import Any

from llmedge.dialects import ir
from llmedge.dialects.fitting.media import Messages, fit_media, with_results
from llmedge.dialects.lenient import broken_input, raw_object
from llmedge.dialects.rendering import RenderContext

BEGIN = "(Begin.)"
GO_ON = "(Go on with your last message, from where it ends.)"
ATTACHED = "(A document:)"
NOTHING = "(It gave nothing.)"
NO_RESULT = "(There is no result: the call was given up.)"
RESULT = "(A tool's result, of a call that is no longer here:)"
BESIDE = "(From the tool results above:)"
SEE_BESIDE = "(See the next message.)"
ACKNOWLEDGED = "OK."
"""Words of ours, where a vendor wants somebody to say something."""


def fit_messages(messages: Messages, context: RenderContext, quirks: frozenset[str]) -> Messages:
    """Quirks it knows: ``system_first`` (unless ``system_messages``), ``no_blank_text``, ``text_results``,
    ``no_user_after_tool``, ``no_document_context``, ``no_text_documents``, ``file_names``, ``text_beside_files``,
    ``joined_turns``, ``user_first``, ``claude_prefill``.

    :raises Unsupported: a document is to be cited, and cannot be; or a medium is none the vendor takes.
    """
    messages = _named(_readable(messages), context)
    messages = fit_media(messages, context)
    if "no_document_context" in quirks:
        messages = _documents(messages, context, quirks)
    if any(isinstance(part, ir.ToolCall | ir.ToolResult) for message in messages for part in message.parts):
        messages = _answered(messages)
    if "system_first" in quirks and "system_messages" not in quirks:
        messages = _system_first(messages)
    if "encrypted_thoughts" in quirks:
        messages = _own_thoughts(messages, context)
    messages = _audible(messages, "no_blank_text" in quirks)
    if "no_silent_errors" in quirks or "no_silent_results" in quirks:
        messages = _told(messages, "no_silent_results" in quirks)
    if "text_results" in quirks:
        messages = _media_beside(messages)
    if "no_user_after_tool" in quirks:
        messages = tuple(_acknowledged(messages))
    if "text_beside_files" in quirks:
        messages = tuple(map(_beside_files, messages))
    if "joined_turns" in quirks:
        messages = _joined(messages)
    if "user_first" in quirks:
        messages = _begun(messages)
    return _ended(messages, context) if "claude_prefill" in quirks else messages


_NO_NAME = re.compile(r"[\s<|\\/>]")
"""What OpenAI refuses in the name of who says a message: its pattern is ``^[^\\s<|\\\\/>]+$``."""


def _told(messages: Messages, all_results: bool) -> Messages:
    """With a word in results that say nothing: in all of them, or in errors only."""
    return tuple(
        ir.replace(
            message,
            parts=tuple(
                ir.replace(part, content=(ir.Text(NOTHING),))
                if isinstance(part, ir.ToolResult) and not part.content and (all_results or part.error)
                else part
                for part in message.parts
            ),
        )
        if message.role == "tool"
        else message
        for message in messages
    )


def _named(messages: Messages, context: RenderContext) -> Messages:
    """With names of those who speak as vendors take them."""
    if not any(message.name for message in messages):
        return messages
    assert context.limits is not None
    longest = context.limits.message_name
    return tuple(ir.replace(each, name=_NO_NAME.sub("_", each.name)[:longest]) for each in messages)


def _readable(messages: Messages) -> Messages:
    """Calls whose arguments are an object: vendors read those of the history as JSON."""
    if not any(isinstance(part, ir.ToolCall) for message in messages for part in message.parts):
        return messages
    return tuple(
        ir.replace(
            message, parts=tuple(_read(part) if isinstance(part, ir.ToolCall) else part for part in message.parts)
        )
        for message in messages
    )


def _read(call: ir.ToolCall) -> ir.ToolCall:
    if not call.arguments.strip():
        return ir.replace(call, arguments="{}")
    if raw_object(call.arguments) is not None:
        return call
    return ir.replace(call, arguments=ir.encode(broken_input(call.arguments)).decode())


def _answered(messages: Messages) -> Messages:
    """Each call's result directly behind it, whatever was said in between, each id of a call once, and no half of a
    pair: all vendors want them so (platform.openai.com/docs/guides/function-calling,
    platform.claude.com/docs/en/agents-and-tools/tool-use/implement-tool-use)."""
    results: dict[str, deque[tuple[int, int, ir.ToolResult]]] = defaultdict(deque)
    for index, message in enumerate(messages):
        for number, part in enumerate(message.parts if message.role == "tool" else ()):
            if isinstance(part, ir.ToolResult):
                results[part.id].append((index, number, part))
    out: list[ir.Message] = []
    seen: set[str] = set()
    taken: set[tuple[int, int]] = set()
    for index, message in enumerate(messages):
        if message.role == "tool":
            if rest := tuple(part for number, part in enumerate(message.parts) if (index, number) not in taken):
                out.append(_told_anyway(message, rest))
            continue
        parts = list(message.parts)
        found: list[tuple[int, int, ir.ToolResult]] = []
        for number, part in enumerate(parts):
            if not isinstance(part, ir.ToolCall):
                continue
            name = part.id
            while name in seen or not name:
                name = f"{part.id or 'call'}_{len(seen)}"
            seen.add(name)
            open_results = results[part.id]
            while open_results and open_results[0][0] < index:
                open_results.popleft()  # before its call, so nobody's
            if open_results:
                result = open_results.popleft()
                taken.add(result[:2])
                found.append((*result[:2], ir.replace(result[2], id=name)))
            elif index + 1 < len(messages):
                found.append((len(messages), number, ir.ToolResult(name, (ir.Text(NO_RESULT),))))
            if name != part.id:
                parts[number] = ir.replace(part, id=name)
        out.append(ir.replace(message, parts=tuple(parts)))
        if found:
            found.sort(key=lambda each: each[:2])
            given = messages[found[0][0]] if found[0][0] < len(messages) else ir.Message("tool", (), at=message.at)
            out.append(ir.replace(given, parts=tuple(part for *_, part in found)))
    return tuple(out)


def _told_anyway(message: ir.Message, rest: tuple[ir.Part, ...]) -> ir.Message:
    """What a message says of results whose calls are not there, or have one already: the user's word."""
    parts: list[ir.Part] = []
    for part in rest:
        parts += [ir.Text(RESULT), *part.content] if isinstance(part, ir.ToolResult) else [part]
    return ir.replace(message, role="user", parts=tuple(parts))


def _documents(messages: Messages, context: RenderContext, quirks: frozenset[str]) -> Messages:
    """What is said about a document is a text before it; a document that is a text may be no more than that."""
    if not any(isinstance(part, ir.File) for message in messages for part in with_results(message)):
        return messages
    as_texts, named = "no_text_documents" in quirks, "file_names" in quirks

    def split(parts: Iterable[Any], at: str) -> Iterator[Any]:
        for part in parts:
            if isinstance(part, ir.ToolResult):
                yield ir.replace(part, content=tuple(split(part.content, at)))
            elif not isinstance(part, ir.File):
                yield part
            elif as_texts and part.source.kind == "text":
                if part.cite:
                    context.unsupported("File.cite", at=at)
                yield ir.Text("\n".join(filter(None, (part.name, part.context, part.source.data))), cache=part.cache)
            else:
                if part.context:
                    yield ir.Text(part.context)
                name = f"document{mimetypes.guess_extension(part.source.media_type) or ''}"
                unnamed = named and part.source.kind == "base64" and not part.name
                yield ir.replace(part, context="", name=name if unnamed else part.name)

    return tuple(ir.replace(message, parts=tuple(split(message.parts, message.at))) for message in messages)


def _own_thoughts(messages: Messages, context: RenderContext) -> Messages:
    """Without thoughts that another vendor told, or a client without their proofs."""

    def known(part: ir.Part) -> bool:
        return not isinstance(part, ir.Thinking) or bool(part.signature)

    out = []
    for message in messages:
        if not all(map(known, message.parts)):
            context.unsupported("Thinking", at=message.at)
            message = ir.replace(message, parts=tuple(filter(known, message.parts)))
            if not message.parts:
                continue
        out.append(message)
    return tuple(out)


def _system_first(messages: Messages) -> Messages:
    """What the system says later stands where it is, as the user's, marked."""
    begun = next((index for index, each in enumerate(messages) if each.role not in ("system", "developer")), 0)
    return messages[:begun] + tuple(
        ir.replace(message, role="user", parts=_marked(message.parts))
        if message.role in ("system", "developer") and message.parts
        else message
        for message in messages[begun:]
    )


def _marked(parts: tuple[ir.Part, ...]) -> tuple[ir.Part, ...]:
    if len(parts) == 1 and isinstance(parts[0], ir.Text):
        return (ir.replace(parts[0], text=f"<system>\n{parts[0].text}\n</system>"),)
    return ir.Text("<system>"), *parts, ir.Text("</system>")


def _audible(messages: Messages, strict: bool) -> Messages:
    """Without texts that say nothing.

    :param strict: not even white space, and no message without content.
    """

    def says(part: Any) -> bool:
        return not isinstance(part, ir.Text) or bool(part.text.strip() if strict else part.text)

    out: list[ir.Message] = []
    for message in messages:
        if not all(says(part) for part in with_results(message)):
            parts = tuple(
                ir.replace(part, content=tuple(filter(says, part.content))) if isinstance(part, ir.ToolResult) else part
                for part in message.parts
                if says(part)
            )
            message = ir.replace(message, parts=parts)
        out.append(message)
    if not strict:
        return tuple(out)
    heard = tuple(each for each in out if each.parts)
    if any(each.role not in ("system", "developer") for each in heard):
        return heard
    return tuple(each for each in out if each.parts or each.role == "user")  # which is for the vendor to refuse


def _media_beside(messages: Messages) -> Messages:
    """Pictures and documents of results in a message of the user's behind them: the results are texts."""
    out: list[ir.Message] = []
    for message in messages:
        media: list[ir.Part] = []
        parts: list[ir.Part] = []
        for part in message.parts:
            if isinstance(part, ir.ToolResult) and not all(isinstance(each, ir.Text) for each in part.content):
                media += [each for each in part.content if not isinstance(each, ir.Text)]
                texts = tuple(each for each in part.content if isinstance(each, ir.Text))
                part = ir.replace(part, content=texts or (ir.Text(SEE_BESIDE),))
            parts.append(part)
        out.append(ir.replace(message, parts=tuple(parts)) if media else message)
        if media:
            out.append(ir.Message("user", (ir.Text(BESIDE), *media), at=message.at))
    return tuple(out)


def _acknowledged(messages: Messages) -> Iterator[ir.Message]:
    """With a word of the assistant's between a result and what the user says next."""
    for before, message in zip((None, *messages), messages, strict=False):
        if before is not None and before.role == "tool" and message.role == "user":
            yield ir.Message("assistant", (ir.Text(ACKNOWLEDGED),), at=message.at)
        yield message


def _beside_files(message: ir.Message) -> ir.Message:
    """A user's message with a document has a text, too (docs.aws.amazon.com/bedrock/latest/APIReference/,
    API_runtime_ContentBlock)."""
    kinds = {type(part) for part in message.parts}
    if message.role != "user" or ir.File not in kinds or ir.Text in kinds:
        return message
    return ir.replace(message, parts=(*message.parts, ir.Text(ATTACHED)))


def _joined(messages: Messages) -> Messages:
    """What the assistant says in a row in one message: Gemini wants a call directly behind the user's turn."""
    out: list[ir.Message] = []
    for message in messages:
        if out and message.role == out[-1].role == "assistant":
            before = out.pop()
            message = ir.replace(before, parts=before.parts + message.parts)
        out.append(message)
    return tuple(out)


def _begun(messages: Messages) -> Messages:
    """The first to speak is the user, whoever it was."""
    place = next((index for index, each in enumerate(messages) if each.role not in ("system", "developer")), None)
    if place is None:
        return (*messages, ir.Message("user", (ir.Text(BEGIN),)))
    if messages[place].role != "assistant":
        return messages
    return (*messages[:place], ir.Message("user", (ir.Text(BEGIN),), at=messages[place].at), *messages[place:])


def _ended(messages: Messages, context: RenderContext) -> Messages:
    """An answer that is begun does not end in white space, and is gone on with by some models only: Anthropic answers
    400 otherwise (platform.claude.com/docs/en/build-with-claude/prompt-engineering/prefill-claudes-response)."""
    if not messages or messages[-1].role != "assistant" or not messages[-1].parts:
        return messages
    if context.capabilities.prefill is False:
        return (*messages, ir.Message("user", (ir.Text(GO_ON),), at=messages[-1].at))
    *before, last = messages[-1].parts
    if not isinstance(last, ir.Text) or last.text == last.text.rstrip():
        return messages
    kept = (*before, ir.replace(last, text=last.text.rstrip())) if last.text.strip() else tuple(before)
    return (*messages[:-1], ir.replace(messages[-1], parts=kept))

"""Contents and their parts → the IR's messages (ai.google.dev/api/caching#Content)."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Iterator

from llmedge.dialects import ir, own_tools
from llmedge.dialects.foreign import Foreign
from llmedge.dialects.gemini.results import parse_result
from llmedge.dialects.gemini.wire import STANDARD, GoogleFields, unwrap_signature

FILE_PREFIXES = ("https://generativelanguage.googleapis.com/", "gs://")
"""URIs that only Google can read: its files API's, and its cloud storage's."""

_MEDIA_TYPES = {
    "png": "image/png",
    "jpg": "image/jpeg",
    "jpeg": "image/jpeg",
    "webp": "image/webp",
    "gif": "image/gif",
    "heic": "image/heic",
    "heif": "image/heif",
    "pdf": "application/pdf",
}
DETAILS = {"MEDIA_RESOLUTION_LOW": "low", "MEDIA_RESOLUTION_HIGH": "high"}
"""A part's ``mediaResolution.level`` (ai.google.dev/gemini-api/docs/media-resolution) and OpenAI's ``detail``."""


def guess_type(url: str) -> str:
    """The media type a URL's ending tells, or ``""``."""
    path = url.partition("?")[0].partition("#")[0]
    return _MEDIA_TYPES.get(path.rpartition(".")[2].lower(), "")


class Calls:
    """The calls of tools seen so far. Gemini's often have no id: a result belongs to the first call of its name that
    has none yet."""

    def __init__(self) -> None:
        self._open: list[tuple[str, str]] = []
        self._answered: set[str] = set()
        self._count = 0

    def call(self, identifier: str, name: str) -> str:
        """The id of a call, invented where there is none: its number in the conversation is the same each time the
        conversation is sent."""
        identifier = identifier or f"call_{self._count}"
        self._count += 1
        self._open.append((identifier, name))
        return identifier

    def result(self, identifier: str, name: str) -> str:
        """The id of the call a result is of; ``""`` for a call that has its result: some clients say it twice."""
        if identifier in self._answered and not any(called == identifier for called, _ in self._open):
            return ""
        if identifier:
            self._answered.add(identifier)
        for index, (called, its_name) in enumerate(self._open):
            if called == identifier or (not identifier and its_name == name):
                del self._open[index]
                return called
        return identifier or f"call_of_{name}"


def parse_contents(contents: list[GoogleFields], foreign: Foreign) -> list[ir.Message]:
    """:param foreign: collects the parts that have no place in the IR.
    :raises ValidationError: a part is mistyped.
    """
    calls = Calls()
    messages: list[ir.Message] = []
    for content in contents:
        role = content.text("role") or ("model" if _holds(content, "functionCall") else "user")
        if role not in ("user", "model", "function", "tool"):
            content.fail("role", "must be user, model or function")
        speaker: ir.Role = "assistant" if role == "model" else "user"
        parts = _joined(part for each in content.objects("parts") for part in _parts(each, calls, foreign))
        content.finish()
        for index, (is_result, run) in enumerate(_runs(parts)):
            kind: ir.Role = "tool" if is_result else speaker
            if messages and messages[-1].role == kind != "user":  # a turn that came in pieces
                last = messages.pop()
                messages.append(ir.Message(kind, tuple(_joined((*last.parts, *run))), at=last.at))
            else:
                at = content.path if index == 0 else f"{content.path} ({index + 1})"
                messages.append(ir.Message(kind, run, at=at))
        repeats = speaker == "assistant" or _holds(content, "functionResponse")
        if not parts and not (messages and repeats):
            messages.append(ir.Message(speaker, (), at=content.path))
    return messages


def _joined(parts: Iterable[ir.Part]) -> list[ir.Part]:
    """A thought that came in pieces, its signature in the last, is one."""
    out: list[ir.Part] = []
    for part in parts:
        last = out[-1] if out else None
        if (
            isinstance(part, ir.Thinking)
            and isinstance(last, ir.Thinking)
            and not (part.redacted or last.redacted or last.signature)
        ):
            out[-1] = ir.Thinking(last.text + part.text, part.signature)
        else:
            out.append(part)
    return out


def _runs(parts: list[ir.Part]) -> Iterator[tuple[bool, tuple[ir.Part, ...]]]:
    """The results of tools have messages of their own."""
    run: list[ir.Part] = []
    results = False
    for part in parts:
        is_result = isinstance(part, ir.ToolResult)
        if run and is_result != results:
            yield results, tuple(run)
            run = []
        results = is_result
        run.append(part)
    if run:
        yield results, tuple(run)


def _holds(content: GoogleFields, kind: str) -> bool:
    """Whether there is such a part."""
    return any(part.has(kind) for part in content.objects("parts"))


def parse_instruction(content: GoogleFields, foreign: Foreign) -> ir.Message | None:
    """``systemInstruction``; its role says nothing."""
    content.ignore("role")
    parts = [part for each in content.objects("parts") for part in _parts(each, Calls(), foreign)]
    content.finish()
    return ir.Message("system", tuple(parts), at=content.path) if parts else None


def _parts(fields: GoogleFields, calls: Calls, foreign: Foreign) -> Iterator[ir.Part]:
    """One part. A signature on what cannot carry one in the IR follows it as a thought of its own, as Gemini itself
    sends it in streams: in a part with an empty text (ai.google.dev/gemini-api/docs/thought-signatures)."""
    signature = unwrap_signature(fields.text("thoughtSignature"))
    thought = fields.flag("thought")
    if (call := fields.object("functionCall")) is not None:
        name = call.text("name", None)
        identifier = calls.call(call.text("id"), name)
        arguments = call.raw("args").decode() or "{}"
        if not arguments.startswith("{"):
            call.fail("args", "must be an object")
        call.finish()
        yield ir.ToolCall(identifier, name, arguments, signature)
        signature = ""
    elif (response := fields.object("functionResponse")) is not None:
        name = response.text("name", None)
        media = [_result_media(each) for each in response.objects("parts")]
        identifier = calls.result(response.text("id"), name)
        error, texts = parse_result(response.raw("response"), response)
        response.finish()
        if identifier:
            yield ir.ToolResult(identifier, (*texts, *media), name, error)
        signature = ""  # some clients repeat the call's here
    elif fields.has("text"):
        text = fields.text("text")
        if thought:
            if text or signature:
                yield ir.Thinking(text, signature)
            signature = ""
        elif text:
            yield ir.Text(text)
    elif fields.has("inlineData") or fields.has("fileData"):
        yield _media(fields)
    elif thought and signature:
        yield ir.Thinking("", signature)
        signature = ""
    elif own := [name for name in fields.names() if name in _OWN]:
        text = own_tools.told(own[0], fields.value(own[0]))
        if text:
            yield ir.Text(text)
        else:
            foreign.hint(f"{fields.path} ({own[0]})")
    if signature:
        yield ir.Thinking("", signature, redacted=True)
    fields.finish()


_OWN = ("executableCode", "codeExecutionResult", "toolCall", "toolResponse")
"""Parts of Google's own tools."""


def _media(fields: GoogleFields) -> ir.Image | ir.Audio | ir.File:
    """``inlineData`` or ``fileData``, of a part or of a function's response."""
    name = ""
    if (blob := fields.object("inlineData")) is not None:
        media_type = blob.text("mimeType", None)
        source = ir.Source("base64", blob.text("data", None).translate(STANDARD), media_type)
    elif (blob := fields.object("fileData")) is not None:
        uri = blob.text("fileUri", None)
        media_type = blob.text("mimeType") or guess_type(uri)
        source = ir.Source("file" if uri.startswith(FILE_PREFIXES) else "url", uri, media_type)
    else:
        fields.fail("", "must hold inlineData or fileData")
    if media_type.startswith("audio/"):
        blob.finish()
        return ir.Audio(source)
    if media_type.startswith("image/"):
        blob.finish()
        return ir.Image(source, _detail(fields))
    name = blob.text("displayName")
    blob.finish()
    return ir.File(_document(source), name)


def _result_media(fields: GoogleFields) -> ir.Image | ir.File:
    part = _media(fields)
    fields.finish()
    return part if isinstance(part, ir.Image | ir.File) else ir.File(part.source)


def _detail(fields: GoogleFields) -> str:
    resolution = fields.object("mediaResolution")
    if resolution is None:
        return ""
    level = resolution.value("level")
    if isinstance(level, str) and level in DETAILS:
        resolution.finish()
        return DETAILS[level]
    fields.unread("mediaResolution")
    return ""


def _document(source: ir.Source) -> ir.Source:
    """A plain text that came as base64 is a text."""
    if source.kind == "base64" and source.media_type == "text/plain":
        try:
            return ir.Source("text", base64.b64decode(source.data, validate=True).decode(), "text/plain")
        except (binascii.Error, UnicodeDecodeError):
            pass
    return source

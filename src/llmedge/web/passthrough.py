"""What is passed through between a client and a vendor without being understood: uploads in, media out."""

from __future__ import annotations

from collections.abc import Awaitable
from urllib.parse import parse_qs

from twisted.internet.defer import succeed

from llmedge.body import BodyStream
from llmedge.dialects.registry import PASSED
from llmedge.errors import EdgeError, RequestTooLarge, UnsupportedMediaType, ValidationError
from llmedge.model import Answer
from llmedge.streams import Reply
from llmedge.web.answer import send_answer, show_call
from llmedge.web.intake import too_much_held
from llmedge.web.multipart import Multipart, boundary_of
from llmedge.web.relay import Relay
from llmedge.web.request import EdgeRequest
from llmedge.web.spool import Spool
from llmedge.web.upload import HeldUpload


def is_upload(request: EdgeRequest) -> bool:
    """Whether the body is to be streamed: it is one of an endpoint that takes files, and not JSON."""
    return request.body is not None and not media_type(request).endswith(b"/json")


def media_type(request: EdgeRequest) -> bytes:
    return (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()


async def whole_body(request: EdgeRequest, body: BodyStream) -> bytes:
    """The body in one.

    :raises RequestTooLarge: it may be streamed in that size, but is not held.
    :raises Overloaded: too much is held already.
    """
    limit = request.edge.limits.max_request_size
    parts: list[bytes] = []
    size = 0
    while data := await body.read():
        size += len(data)
        if size > limit:
            raise RequestTooLarge(f"A JSON body is over {limit} bytes (server.max_request_size, MAX_REQUEST_SIZE).")
        if not request.keep(size):
            raise too_much_held()
        parts.append(data)
    return b"".join(parts)


async def take_upload(request: EdgeRequest, default: str) -> tuple[HeldUpload, str]:
    """Begin to read a multipart body; with it the name of its model, ``default`` where nobody says another.

    The answer is due ``server.timeout`` seconds after the body is here, which may itself take ``server.body_timeout``
    and as long as the vendor keeps it waiting.

    :raises EdgeError: it is not one that can be passed on.
    """
    if request.getHeader(b"content-encoding") not in (None, b"identity"):
        raise UnsupportedMediaType("Send the body without a content-encoding.")
    boundary = boundary_of(request.getHeader(b"content-type") or b"")
    body, deadline = request.body, request.context.deadline
    assert body is not None
    clock = request.edge.clock

    def due(seconds: float) -> None:
        deadline.at = request.context.received + seconds
        request.context.extend_deadline(seconds)

    def is_read() -> None:
        due(clock.seconds() - request.context.received + deadline.seconds)

    due(request.edge.limits.body_timeout + deadline.seconds)
    length = (request.getHeader(b"content-length") or b"").decode("latin-1")
    edge = request.edge
    upload = HeldUpload(
        boundary,
        Multipart(boundary, *_told(request), default),
        Spool(edge.room, clock),
        body.read,
        int(length) if length.isdecimal() else None,
        edge.limits.max_upload_size,
        is_read,
    )
    request.over.append(lambda request, lost: upload.close())
    model = await upload.begin()
    request.context.record.routing.waited += clock.seconds() - request.context.received  # for the client
    return upload, model


def _told(request: EdgeRequest) -> tuple[str, str]:
    """The model's name in path, query or header, or as the only one that the caller may use, and who says so: its body
    then need not be waited for. What a path says goes before the body, as with Azure."""
    if deployment := request.context.head.deployment:
        return deployment, ""
    query = parse_qs(request.uri.partition(b"?")[2].decode("latin-1"), encoding="utf-8", errors="replace")
    headers = request.requestHeaders.getRawHeaders(b"x-llmedge-model", [])
    told = [*query.get("model", ()), *(value.decode(errors="replace") for value in headers)]
    if len(set(told)) > 1:
        raise ValidationError("The URL and the header x-llmedge-model name different models.", param="model")
    if told and not told[0].isprintable():
        raise ValidationError("The model's name must be in one line.", param="model")
    models = request.context.caller.models
    if not told and len(models) == 1 and not set("*?[").intersection(models[0]):
        return models[0], "what its key may use"
    return told[0] if told else "", "the request's head"


async def pass_on(request: EdgeRequest, reply: Awaitable[Reply]) -> None:
    """Answer with what a vendor answered: a JSON body, events, or bytes of any kind."""
    said = await reply
    if isinstance(said, Answer):
        request.context.record.first_event = request.edge.clock.seconds()
        request.context.begin_answer(request.edge.limits)
        show_call(request)
        await send_answer(request, said)
    else:
        relay = Relay if request.context.record.stream else MediaRelay
        await relay(request, PASSED).run(succeed(said))


class MediaRelay(Relay):
    """Writes a body that is no event stream, as it comes. If it breaks, nothing can be said in it: the connection ends
    with the answer visibly unfinished."""

    def _schedule_beat(self) -> None:
        """Nothing may be written between its bytes."""

    def _begin(self) -> None:
        request = self._request
        if not request.startedWriting:
            show_call(request)
            by = request.context.record.routing.answered_by
            assert by is not None
            request.responseHeaders.setRawHeaders(b"content-type", [by.content_type.encode("latin-1")])
            if by.content_length is not None:
                request.responseHeaders.setRawHeaders(b"content-length", [b"%d" % by.content_length])

    def _fail(self, error: EdgeError) -> None:
        self._stop()
        if not self._request.startedWriting:
            raise error
        self._request.context.record.fail(error)
        self._abort()

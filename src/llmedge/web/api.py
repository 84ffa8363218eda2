"""The inference API: Klein routes under ``/v1``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import msgspec
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed
from werkzeug.exceptions import NotFound as WerkzeugNotFound

from llmedge.dialects.openai_common import OpenAIDialect
from llmedge.errors import (
    DeadlineExceeded,
    EdgeError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    UnsupportedMediaType,
    ValidationError,
)
from llmedge.model import Answer, Call, EventStream, Operation, Reply
from llmedge.pipeline.admit import may_use
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.stage import Handler
from llmedge.web import websocket
from llmedge.web.answer import send_answer, send_body, send_error, send_json
from llmedge.web.relay import Relay, RelayLimits
from llmedge.web.request import EdgeRequest

LARGE = 262144
"""Bytes from which a body is parsed by a thread: more than a millisecond would hold up everybody else."""

log = Logger()


def handle_errors(app: Klein) -> None:
    """Make every failure of ``app``'s routes one of our own JSON errors."""
    app.handle_errors(Exception)(cast(Any, lambda _, request, failure: failed(request, failure)))


def failed(request: EdgeRequest, failure: Failure) -> None:
    """Answer a request whose route failed."""
    send_error(request, as_edge_error(request, failure))


def as_edge_error(request: EdgeRequest, failure: Failure) -> EdgeError:
    """What the client is told of ``failure``; a defect is logged and says nothing."""
    error = failure.value
    if isinstance(error, EdgeError):
        return error
    if isinstance(error, WerkzeugMethodNotAllowed):
        allowed = tuple(sorted(error.valid_methods or ()))
        method = request.method.decode("latin-1")
        return MethodNotAllowed(f"{method} is not allowed here; allowed: {', '.join(allowed)}.", allowed)
    if isinstance(error, WerkzeugNotFound | HTTPException):
        return NotFound("There is nothing at this path. GET / says what there is.")
    log.failure("a request failed", failure=failure, request_id=request.record.request_id)
    return InternalError()


class Api:
    """The routes, the pipeline behind them, and what a client's body must look like."""

    app = Klein()

    def __init__(
        self,
        pipeline: Handler,
        models: ModelIndex,
        dialects: Mapping[Operation, OpenAIDialect],
        limits: RelayLimits,
        started: int,
    ) -> None:
        self._pipeline = pipeline
        self._models = models
        self._dialects = dialects
        self._limits = limits
        self._started = started
        self._listed: dict[tuple[str, ...], bytes] = {}

    @app.route("/v1/chat/completions", methods=["POST"])
    async def chat_completions(self, request: EdgeRequest) -> None:
        await self._infer(request, Operation.CHAT)

    @app.route("/v1/chat/completions", methods=["GET"])
    def chat_socket(self, request: EdgeRequest) -> None:
        if not websocket.wants_upgrade(request):
            raise MethodNotAllowed("GET is for WebSockets here; allowed: POST.", ("POST",))
        websocket.accept(request)

    @app.route("/v1/completions", methods=["POST"])
    async def completions(self, request: EdgeRequest) -> None:
        await self._infer(request, Operation.TEXT)

    @app.route("/v1/models", methods=["GET"])
    def list_models(self, request: EdgeRequest) -> None:
        caller = request.caller
        listed = self._listed.get(caller.models)  # one list for each set of patterns in the configuration
        if listed is None:
            names = [name for name in self._models.names() if may_use(caller, name)]
            document = {"object": "list", "data": [self._model(name) for name in names]}
            listed = self._listed[caller.models] = msgspec.json.encode(document)
        send_body(request, 200, listed)

    @app.route("/v1/models/<path:model>", methods=["GET"])
    def get_model(self, request: EdgeRequest, model: str) -> None:
        if not may_use(request.caller, model) or self._models.find(model) is None:
            raise NotFound(f"The model '{model}' does not exist here.", param="model")
        send_json(request, 200, self._model(model))

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self._started, "owned_by": self._models.owner(name)}

    async def _infer(self, request: EdgeRequest, operation: Operation) -> None:
        dialect = self._dialects[operation]
        call = await self._call(request, operation, dialect)
        reply: Deferred[Reply] = Deferred.fromCoroutine(cast(Any, self._pipeline(call)))
        if call.stream:
            work = Deferred.fromCoroutine(
                Relay(request, dialect, self._limits).run(cast("Deferred[EventStream]", reply))
            )
        else:
            work = Deferred.fromCoroutine(self._whole(request, reply))
        request.work = work
        try:
            await work
        except CancelledError:
            self._cancelled(request)

    async def _whole(self, request: EdgeRequest, reply: Deferred[Reply]) -> None:
        answer = await reply
        assert isinstance(answer, Answer)
        request.record.first_event = request.site.clock.seconds()
        request.extend_deadline(self._limits.stream_timeout)
        await send_answer(request, answer.body, self._limits.write_timeout)

    def _cancelled(self, request: EdgeRequest) -> None:
        if request._disconnected:
            return
        if request.expired:
            error = DeadlineExceeded(f"No complete answer within {request.deadline.seconds:g} s.")
            request.record.fail(error, "timeout")
            raise error
        raise CancelledError

    async def _call(self, request: EdgeRequest, operation: Operation, dialect: OpenAIDialect) -> Call:
        content_type = (request.getHeader(b"content-type") or b"").partition(b";")[0].strip().lower()
        if content_type != b"application/json":
            raise UnsupportedMediaType("Send the body as content-type: application/json.")
        if request.getHeader(b"content-encoding") not in (None, b"identity"):
            raise UnsupportedMediaType("Send the body without a content-encoding.")
        body = request.content.read()
        site = request.site
        depth = site.limits.max_json_depth
        if len(body) < LARGE:
            parsed = dialect.parse_request(body, depth)
        else:
            pool = site.clock.getThreadPool()
            parsed = await deferToThreadPool(site.clock, pool, dialect.parse_request, body, depth)
        if len(parsed.model) > 256:
            raise ValidationError("The field 'model' is longer than 256 characters.", param="model")
        record = request.record
        record.model = parsed.model
        record.stream = parsed.stream
        record.message_count = parsed.message_count
        return Call(
            operation=operation,
            dialect=dialect.name,
            model=parsed.model,
            fields=parsed.fields,
            stream=parsed.stream,
            wants_usage=parsed.wants_usage,
            choices=parsed.choices,
            caller=request.caller,
            deadline=request.deadline,
            record=record,
        )


handle_errors(Api.app)

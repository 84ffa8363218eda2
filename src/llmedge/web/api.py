"""The inference API: what answers the endpoints of ``operations`` under ``/v1``."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Collection, Mapping
from functools import partial
from typing import Any, cast

import msgspec
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException
from werkzeug.exceptions import MethodNotAllowed as WerkzeugMethodNotAllowed

from llmedge.call import Call, Match, RoutingHints
from llmedge.dialects.dialect import CountingDialect, Dialect, Request
from llmedge.dialects.registry import DIALECTS
from llmedge.dialects.weight import check_items
from llmedge.driver import CoroutineDriver
from llmedge.errors import (
    EdgeError,
    InternalError,
    MethodNotAllowed,
    NotFound,
    PermissionDenied,
    UnsupportedMediaType,
    ValidationError,
)
from llmedge.model import Answer
from llmedge.operations import Endpoint, Operation
from llmedge.pipeline.models import ModelIndex
from llmedge.pipeline.stage import Handler
from llmedge.pipeline.vendor_models import VendorModels
from llmedge.streams import ReplyStream
from llmedge.threads import FEW, LARGE, in_thread, is_heavy
from llmedge.web import websocket
from llmedge.web.answer import SLICE, send_answer, send_body, send_error, send_json, show_call
from llmedge.web.cache_wishes import CACHE_HEADERS, cache_wish
from llmedge.web.head import header_in, values_in
from llmedge.web.limits import deadline_exceeded
from llmedge.web.listing import OPENAI_SHAPE, SHAPES, Listed
from llmedge.web.marks import marks_of
from llmedge.web.passthrough import is_upload, media_type, pass_on, take_upload, whole_body
from llmedge.web.paths import dialect_of, endpoint_of, nothing_at
from llmedge.web.relay import Relay
from llmedge.web.request import EdgeRequest
from llmedge.web.routes import declare, not_allowed
from llmedge.web.told import Told

log = Logger()
_encode = msgspec.json.encode


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
        return not_allowed(request, error.valid_methods or ())
    if isinstance(error, HTTPException):
        return nothing_at(request.path)
    log.failure("a request failed", failure=failure, request_id=request.context.record.request_id)
    return InternalError()


class Api:
    """The routes, the pipeline behind them, and what a client's body must look like.

    :param origins: of web pages that may open a WebSocket; ``"*"`` for all.
    :param default_models: by :attr:`~llmedge.operations.Endpoint.unnamed`.
    :param told: what access lines have of a request besides.
    """

    app = Klein()

    def __init__(
        self,
        handlers: Mapping[Operation, Handler],
        models: ModelIndex,
        vendors: VendorModels,
        started: int,
        origins: Collection[str] = (),
        default_models: Mapping[str, str] | None = None,
        told: Told | None = None,
        guarded: bool = True,
    ) -> None:
        self._guarded = guarded
        self._default_models = default_models or {}
        self._told = told or None
        self._handlers = handlers
        self._models = models
        self._vendors = vendors
        self._started = started
        self._origins = origins
        self._listed: dict[tuple[Any, ...], tuple[int, bytes]] = {}

    def infer(self, request: EdgeRequest) -> Any:  # CoroutineDriver, which Klein does not know and never sees
        endpoint = request.context.head.endpoint
        assert endpoint is not None, "its row has led here"
        request.context.work = CoroutineDriver(self._infer(request, endpoint))
        return request.context.work

    def pass_through(self, request: EdgeRequest) -> Deferred[None]:
        endpoint = endpoint_of(request.path, request.method)
        assert endpoint is not None, "its row has led here"
        work = request.context.work = Deferred.fromCoroutine(self._pass_through(request, endpoint))
        return work

    def infer_of_model(self, request: EdgeRequest, model: str, provider: str = "") -> Deferred[None]:
        endpoint = endpoint_of(request.path)
        if endpoint is None:
            raise nothing_at(request.path)
        if endpoint.streams == "path" and b"alt=sse" not in request.uri:
            raise ValidationError("Streams are sent as events: add ?alt=sse to the URL.", param="alt")
        work = request.context.work = Deferred.fromCoroutine(self._infer(request, endpoint))
        return work

    def chat_socket(self, request: EdgeRequest) -> None:
        if not websocket.wants_upgrade(request):
            raise MethodNotAllowed("GET is for WebSockets here; allowed: POST.", ("POST",))
        if not websocket.may_open(request, self._origins):
            raise PermissionDenied("This origin may not open a WebSocket (cors.origins).")
        websocket.accept(request)

    async def list_models(self, request: EdgeRequest) -> None:
        request.context.work = Deferred.fromCoroutine(self._vendors.ready())
        try:
            await request.context.work
        except CancelledError:
            self._cancelled(request)
            return
        caller, version = request.context.caller, self._vendors.version
        key = (
            dialect_of(request),
            caller.models,
            caller.models_above,
        )  # one list for each set of patterns
        made, listed = self._listed.get(key, (-1, b""))
        if made != version:
            names = sorted({*self._models.names(), *self._vendors.names()})
            _, shape = SHAPES.get(key[0], OPENAI_SHAPE)
            listed = msgspec.json.encode(shape([self._model(name) for name in names if caller.may_use(name)]))
            self._listed[key] = (version, listed)
        send_body(request, 200, listed)

    def get_model(self, request: EdgeRequest, id: str) -> None:
        if not request.context.caller.may_use(id) or self._models.find(id) is None:
            raise NotFound(f"The model '{id}' does not exist here.", param="model")
        shape, _ = SHAPES.get(dialect_of(request), OPENAI_SHAPE)
        send_json(request, 200, shape(self._model(id)))

    def _model(self, name: str) -> Listed:
        told = self._vendors.names().get(name)
        if told is not None:
            provider, model = told
            return Listed(name, provider, self._started, model.context, model.output)
        match = self._models.find(name)
        if match is None:
            return Listed(name, "", self._started)
        first = match.candidates[0]
        known = first.capabilities
        return Listed(name, first.target.provider, self._started, known.context, known.max_output)

    async def _infer(self, request: EdgeRequest, endpoint: Endpoint) -> None:
        dialect = DIALECTS[endpoint.dialect]
        try:
            call = self._call_now(request, endpoint, dialect) or await self._call(request, endpoint, dialect)
            reply = self._handlers[call.operation](call)
            if call.stream:
                await Relay(request, dialect).run(cast("Awaitable[ReplyStream]", reply))
                return
            answer = await reply
            assert isinstance(answer, Answer)
            request.context.record.first_event = request.edge.clock.seconds()
            show_call(request)
            if len(answer.body) <= SLICE:
                send_body(request, 200, answer.body, answer.content_type)
            else:
                request.context.begin_answer(request.edge.limits)
                await send_answer(request, answer)
        except CancelledError:
            self._cancelled(request)

    async def _pass_through(self, request: EdgeRequest, endpoint: Endpoint) -> None:
        dialect = DIALECTS[endpoint.dialect]
        try:
            if is_upload(request):
                try:
                    upload, model = await take_upload(request, self._default_models.get(endpoint.unnamed, ""))
                except ValidationError as error:
                    raise self._unnamed(error, endpoint) from None
                call = self._called(request, endpoint, dialect, Request({}, model, False, False, 1, None))
                call.upload = upload
            else:
                call = await self._call(request, endpoint, dialect)
            await pass_on(request, self._handlers[call.operation](call))
        except CancelledError:
            self._cancelled(request)

    def _cancelled(self, request: EdgeRequest) -> None:
        if request._disconnected:
            return
        if request.context.expired:
            raise deadline_exceeded(request)
        raise CancelledError

    def _call_now(self, request: EdgeRequest, endpoint: Endpoint, dialect: Dialect) -> Call | None:
        """What is asked, where it is found out at once; else ask :meth:`_call`, which raises the same."""
        if request.body is not None or request.size >= LARGE:
            return None
        if not request.context.head.is_json:
            _expect_json(request)
        body = request.content.read()
        if request.size >= FEW and is_heavy(body):
            request.content.seek(0)
            return None
        request.context.record.bytes_in = request.size
        parsed = self._parse(request, endpoint, dialect, body)
        return self._called(request, endpoint, dialect, parsed)

    async def _call(self, request: EdgeRequest, endpoint: Endpoint, dialect: Dialect) -> Call:
        _expect_json(request)
        edge = request.edge
        body = request.content.read() if request.body is None else await whole_body(request, request.body)
        request.context.record.bytes_in = len(body)
        heavy = is_heavy(body)
        asked = request, endpoint, dialect, body
        parsed = await in_thread(edge.clock, self._parse, *asked) if heavy else self._parse(*asked)
        call = self._called(request, endpoint, dialect, parsed)
        call.heavy = heavy
        return call

    def _parse(self, request: EdgeRequest, endpoint: Endpoint, dialect: Dialect, body: bytes) -> Request:
        """Read ``body``, maybe in a thread.

        :raises ValidationError: it is no request of this operation.
        """
        parse = dialect.parse_request
        if endpoint.operation is Operation.COUNT_TOKENS:
            assert isinstance(dialect, CountingDialect)
            parse = dialect.parse_count_request
        limits = request.edge.limits
        if len(body) > limits.max_items:
            check_items(body, limits.max_items)
        depth = limits.max_json_depth
        if deployment := request.context.head.deployment:
            body = _naming(deployment, body)
        if not endpoint.unnamed:
            return parse(body, depth, model=endpoint.model, stream=endpoint.streams == "path")
        try:
            return parse(body, depth, model=self._default_models.get(endpoint.unnamed, endpoint.model))
        except ValidationError as error:
            raise self._unnamed(error, endpoint) from None

    def _unnamed(self, error: ValidationError, endpoint: Endpoint) -> ValidationError:
        """``error``, with the setting that would spare the client the model's name, where it is about that."""
        if error.param == "model" and endpoint.unnamed and endpoint.unnamed not in self._default_models:
            error.message += f" A default is set by routing.default_models.{endpoint.unnamed}."
        return error

    def _called(self, request: EdgeRequest, endpoint: Endpoint, dialect: Dialect, parsed: Request) -> Call:
        if len(parsed.model) > 256:
            raise ValidationError("The field 'model' is longer than 256 characters.", param="model")
        if self._models.timed and (match := self._models.find(parsed.model)) is not None:
            _allow_time(request, match)
        record, head = request.context.record, request.context.head
        record.model = parsed.model
        record.stream = parsed.stream
        record.message_count = parsed.message_count
        hints = head.hints
        if hints is None:
            hints = _hints(request)
            if hints.guardrails and not self._guarded:
                raise ValidationError("There are no guardrails here that a call could add.", param="guardrails")
            head.hints = hints
        if self._told is not None:
            self._told.note(record, parsed.fields, head.table, hints.tags)
        marks = head.marks
        if marks is None:
            marks = head.marks = marks_of(dialect.name, head.table, request.uri)
        return Call(
            endpoint.operation,
            dialect.name,
            parsed.model,
            parsed.fields,
            parsed.stream,
            parsed.wants_usage,
            parsed.choices,
            request.context.caller,
            request.context.deadline,
            record,
            marks,
            hints,
            head.timeout or 0.0,
        )


def _allow_time(request: EdgeRequest, match: Match) -> None:
    """Give a request the time of its model. A client that named its own may have as much as that, too."""
    context, limits = request.context, request.edge.limits
    if match.timeout is not None:
        wished = context.head.timeout
        most = max(match.timeout, limits.max_timeout, limits.timeout)
        context.allow(min(wished, most) if wished else match.timeout)
    if match.stream_timeout is not None:
        context.stream_timeout = match.stream_timeout


def _naming(model: str, body: bytes) -> bytes:
    """``body`` with ``model`` for its model; one that is no object as it is, for the dialect to say so."""
    try:
        return _encode(msgspec.json.decode(body, type=dict[str, msgspec.Raw]) | {"model": msgspec.Raw(_encode(model))})
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return body


def _expect_json(request: EdgeRequest) -> None:
    """:raises UnsupportedMediaType: the body is something else."""
    if media_type(request) != b"application/json":
        raise UnsupportedMediaType("Send the body as content-type: application/json.")
    if request.getHeader(b"content-encoding") not in (None, b"identity"):
        raise UnsupportedMediaType("Send the body without a content-encoding.")
    request.context.head.is_json = True


_WISHES = frozenset(
    {b"X-Llmedge-Retries", b"X-Llmedge-No-Fallback", b"X-Llmedge-Tags", b"X-Llmedge-Guardrails", *CACHE_HEADERS}
)
"""As twisted writes them."""


def _hints(request: EdgeRequest) -> RoutingHints:
    """What the client says about routing, the cache and guardrails, in headers.

    :raises ValidationError: it makes no sense.
    """
    table = request.context.head.table
    header = partial(header_in, table)
    if _WISHES.isdisjoint(table):
        return RoutingHints(header=header)  # nearly always
    retries = header("x-llmedge-retries")
    if retries is not None and not re.fullmatch(r"\d{1,3}", retries):
        raise ValidationError("The header x-llmedge-retries must be a whole number.", param="x-llmedge-retries")
    alone = (header("x-llmedge-no-fallback") or "").lower()
    if alone not in ("", "0", "1", "false", "true"):
        raise ValidationError("The header x-llmedge-no-fallback must be true or false.", param="x-llmedge-no-fallback")
    tags = frozenset(_listed(header("x-llmedge-tags") or ""))
    wish, guards = cache_wish(table), b",".join(values_in(table, "x-llmedge-guardrails")).decode("latin-1")
    return RoutingHints(
        None if retries is None else int(retries), alone in ("1", "true"), tags, header, wish, tuple(_listed(guards))
    )


def _listed(value: str) -> list[str]:
    """What a header lists (RFC 9110, 5.6.1)."""
    return [name for part in value.split(",") if (name := part.strip())]


declare(Api.app, Api)
handle_errors(Api.app)

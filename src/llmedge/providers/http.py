"""Vendors that speak a dialect over HTTP."""

from __future__ import annotations

from urllib.parse import quote, urlsplit

from llmedge._version import __version__
from llmedge.config.settings import Upstream
from llmedge.dialects.dialect import Dialect, StreamReader, VendorError
from llmedge.dialects.gemini_embeddings import GeminiEmbeddings
from llmedge.dialects.registry import DIALECTS, PASSED
from llmedge.errors import (
    EdgeError,
    ElsewhereError,
    NotFound,
    UpstreamMalformed,
    UpstreamTimeout,
    UpstreamTooLarge,
    VendorFailed,
)
from llmedge.model import Answer, Attempt, Call, Clock, Event, EventKind, Operation, Reply, Usage
from llmedge.providers.failures import failure_for, parse_retry_after
from llmedge.providers.offer import Offer
from llmedge.providers.passthrough import EVENTS, JSON, note_media, reader_for
from llmedge.providers.wire import Wire, count_wire_for, no_way, wire_for
from llmedge.threads import aside
from llmedge.upstream.client import Client
from llmedge.upstream.connection import Exchange


class HttpProvider:
    """One vendor behind a base URL. Of the client's headers only those its dialect passes on are sent.

    :param clock: the reactor: large bodies are rendered and read in its threads.
    """

    def __init__(self, name: str, offer: Offer, client: Client, limits: Upstream, clock: Clock) -> None:
        self.name = name
        self._offer = offer
        self._limits = limits
        self._clock = clock
        self._pool = client.pool_for(offer.base_url)
        spoken = [DIALECTS[dialect] for dialect in offer.paths]
        self._wires: dict[str, Wire | None] = {
            asked: wire_for(dialect, spoken, quirks=offer.quirks, stream_usage=offer.stream_usage, name=name)
            for asked, dialect in DIALECTS.items()
        }
        counting = [DIALECTS[dialect] for dialect in offer.count_paths]
        self._counts = {asked: count_wire_for(dialect, counting, name) for asked, dialect in DIALECTS.items()}
        self._fields = self._head_fields()
        self._heads: dict[str, bytes] = {}

    async def complete(self, call: Call, attempt: Attempt) -> Reply:
        if call.operation.passes_through:
            return await self._pass_through(call, attempt)
        counts = call.operation is Operation.COUNT_TOKENS
        wire = (self._counts if counts else self._wires)[call.dialect]
        if wire is None:
            raise no_way(self.name, call.operation)
        model = attempt.target.model
        drop = self._offer.drop if attempt.target.drop is None else attempt.target.drop
        body = await aside(self._clock, call.record.bytes_in, wire.body, call, model, drop)
        request = await self._request(call, attempt, wire.spoken, body)
        exchange: Exchange | None = None
        try:
            exchange = await self._pool.send(request, attempt, call.record)
            await self._check(exchange, attempt, wire.spoken)
            created = int(self._clock.seconds())
            if call.stream:
                await self._expect_stream(wire.spoken, exchange)
                return HttpStream(self, exchange, wire.reader(call, self._limits.max_event_size, created), attempt)
            answer = await exchange.read_all()
            return await aside(self._clock, len(answer), wire.answer, answer, call, created)
        except BaseException as error:
            if exchange is not None:
                exchange.abort()
            if isinstance(error, ElsewhereError) and not error.message.startswith("The provider"):
                raise self.blame(error) from None
            raise

    async def _pass_through(self, call: Call, attempt: Attempt) -> Reply:
        """An operation that is not translated: the body as it came, but for the model, and the answer likewise."""
        template = self._offer.passthrough.get(call.operation.value)
        if template is None:
            raise no_way(self.name, call.operation)
        record, model, upload = call.record, attempt.target.model, call.upload
        body = None if upload is None else upload.open(model)
        if body is None:
            data = PASSED.forward(call.fields, model, stream=call.stream, ask_usage=False)
            framing, kind = f"content-length: {len(data)}", "application/json"
        else:
            assert upload is not None
            data, kind = b"", upload.content_type
            framing = "transfer-encoding: chunked" if body.length is None else f"content-length: {body.length}"
        path = self._path(template, model)
        passed = dict(self._offer.fixed)
        if self._offer.signer is not None:
            passed |= await self._offer.signer.headers("POST", self._offer.origin + path, data)
        more = "".join(f"{name}: {value}\r\n" for name, value in passed.items())
        fields = self._fields.replace("content-type: application/json\r\n", f"content-type: {kind}\r\n")
        trace = b"" if record.trace is None else record.trace.headers(attempt.span_id)
        head = (
            f"POST {path} HTTP/1.1\r\n{fields}accept: */*\r\nx-request-id: {record.request_id}\r\n{more}{framing}\r\n"
        )
        exchange: Exchange | None = None
        try:
            exchange = await self._pool.send(head.encode() + trace + b"\r\n" + data, attempt, record, body)
            await self._check(exchange, attempt, PASSED)
            media = note_media(attempt, exchange.fields)
            record.stream = media == EVENTS
            if media == JSON:
                answer = await exchange.read_all()
                return Answer(answer, await aside(self._clock, len(answer), PASSED.read_answer, answer))
            reader = reader_for(media, call, self._limits.max_event_size)
            return HttpStream(self, exchange, reader, attempt, since=self._clock.seconds())
        except BaseException as error:
            if exchange is not None:
                exchange.abort()
            if isinstance(error, ElsewhereError) and not error.message.startswith("The provider"):
                raise self.blame(error) from None
            raise

    async def _check(self, exchange: Exchange, attempt: Attempt, spoken: Dialect) -> None:
        """:raises EdgeError: the answer is an error, or not one that was asked for."""
        status = exchange.status
        attempt.upstream_request_id = exchange.fields.get(b"x-request-id", b"").decode("latin-1")[:128]
        if not 200 <= status < 300:
            raise await self._failure(spoken, status, exchange)
        encoding = exchange.fields.get(b"content-encoding", b"identity").lower()
        if encoding != b"identity":
            raise UpstreamMalformed("compressed its answer although it was asked not to")

    async def _request(self, call: Call, attempt: Attempt, spoken: Dialect, body: bytes) -> bytes:
        """Head and body."""
        if call.operation is Operation.COUNT_TOKENS:
            template = self._offer.count_paths[spoken.name]
        else:
            template = self._offer.path(spoken.name, call.stream)
            same = spoken.name == call.dialect
            if same and isinstance(spoken, GeminiEmbeddings) and not spoken.is_batch(call.fields):
                template = template.replace(":batchEmbedContents", ":embedContent")
        head = self._heads.get(template)
        if head is None or self._offer.signer is not None:
            path = self._path(template, attempt.target.model)
            head = f"POST {path} HTTP/1.1\r\n{self._fields}".encode()
            if "{model}" not in template:
                self._heads[template] = head
        passed = dict(call.headers) if call.headers and spoken.name == call.dialect else {}
        passed = {**spoken.headers, **self._offer.fixed, **passed}
        if self._offer.signer is not None:
            passed |= await self._offer.signer.headers("POST", self._offer.origin + path, body)
        more = "".join([f"{name}: {value}\r\n" for name, value in passed.items()]).encode() if passed else b""
        trace = call.record.trace
        return b"%baccept: %b\r\nx-request-id: %b\r\n%b%bcontent-length: %d\r\n\r\n%b" % (
            head,
            spoken.stream_type if call.stream else b"application/json",
            call.record.request_id.encode(),
            b"" if trace is None else trace.headers(attempt.span_id),
            more,
            len(body),
            body,
        )

    def _path(self, template: str, model: str) -> str:
        if "{model}" in template:
            if model in (".", ".."):
                raise NotFound(f"The model '{model}' does not exist.", param="model")
            template = template.replace("{model}", quote(model, safe=""))
        return template

    def _head_fields(self) -> str:
        fields = {
            "host": urlsplit(self._offer.base_url).netloc,
            "user-agent": f"llmedge/{__version__}",
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        fields |= {name: secret.reveal() for name, secret in self._offer.headers.items()}
        return "".join(f"{name}: {value}\r\n" for name, value in fields.items())

    def blame(self, error: ElsewhereError) -> ElsewhereError:
        """The error as a sentence about this provider, without its credential."""
        error.message = self._scrub(error.message)
        return error.of(self.name)

    async def _failure(self, dialect: Dialect, status: int, exchange: Exchange) -> EdgeError:
        try:
            error = dialect.parse_error(await exchange.read_all())
        except ElsewhereError:
            error = VendorError()  # it failed even to say why
        error = VendorError(
            message=self._scrub(error.message)[:4096],
            type=self._scrub(error.type),
            code=self._scrub(error.code),
            param=self._scrub(error.param)[:256] if error.param else None,
        )
        retry_after = parse_retry_after(exchange.fields, self._clock.seconds())
        return failure_for(self.name, status, error, retry_after)

    async def _expect_stream(self, dialect: Dialect, exchange: Exchange) -> None:
        content_type = exchange.fields.get(b"content-type", b"").lower()
        if content_type.startswith(dialect.stream_type):
            return
        if b"json" in content_type:
            try:
                error = dialect.parse_error(await exchange.read_all())
            except UpstreamTooLarge:
                error = VendorError()
            if error.message:
                raise VendorFailed(f"answered with an error behind status 200: {error.message}", cause="error_body")
        raise UpstreamMalformed("was asked for a stream and answered with something else")

    def _scrub(self, text: str) -> str:
        for secret in self._offer.headers.values():
            for word in secret.reveal().split():  # "Bearer KEY"
                if len(word) >= 4 and word != "Bearer":
                    text = text.replace(word, "***")
        return text


COMPLETE_WAIT = 1.0
"""Seconds a vendor has to send the terminal event, or usage, after the last finish reason."""


class HttpStream:
    """A vendor's stream as events for the client.

    :param since: from when on its first content is waited for, where that is not when its connection was there.
    """

    def __init__(
        self,
        provider: HttpProvider,
        exchange: Exchange,
        reader: StreamReader,
        attempt: Attempt,
        since: float | None = None,
    ) -> None:
        self._since = since
        self._provider = provider
        self._exchange = exchange
        self._reader = reader
        self._attempt = attempt
        self._content = False

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

    @property
    def skipped(self) -> int:
        """Malformed events left out so far."""
        return self._reader.skipped

    async def next(self) -> list[Event]:
        try:
            while True:
                if self._reader.broken is not None:
                    raise self._reader.broken
                try:
                    data = await self._read()
                except UpstreamTimeout:
                    if not self._reader.complete:
                        raise
                    data = b""  # the answer is whole, and its vendor sends no terminal event
                events = self._reader.feed(data) if data else self._reader.end()
                if events:
                    break
        except BaseException as error:
            self._exchange.abort()
            if isinstance(error, ElsewhereError) and not error.message.startswith("The provider"):
                raise self._provider.blame(error) from None
            raise
        if not self._content and any(event.kind is not EventKind.LIFECYCLE for event in events):
            self._content = True
            self._attempt.first_event = self._provider._clock.seconds()
        if events[-1].kind is EventKind.DONE:
            self._exchange.drain()
        return events

    def abort(self) -> None:
        self._exchange.abort()

    async def _read(self) -> bytes:
        if self._reader.complete:
            return await self._exchange.read(COMPLETE_WAIT, "end its answer")
        if self._content:
            return await self._exchange.read()
        patience = self._provider._limits.first_token_timeout
        if patience:
            since = self._since or self._attempt.connected or self._attempt.started
            spent = self._provider._clock.seconds() - since
            patience = max(0.001, patience - spent)
        return await self._exchange.read(patience, "send the first content of its answer")

"""Vendors that speak a dialect over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

from llmedge._version import __version__
from llmedge.config.settings import Provider as ProviderSettings
from llmedge.config.settings import Upstream
from llmedge.dialects.dialect import Dialect, StreamReader, VendorError
from llmedge.errors import EdgeError, ElsewhereError, UpstreamMalformed, UpstreamTooLarge, VendorFailed
from llmedge.model import Answer, Attempt, Call, Clock, Event, EventKind, Operation, Reply, Usage
from llmedge.providers.failures import failure_for, parse_retry_after
from llmedge.upstream.client import Client
from llmedge.upstream.connection import Exchange

_PATHS = {"openai_chat": "/chat/completions", "openai_text": "/completions"}


class HttpProvider:
    """One vendor behind a base URL. Of the client's headers nothing is sent on; all that is sent is set here."""

    def __init__(
        self,
        name: str,
        settings: ProviderSettings,
        dialects: Mapping[Operation, Dialect],
        client: Client,
        limits: Upstream,
        clock: Clock,
    ) -> None:
        self.name = name
        self._settings = settings
        self._dialects = dialects
        self._limits = limits
        self._clock = clock
        self._pool = client.pool_for(settings.base_url)
        self._heads = {operation: self._head(_PATHS[dialect.name]) for operation, dialect in dialects.items()}

    async def complete(self, call: Call, attempt: Attempt) -> Reply:
        dialect = self._dialects[call.operation]
        body = dialect.forward(
            call.fields, attempt.target.model, stream=call.stream, ask_usage=self._settings.stream_usage
        )
        trace = call.record.trace
        request = b"%b%b\r\nx-request-id: %b\r\n%bcontent-length: %d\r\n\r\n%b" % (
            self._heads[call.operation],
            b"text/event-stream" if call.stream else b"application/json",
            call.record.request_id.encode(),
            b"" if trace is None else trace.headers(attempt.span_id),
            len(body),
            body,
        )
        exchange: Exchange | None = None
        try:
            exchange = await self._pool.send(request, attempt, call.record)
            status = exchange.status
            attempt.upstream_request_id = exchange.fields.get(b"x-request-id", b"").decode("latin-1")[:128]
            if not 200 <= status < 300:
                raise await self._failure(dialect, status, exchange)
            encoding = exchange.fields.get(b"content-encoding", b"identity").lower()
            if encoding != b"identity":
                raise UpstreamMalformed("compressed its answer although it was asked not to")
            if call.stream:
                await self._expect_stream(dialect, exchange)
                reader = dialect.reader(
                    strip_usage=not call.wants_usage,
                    choices=call.choices,
                    max_event=self._limits.max_event_size,
                )
                return HttpStream(self, exchange, reader, attempt)
            answer = await exchange.read_all()
            return Answer(answer, dialect.read_answer(answer))
        except BaseException as error:
            if exchange is not None:
                exchange.abort()
            if isinstance(error, ElsewhereError) and not error.message.startswith("The provider"):
                raise self.blame(error) from None
            raise

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
        if content_type.startswith(b"text/event-stream"):
            return
        if b"json" in content_type:
            try:
                error = dialect.parse_error(await exchange.read_all())
            except UpstreamTooLarge:
                error = VendorError()
            if error.message:
                raise VendorFailed(f"answered with an error behind status 200: {error.message}")
        raise UpstreamMalformed("was asked for a stream and answered with something else")

    def _scrub(self, text: str) -> str:
        secrets = [self._settings.api_key, *self._settings.headers.values()]
        for secret in secrets:
            if secret is not None and len(secret.reveal()) >= 4:
                text = text.replace(secret.reveal(), "***")
        return text

    def _head(self, path: str) -> bytes:
        parts = urlsplit(self._settings.base_url)
        fields = {
            "host": parts.netloc,
            "user-agent": f"llmedge/{__version__}",
            "content-type": "application/json",
            "accept-encoding": "identity",
        }
        if self._settings.api_key is not None:
            fields["authorization"] = f"Bearer {self._settings.api_key.reveal()}"
        fields |= {name: secret.reveal() for name, secret in self._settings.headers.items()}
        lines = [f"POST {parts.path}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "accept: "]).encode()


class HttpStream:
    """A vendor's stream as events for the client."""

    def __init__(self, provider: HttpProvider, exchange: Exchange, reader: StreamReader, attempt: Attempt) -> None:
        self._provider = provider
        self._exchange = exchange
        self._reader = reader
        self._attempt = attempt
        self._content = False

    @property
    def usage(self) -> Usage | None:
        return self._reader.usage

    async def next(self) -> list[Event]:
        try:
            while True:
                if self._reader.broken is not None:
                    raise self._reader.broken
                data = await self._read()
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
        if self._content:
            return await self._exchange.read()
        patience = self._provider._limits.first_token_timeout
        if patience:
            spent = self._provider._clock.seconds() - (self._attempt.connected or self._attempt.started)
            patience = max(0.001, patience - spent)
        return await self._exchange.read(patience, "send the first content of its answer")

"""Vendors that speak a dialect over HTTP."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from functools import partial

import attrs
import msgspec

from llmedge.call import Call
from llmedge.config.header_lists import matcher
from llmedge.config.sections.upstream import Upstream
from llmedge.dialects.billing import tier
from llmedge.dialects.dialect import Dialect, StreamReader, VendorError
from llmedge.dialects.lenient import UNREADABLE
from llmedge.dialects.registry import PASSED
from llmedge.dialects.sse import BOM
from llmedge.dialects.surrogates import mend, mending
from llmedge.errors import (
    EdgeError,
    TargetError,
    UpstreamMalformed,
    UpstreamTimeout,
    VendorFailed,
    VendorRateLimited,
    VendorRejectedCredentials,
    VendorUnavailable,
)
from llmedge.model import Answer, Clock, Event, EventKind, Target, Usage
from llmedge.operations import Operation
from llmedge.providers.failures import as_trouble, failure_for
from llmedge.providers.listing import QUERIES
from llmedge.providers.listing import parse as parse_list
from llmedge.providers.passthrough import EVENTS, JSON, is_asked_for, note_media, reader_for
from llmedge.providers.provider import ModelInfo
from llmedge.providers.requests import Requests
from llmedge.providers.spec import ProviderSpec
from llmedge.providers.translation import Translation, no_way
from llmedge.providers.waits import (
    REMAINING,
    parse_rate,
    parse_retry_after,
    parse_should_retry,
    wait_in_body,
    wait_in_words,
)
from llmedge.record import Attempt, Routing
from llmedge.streams import Batch, Reply, ReplyStream, Wake, WholeStream
from llmedge.threads import LARGE, maybe_in_thread
from llmedge.upstream.client import Client
from llmedge.upstream.decoded import decoded
from llmedge.upstream.exchange import ANSWERING, CONTENT, END, Body, Exchange

_encode = msgspec.json.Encoder().encode
_decode_list = msgspec.json.Decoder(list[msgspec.Raw]).decode
_TIER = b"x-gemini-service-tier"
_TELLING = REMAINING | {_TIER}
"""Headers of an answer that say something of the next ones, or of what it costs."""
_NO_ENDPOINT = (404, 405, 501)
"""How a server says that it does not count tokens, which is no failure: they are counted here then."""
_MAY_WAIT = (429, 503, 529)
"""Statuses of who may be well again at a time that it tells."""


class HttpProvider:
    """One vendor behind a base URL.

    :param clock: the reactor: large bodies are rendered and read in its threads.
    """

    def __init__(self, name: str, spec: ProviderSpec, client: Client, limits: Upstream, clock: Clock) -> None:
        self.name = name
        self._spec = spec
        self._limits = limits
        self._clock = clock
        self._pool = client.pool_for(spec.base_url)
        self._is_shown = matcher(spec.show_headers)
        self._requests = Requests(name, spec, clock)
        self._variants = [(pattern, Requests(name, each, clock)) for pattern, each in spec.variants.items()]

    def mark_prompts(self) -> None:
        """See :class:`~llmedge.providers.provider.MarksPrompts`."""
        for requests in (self._requests, *(each for _, each in self._variants)):
            requests.mark()

    async def complete(self, call: Call, attempt: Attempt) -> Reply:
        if call.operation.passes_through:
            return await self._pass_through(call, attempt)
        requests = self._requests
        for pattern, others in self._variants:
            if fnmatchcase(attempt.target.model, pattern):
                requests = others
        translation = requests.translation(call)
        exchange: Body | None = None
        try:
            request = requests.request_now(call, attempt, translation) or await requests.request(
                call, attempt, translation
            )
            exchange = sent = await self._pool.send(request, attempt, call.record.routing)
            if not self._is_good(sent, attempt):
                exchange = decoded(sent, self._limits)
                if call.operation is Operation.COUNT_TOKENS and exchange.status in _NO_ENDPOINT:
                    await exchange.read_all()
                    raise no_way(self.name, call.operation)
                await self._check(exchange, translation.vendor_dialect)
            created = int(attempt.first_byte or self._clock.seconds())
            if call.stream:
                kind = exchange.fields.get(b"content-type", b"").lower()
                if not kind.startswith(translation.vendor_dialect.stream_type):
                    return await self._whole(call, exchange, translation, attempt)
                reader = translation.reader(call, attempt.target, self._limits.max_event_size, created)
                return HttpStream(self, exchange, reader, attempt)
            answer = await exchange.read_all()
            try:
                if len(answer) < LARGE:
                    return translation.answer(answer, call, attempt.target, created)
                return await maybe_in_thread(
                    self._clock, len(answer), translation.answer, answer, call, attempt.target, created
                )
            except UpstreamMalformed:
                if answer.startswith(BOM):
                    return translation.answer(answer.removeprefix(BOM), call, attempt.target, created)
                if not is_asked_for(call, translation, exchange.fields.get(b"content-type", b"")):
                    raise
                return Answer(answer, content_type=b"application/octet-stream")
        except BaseException as error:
            self.failed(error, exchange)
            raise

    async def _pass_through(self, call: Call, attempt: Attempt) -> Reply:
        """An operation that is not translated: the body as it came, but for the model, and the answer likewise."""
        record = call.record
        exchange: Body | None = None
        try:
            request, body = await self._requests.passed(call, attempt)
            exchange = sent = await self._pool.send(request, attempt, record.routing, body)
            if not self._is_good(sent, attempt):
                exchange = decoded(sent, self._limits)
                await self._check(exchange, PASSED)
            media = note_media(attempt, exchange.fields, call.operation)
            record.stream = media == EVENTS
            if media == JSON:
                answer = (await exchange.read_all()).removeprefix(BOM)
                usage = await maybe_in_thread(self._clock, len(answer), mending, PASSED.read_answer, answer)
                return Answer(answer, usage)
            reader = reader_for(media, call, self._limits.max_event_size)
            return HttpStream(self, exchange, reader, attempt, since=self._clock.seconds())
        except BaseException as error:
            self.failed(error, exchange)
            raise

    def _is_good(self, exchange: Exchange, attempt: Attempt) -> bool:
        """Whether it is an answer at all, and not compressed, as was asked for."""
        fields = exchange.fields
        named = fields.get(b"x-request-id") or fields.get(b"request-id") or fields.get(b"x-amzn-requestid")
        if named:  # what the vendor calls the request: most, Anthropic, AWS
            attempt.upstream_request_id = named.decode("latin-1")[:128]
        if self._is_shown is not None:
            found = {name: value for name, value in fields.items() if self._is_shown(name) and len(value) <= _LONGEST}
            attempt.shown = {name: self._requests.scrub(value.decode("latin-1")) for name, value in found.items()}
        if not _TELLING.isdisjoint(fields):
            attempt.rate = parse_rate(fields, self._clock.seconds())
            attempt.tier = tier(fields.get(_TIER, b"").decode("latin-1"))
        return 200 <= exchange.status < 300 and b"content-encoding" not in fields

    async def _check(self, exchange: Body, vendor_dialect: Dialect) -> None:
        """:raises EdgeError: the answer is an error."""
        if not 200 <= exchange.status < 300:
            raise await self._failure(vendor_dialect, exchange.status, exchange)

    def failed(self, error: BaseException, exchange: Body | None) -> None:
        """Give ``exchange`` up; an error of the vendor's becomes a sentence about this provider, without its
        credential."""
        if exchange is not None:
            exchange.abort()
        if isinstance(error, TargetError) and not error.provider:
            error.message = self._requests.scrub(error.message)
            as_trouble(error)
            if error.retry_after is None and isinstance(error, VendorRateLimited | VendorUnavailable):
                error.retry_after = wait_in_words(error.message)
            error.of(self.name)

    async def _failure(self, dialect: Dialect, status: int, exchange: Body) -> EdgeError:
        body = b""
        try:
            error = dialect.parse_error(body := (await exchange.read_all()).removeprefix(BOM))
        except TargetError:
            error = VendorError()  # it failed even to say why
        if not error.code and (kind := exchange.fields.get(b"x-amzn-errortype")):  # "ValidationException:http://…"
            error = attrs.evolve(error, code=kind.partition(b":")[0].decode("latin-1"))
        scrub = self._requests.scrub
        param = scrub(error.param)[:256] if error.param else None
        more = self._requests.scrub_all(error.more) if len(_encode(error.more)) <= MORE else {}
        error = VendorError(scrub(error.message)[:4096], scrub(error.type), scrub(error.code), param, more)
        retry_after = parse_retry_after(exchange.fields, now := self._clock.seconds())
        if retry_after is None and status in _MAY_WAIT:
            retry_after = wait_in_body(body, now) if len(body) < LARGE else None
            if retry_after is None:  # a plain text is no message of any dialect's
                retry_after = wait_in_words(error.message or body[:_LONGEST].decode(errors="replace"))
        failure = failure_for(self.name, status, error, retry_after)
        told = parse_should_retry(exchange.fields)
        if told is not None and not isinstance(failure, VendorRejectedCredentials):  # what that says is for the gateway
            failure.should_retry = told
        return failure

    @property
    def checkable(self) -> bool:
        """Whether it has a list of models, which is asked for to see that it is there."""
        return bool(self._spec.models_path)

    async def check(self) -> None:
        """:raises TargetError: the vendor is not there: it cannot be asked, or answers with a 5xx."""
        status, _ = await self.look()
        if status >= 500:
            raise UpstreamMalformed(f"answered with status {status}").of(self.name)

    async def list_models(self) -> list[ModelInfo]:
        """The vendor's own list; empty if it has none.

        :raises TargetError: it failed.
        """
        if not self._spec.models_path:
            return []
        status, body = await self.look()
        if status != 200:
            raise UpstreamMalformed(f"answered with status {status}").of(self.name)
        return await self.listed(body)

    async def look(self) -> tuple[int, bytes]:
        """Status and body of the vendor's list of models; where it has none, of what is at its base URL.

        :raises TargetError: there is no whole answer; the message is a sentence about the provider.
        """
        started = self._clock.seconds()
        exchange: Body | None = None
        try:
            request = await self._requests.list_request(QUERIES.get(self._spec.models_shape, ""))
            sent = await self._pool.send(request, Attempt(Target(self.name, ""), started), Routing())
            exchange = decoded(sent, self._limits)
            return exchange.status, (await exchange.read_all()).removeprefix(BOM)
        except BaseException as error:
            self.failed(error, exchange)
            raise

    async def listed(self, body: bytes) -> list[ModelInfo]:
        """The models in the vendor's list.

        :raises UpstreamMalformed: it is none.
        """
        spec = self._spec
        try:
            return await maybe_in_thread(self._clock, len(body), parse_list, spec.models_shape, spec.vendor, body)
        except UpstreamMalformed as error:
            raise error.of(self.name)  # noqa: B904 - it is the same

    def close(self) -> None:
        if self._spec.signer is not None:
            self._spec.signer.close()

    async def _whole(self, call: Call, exchange: Body, translation: Translation, attempt: Attempt) -> ReplyStream:
        """What came is called no event stream: a whole answer is one, too, and so is a stream by another name.

        :raises VendorFailed: it is an error. :raises UpstreamMalformed: it is something else.
        """
        body = (await exchange.read_all()).removeprefix(BOM)
        created = int(self._clock.seconds())
        begins = body.lstrip()[:6]
        try:
            if begins[:1] == b"[":
                pieces: _Pieces = partial(_listed, translation)
            elif begins.startswith((b"data:", b"event:", b":")):
                pieces = partial(_streamed, translation)
            else:
                pieces = translation.pieces
            events, usage = await maybe_in_thread(self._clock, len(body), pieces, body, call, attempt.target, created)
        except UpstreamMalformed:
            if message := translation.vendor_dialect.parse_error(body).message:
                raise VendorFailed(f"answered with an error behind status 200: {message}", cause="error_body") from None
            raise UpstreamMalformed(_NO_STREAM) from None
        attempt.first_event = self._clock.seconds()
        return WholeStream(events, usage)


def _listed(
    translation: Translation, body: bytes, call: Call, target: Target, created: int
) -> tuple[list[Event], Usage | None]:
    """The events in a list of what they would hold: how Google streams where nobody asked for ``alt=sse``."""
    try:
        items = _decode_list(msgspec.json.format(mend(body), indent=-1))
    except UNREADABLE:
        raise UpstreamMalformed(_NO_STREAM) from None
    return _streamed(translation, b"".join(b"data: %b\n\n" % bytes(item) for item in items), call, target, created)


def _streamed(
    translation: Translation, body: bytes, call: Call, target: Target, created: int
) -> tuple[list[Event], Usage | None]:
    """The events of a stream that is all there."""
    reader = translation.reader(call, target, len(body), created)
    events = reader.feed(body)
    if reader.broken is not None:
        raise reader.broken
    if not events or events[-1].kind is not EventKind.DONE:
        events = events + reader.end()
    return events, reader.usage


_Pieces = Callable[[bytes, Call, Target, int], tuple[list[Event], Usage | None]]
_NO_STREAM = "was asked for a stream and answered with something else"


_LONGEST = 1024
"""Bytes of a header that is shown to a client."""
MORE = 4096
"""Bytes of what a vendor's error object may have besides."""
COMPLETE_WAIT = 1.0
"""Seconds a vendor has to send the terminal event, or usage, after the last finish reason."""


class HttpStream(ReplyStream):
    """A vendor's stream as events for the client.

    :param since: from when on its first content is waited for, where that is not when its connection was there.
    """

    def __init__(
        self,
        provider: HttpProvider,
        exchange: Body,
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

    def on_readable(self, wake: Wake) -> None:
        self._exchange.listen(wake)

    def read_now(self) -> Batch | None:
        reader = self._reader
        self.drained = False
        try:
            while True:
                if reader.broken is not None:
                    raise reader.broken
                try:
                    data = self._exchange.take()
                except UpstreamTimeout:
                    if not reader.complete:
                        raise
                    data = b""  # the answer is whole, and its vendor sends no terminal event
                if data is None:
                    self._expect()
                    return None
                events = reader.feed(data) if data else reader.end()
                if events:
                    break
        except BaseException as error:
            self._provider.failed(error, self._exchange)
            raise
        if not self._content and any(event.kind is not EventKind.LIFECYCLE for event in events):
            self._content = True
            self._attempt.first_event = self._provider._clock.seconds()
        if events[-1].kind is EventKind.DONE:
            if reader.cut:
                self._exchange.abort()
            else:
                self._exchange.drain()
        elif self._exchange.state is ANSWERING and reader.broken is None:
            self._expect()
            self.drained = True
        return events

    def abort(self) -> None:
        self._exchange.abort()

    def _expect(self) -> None:
        if self._reader.complete:
            self._exchange.expect(COMPLETE_WAIT, END)
        elif self._content:
            self._exchange.expect()
        else:
            patience = self._attempt.target.first_token_timeout or self._provider._limits.first_token_timeout
            if patience:
                since = self._since or self._attempt.connected or self._attempt.started
                spent = self._provider._clock.seconds() - since
                patience = max(0.001, patience - spent)
            self._exchange.expect(patience, CONTENT)

"""What the HTTP onion is made of: resources around a resource, each with one ``render`` and one concern."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar, cast

import attrs
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers
from twisted.web.resource import IResource, Resource
from twisted.web.server import NOT_DONE_YET

from llmedge.config import Settings
from llmedge.driver import CoroutineDriver
from llmedge.identity.chain import IdentifierChain
from llmedge.record import Record, TraceContext
from llmedge.state.rates import RateLimiter
from llmedge.state.wrong_keys import WrongKeys
from llmedge.web.request import EdgeRequest

T = TypeVar("T")


@attrs.define
class UnderWay:
    """Requests under way. Outlives the configuration that set the limits.

    :ivar total: how many there may be; ``each`` from one address, 0 for no limit of its own.
    :ivar calls: those for inference, admitted or not, as ``AccessRecord`` counts them.
    :ivar admitted: those that ``LimitConcurrency`` let in, ``by_address`` too.
    """

    total: int
    each: int
    calls: int = 0
    admitted: int = 0
    by_address: dict[str, int] = attrs.Factory(dict)


@attrs.frozen
class WebDeps:
    """What the web room is given besides the settings.

    :ivar ready: whether new requests are welcome. ``started``: seconds since the epoch.
    :ivar observers: told of each finished record.
    :ivar begin_trace: makes the trace of a request with these headers, if it is to have one. ``traces``: of each, also
        of one that comes without a ``traceparent``.
    :ivar auth_failures: counters, by the ``reason`` of an AuthError.
    :ivar render_metrics: the exposition text; run in ``reactor``'s pool.
    """

    reactor: Any
    ready: Callable[[], bool]
    started: int
    observers: Sequence[Callable[[Record], None]]
    render_metrics: Callable[[], bytes]
    under_way: UnderWay
    limiter: RateLimiter
    identifiers: IdentifierChain
    wrong_keys: WrongKeys
    auth_failures: Mapping[str | int, Any]
    begin_trace: Callable[[Headers], TraceContext | None] = lambda headers: None
    traces: bool = False


class Layer(Resource):
    """A resource around another. Being a leaf, it is asked to render whatever the path.

    It answers, raises, or hands the request on by ``return self.proceed(request)``: now, or after :meth:`later`.

    :ivar proceed: the ``render`` of the resource inside.
    :ivar fail: answers a request with what a layer has raised; ``AccessRecord`` sets it.
    """

    isLeaf = True
    fail: Callable[[EdgeRequest, BaseException], None]

    def __init__(self, inner: IResource, settings: Settings, deps: WebDeps) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # twisted has no types here
        self.inner, self.settings, self.deps = inner, settings, deps
        self.proceed: Callable[[EdgeRequest], int] = cast(Any, inner).render

    def inside(self) -> Iterator[Layer]:
        """The layers inside this one, outermost first."""
        layer = self.inner
        while isinstance(layer, Layer):
            yield layer
            layer = layer.inner

    def begin_waiting(self, request: EdgeRequest) -> None:
        """A layer further out is about to wait before ``request`` gets here."""

    def later(self, request: EdgeRequest, awaitable: Awaitable[T], then: Callable[[EdgeRequest, T], int]) -> int:
        """Wait for ``awaitable``, then have ``then`` go on with ``request`` and the result.

        Whatever either of them raises is answered as if ``render`` had raised it. A client that leaves, and the
        deadline, which begins now if it has not, cancel the waiting.

        :returns: what ``render`` is to return.
        """

        async def wait() -> None:
            result = await awaitable
            if not request._disconnected:  # else it would not be cancelled, and nobody is there to go on for
                then(request, result)

        def ended(failure: Failure | None) -> None:
            if failure is not None:
                self.fail(request, cast(BaseException, failure.value))

        for layer in self.inside():
            layer.begin_waiting(request)
        work = request.context.work = CoroutineDriver(wait())
        work.start(ended)
        return NOT_DONE_YET

"""Names of vendors: asked for in threads of their own, kept for a while, and kept longer while nobody answers."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator, Sequence
from ipaddress import ip_address
from itertools import groupby
from operator import itemgetter
from queue import SimpleQueue
from threading import Thread
from typing import Any
from unicodedata import normalize

import attrs
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorPluggableNameResolver,
    IReactorThreads,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from llmedge.model import Clock

FRESH = 30.0
"""Seconds an answer holds: ``getaddrinfo`` does not tell its time to live."""
STALE = 300.0
"""Seconds beyond it for which it still serves while it is renewed, or cannot be (RFC 8767)."""
PAUSE = 1.0
"""Seconds for which "no such name" holds, and between two questions after a failure."""
MAX_NAMES = 1024
THREADS = 4
ATTEMPT_DELAY = 0.05
"""Seconds after which Happy Eyeballs tries the next address as well (RFC 8305 section 5 has 0.25)."""

Found = tuple[int, tuple[Any, ...]]
"""Family and address, the latter as (host, flow and scope if IPv6)."""
_UNKNOWN = {socket.EAI_NONAME, getattr(socket, "EAI_NODATA", socket.EAI_NONAME)}
_KINDS: dict[int, Any] = {socket.AF_INET: IPv4Address, socket.AF_INET6: IPv6Address}
_Job = tuple[Deferred[list[Found]], str] | None


class LookUps:
    """``getaddrinfo`` in at most :data:`THREADS` threads, begun when they are needed: a name server that does not
    answer holds up neither the reactor nor what its own threads are for.

    :param reactor: ``IReactorThreads``.
    """

    def __init__(self, reactor: Any, getaddrinfo: Callable[..., Any] = socket.getaddrinfo) -> None:
        self._reactor = reactor
        self._getaddrinfo = getaddrinfo
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._threads = 0
        self._open = 0
        self._closed = False

    def __call__(self, name: str) -> Deferred[list[Found]]:
        """Its addresses.

        :raises OSError: there are none, for a reason that ``socket.gaierror`` may tell. :raises UnicodeError: it is no
            name.
        """
        answer: Deferred[list[Found]] = Deferred()
        if self._closed or (self._open >= self._threads and self._threads < THREADS):
            try:
                self._begin()
            except RuntimeError as error:  # the system has no thread to give; who asks next tries again
                if self._closed or not self._threads:
                    return fail(error)
            else:
                self._threads += not self._closed
        self._open += 1
        self._jobs.put((answer, name))
        if self._closed:
            self._jobs.put(None)
        return answer

    def close(self) -> None:
        """Threads end when what was asked so far is answered; from now on each question has one to itself.

        They do not keep the process alive, whatever they wait for.
        """
        self._closed = True
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = 0

    def _begin(self) -> None:
        Thread(target=self._work, name="llmedge-dns", daemon=True).start()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            answer, name = job
            result: Any
            try:
                rows = self._getaddrinfo(name, 0, socket.AF_UNSPEC, socket.SOCK_STREAM)
                found = [(row[0], (row[4][0], *row[4][2:])) for row in rows if row[0] in _KINDS]
                result = list(dict.fromkeys(found))
            except Exception:
                result = Failure()  # type: ignore[no-untyped-call]  # twisted has no types here
            self._reactor.callFromThread(self._answered, answer, result)

    def _answered(self, answer: Deferred[list[Found]], result: Any) -> None:
        self._open -= 1
        answer.callback(result)


@attrs.define
class _Answer:
    """The addresses of one name. All times are in clock seconds.

    :ivar checked: the time of the last look-up.
    :ivar renew_at: from this time on a question starts a new look-up, and is still given the old addresses ...
    :ivar until: ... up to this time; later questions wait for the new look-up.
    :ivar doubted: a caller could reach none of the addresses: the next question waits for a new look-up.
    """

    found: list[Found]
    checked: float
    renew_at: float
    until: float
    doubted: bool = False


@implementer(IHostResolution)
class _Question:
    def __init__(self, name: str, deliver: Callable[[list[Found]], None]) -> None:
        self.name = name
        self.deliver = deliver

    def cancel(self) -> None:
        self.deliver = lambda found: None


@implementer(IHostnameResolver)
class Resolver:
    """Remembers the answers of ``look_up``; who asks for the same name at the same time shares one.

    A name's addresses take turns within their family, as a name server would have them: else all connections of half
    a minute would go to one machine.
    """

    def __init__(self, clock: Clock, look_up: Callable[[str], Deferred[list[Found]]]) -> None:
        self._clock = clock
        self._look_up = look_up
        self._answers: dict[str, _Answer] = {}
        self._asking: dict[str, list[_Question]] = {}
        self._turn = 0

    def resolveHostName(
        self,
        resolutionReceiver: Any,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[Any] | None = None,
        transportSemantics: str = "TCP",
    ) -> _Question:
        def deliver(found: list[Found]) -> None:
            for family, (host, *more) in self._in_turn(found):
                kind = _KINDS[family]
                if addressTypes is None or kind in addressTypes:
                    resolutionReceiver.addressResolved(kind(transportSemantics, host, portNumber, *more))
            resolutionReceiver.resolutionComplete()

        question = _Question(hostName, deliver)
        resolutionReceiver.resolutionBegan(question)
        name = _key(hostName)
        now = self._clock.seconds()
        answer = self._answers.get(name)
        if answer is None or now >= answer.until or answer.doubted:
            self._ask(name, question)
        else:
            if now >= answer.renew_at:
                self._ask(name)
            question.deliver(answer.found)
        return question

    def doubt(self, name: str) -> None:
        """Nobody could be reached at its addresses: have it looked up anew, though not more than once a second."""
        answer = self._answers.get(_key(name))
        if answer is not None and answer.found and self._clock.seconds() >= answer.checked + PAUSE:
            answer.doubted = True

    def _in_turn(self, found: list[Found]) -> Iterator[Found]:
        self._turn += 1
        for _, group in groupby(found, itemgetter(0)):
            family = list(group)
            first = self._turn % len(family)
            yield from family[first:]
            yield from family[:first]

    def _ask(self, name: str, *questions: _Question) -> None:
        if name in self._asking:
            self._asking[name].extend(questions)
            return
        self._asking[name] = list(questions)
        self._look_up(name).addBoth(self._answered, name)

    def _answered(self, result: Any, name: str) -> None:
        now = self._clock.seconds()
        old = self._answers.pop(name, None)
        if isinstance(result, Failure):
            error = result.value
            if isinstance(error, socket.gaierror) and error.errno in _UNKNOWN:
                old = None  # an answer, and not what there was (RFC 8767 section 4)
            if old is not None and old.found and now < old.until:
                answer = attrs.evolve(old, checked=now, renew_at=now + PAUSE, doubted=False)
            else:
                answer = _Answer([], now, now + PAUSE, now + PAUSE)
        else:
            answer = _Answer(result, now, now + FRESH, now + (FRESH + STALE if result else PAUSE))
        self._answers[name] = answer
        while len(self._answers) > MAX_NAMES:
            del self._answers[next(iter(self._answers))]
        for question in self._asking.pop(name):
            question.deliver(answer.found)


def _key(name: str) -> str:
    return normalize("NFC", name).lower()


@implementer(IReactorPluggableNameResolver, IHostnameResolver)
class _WithResolver:
    """What ``HostnameEndpoint`` uses of a reactor, with a resolver of ours, which is asked for ``host`` whatever name
    the endpoint was given: it refuses those with an underscore, which containers have and resolvers know."""

    def __init__(self, reactor: Any, resolver: Resolver, host: str) -> None:
        self.nameResolver = self
        self._resolver = resolver
        self._host = host
        self.seconds = reactor.seconds
        self.callLater = reactor.callLater
        self.connectTCP = reactor.connectTCP

    def resolveHostName(self, resolutionReceiver: Any, hostName: str, *args: Any, **kw: Any) -> Any:
        return self._resolver.resolveHostName(resolutionReceiver, self._host, *args, **kw)


@implementer(IStreamClientEndpoint)
class NameEndpoint:
    """A name is called with Happy Eyeballs (RFC 8305). If nobody answers it is looked up anew the next time."""

    def __init__(self, reactor: Any, resolver: Resolver, host: str, port: int, timeout: float) -> None:
        self._resolver = resolver
        self._host = host
        self._endpoint = HostnameEndpoint(
            _WithResolver(reactor, resolver, host), "vendor", port, timeout=timeout, attemptDelay=ATTEMPT_DELAY
        )

    def connect(self, factory: Any) -> Deferred[Any]:
        """:raises CancelledError: it was cancelled; of ``HostnameEndpoint`` alone that may be a ``DNSLookupError``."""

        def cancel(connected: Deferred[Any]) -> None:
            connected.errback(CancelledError())
            connecting.cancel()

        def failed(failure: Failure) -> None:
            if not isinstance(failure.value, DNSLookupError):
                self._resolver.doubt(self._host)
            if not connected.called:
                connected.errback(failure)

        connected: Deferred[Any] = Deferred(cancel)
        connecting: Deferred[Any] = self._endpoint.connect(factory)
        connecting.addCallbacks(connected.callback, failed)
        return connected


class Names:
    """Endpoints for names. A reactor without threads, as in tests, resolves them itself. An address is called as it is:
    Happy Eyeballs would take 0.3 s to give up on one."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._look_ups: LookUps | None = None
        self._resolver: Resolver | None = None
        if IReactorThreads.providedBy(reactor):
            self._look_ups = LookUps(reactor)
            self._resolver = Resolver(reactor, self._look_ups)

    def endpoint(self, host: str, port: int, timeout: float) -> Any:
        """:param timeout: seconds for each address."""
        try:
            address = ip_address(host)
        except ValueError:
            pass
        else:
            kind = TCP4ClientEndpoint if address.version == 4 else TCP6ClientEndpoint
            return kind(self._reactor, host, port, timeout=timeout)
        if self._resolver is None:
            return HostnameEndpoint(self._reactor, host, port, timeout=timeout, attemptDelay=ATTEMPT_DELAY)
        return NameEndpoint(self._reactor, self._resolver, host, port, timeout)

    def close(self) -> None:
        """Let the threads end; names can still be asked for."""
        if self._look_ups is not None:
            self._look_ups.close()

from __future__ import annotations

import socket
import threading
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import IHostnameResolver
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from llmedge.config.sections.upstream import Upstream
from llmedge.upstream import resolver as module
from llmedge.upstream.resolver import FRESH, MAX_NAMES, PAUSE, STALE, THREADS, LookUps, NameEndpoint, Names, Resolver
from tests.e2e.service import TIMEOUT
from tests.upstream import loopback

reactor: Any = _reactor
V4, V6 = socket.AF_INET, socket.AF_INET6
A, B, C = (V4, ("10.0.0.1",)), (V4, ("10.0.0.2",)), (V6, ("::1", 0, 0))


class Receiver:
    """Everything that is told of one question; ``hosts`` is ``None`` until it is complete."""

    def __init__(self) -> None:
        self.addresses: list[Any] = []
        self.hosts: list[str] | None = None

    def resolutionBegan(self, resolution: Any) -> None:
        self.resolution = resolution

    def addressResolved(self, address: Any) -> None:
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        assert self.hosts is None
        self.hosts = [address.host for address in self.addresses]


class Resolving(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[tuple[str, Deferred[Any]]] = []
        self.resolver = Resolver(self.clock, self.look_up)

    def look_up(self, name: str) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.asked.append((name, answer))
        return answer

    def ask(self, name: str = "a.example", **kw: Any) -> Receiver:
        receiver = Receiver()
        self.resolver.resolveHostName(receiver, name, 443, **kw)
        return receiver

    def answer(self, *found: Any) -> None:
        self.asked.pop(0)[1].callback(list(found))

    def fail(self, error: Exception | None = None) -> None:
        self.asked.pop(0)[1].errback(Failure(error or socket.gaierror(socket.EAI_AGAIN, "try again")))

    def known(self, *found: Any) -> None:
        self.ask()
        self.answer(*found)

    def test_addresses(self) -> None:
        """In the order they came, with the port; only the kinds that are wanted."""
        self.assertTrue(verifyObject(IHostnameResolver, self.resolver))
        first, later = self.ask(), self.ask(addressTypes=[IPv6Address])
        self.answer(C, A)
        self.assertEqual(first.addresses, [IPv6Address("TCP", "::1", 443), IPv4Address("TCP", "10.0.0.1", 443)])
        self.assertEqual(later.addresses, [IPv6Address("TCP", "::1", 443)])
        self.assertEqual(self.ask(transportSemantics="UDP").addresses[1], IPv4Address("UDP", "10.0.0.1", 443))

    def test_one_question_for_all(self) -> None:
        receivers = [self.ask() for _ in range(3)] + [self.ask("A.Example")]
        receivers[1].resolution.cancel()
        self.ask("b.example")
        self.assertEqual([name for name, _ in self.asked], ["a.example", "b.example"])
        self.answer(A)
        self.assertEqual([each.hosts for each in receivers], [["10.0.0.1"], None, ["10.0.0.1"], ["10.0.0.1"]])

    def test_answers_are_kept(self) -> None:
        """And renewed in the background when they are old: nobody waits."""
        self.known(A)
        self.clock.advance(FRESH - 1)
        self.assertEqual((self.ask().hosts, self.asked), (["10.0.0.1"], []))
        self.clock.advance(1)
        self.assertEqual([self.ask().hosts, self.ask().hosts], [["10.0.0.1"]] * 2)
        self.assertEqual(len(self.asked), 1)
        self.answer(B)
        self.assertEqual((self.ask().hosts, self.asked), (["10.0.0.2"], []))

    def test_too_old(self) -> None:
        self.known(A)
        self.clock.advance(FRESH + STALE)
        late = self.ask()
        self.assertIsNone(late.hosts)
        self.answer(B)
        self.assertEqual(late.hosts, ["10.0.0.2"])

    def test_a_failing_renewal(self) -> None:
        """Old addresses serve for five minutes while the name servers are silent; they are asked once a second."""
        self.known(A)
        self.clock.advance(FRESH)
        while self.clock.seconds() < FRESH + STALE:
            for _ in range(2):
                self.assertEqual(self.ask().hosts, ["10.0.0.1"])
                self.assertLessEqual(len(self.asked), 1)
                if self.asked:
                    self.fail()
            self.clock.advance(PAUSE)
        late = self.ask()
        self.assertIsNone(late.hosts)
        self.fail()
        self.assertEqual(late.hosts, [])

    def test_a_name_that_is_gone(self) -> None:
        """That it does not exist is an answer, and the old one ends with it."""
        self.known(A)
        self.clock.advance(FRESH)
        self.ask()
        self.fail(socket.gaierror(socket.EAI_NONAME, "unknown"))
        self.assertEqual(self.ask().hosts, [])

    def test_failures_are_kept_for_a_second(self) -> None:
        for error in (None, socket.gaierror(socket.EAI_NONAME, "unknown"), UnicodeError(), []):
            self.setUp()
            receiver = self.ask()
            if error == []:
                self.answer()
            else:
                self.fail(error)
            self.assertEqual((receiver.hosts, self.ask().hosts, self.asked), ([], [], []))
            self.clock.advance(PAUSE)
            self.assertIsNone(self.ask().hosts)
            self.assertEqual(len(self.asked), 1)

    def test_doubt(self) -> None:
        """Addresses that refuse are not used again before the name was looked up, once a second at most."""
        self.known(A)
        self.clock.advance(PAUSE)
        self.resolver.doubt("A.example")
        again = self.ask()
        self.assertIsNone(again.hosts)
        self.answer(B)
        self.assertEqual(again.hosts, ["10.0.0.2"])
        self.resolver.doubt("a.example")
        self.assertEqual(self.ask().hosts, ["10.0.0.2"])
        self.clock.advance(PAUSE)
        self.resolver.doubt("a.example")
        again = self.ask()
        self.fail()  # nobody knows better
        self.assertEqual((again.hosts, self.ask().hosts, self.asked), (["10.0.0.2"], ["10.0.0.2"], []))
        self.resolver.doubt("never.heard.of.example")

    def test_addresses_take_turns(self) -> None:
        """Within their family; which family goes first stays as it was (RFC 6724)."""
        self.ask()
        self.answer(C, A, B)
        hosts = [self.ask().hosts for _ in range(4)]
        self.assertEqual(
            {tuple(each or ()) for each in hosts},
            {("::1", *pair) for pair in (("10.0.0.1", "10.0.0.2"), ("10.0.0.2", "10.0.0.1"))},
        )
        self.assertNotEqual(hosts[0], hosts[1])

    def test_not_more_than_so_many(self) -> None:
        for number in range(MAX_NAMES + 5):
            self.ask(f"{number}.example")
            self.answer(A)
        self.assertEqual(len(self.resolver._answers), MAX_NAMES)
        self.assertEqual(self.ask(f"{MAX_NAMES}.example").hosts, ["10.0.0.1"])


class Endpoints(SynchronousTestCase):
    """Happy Eyeballs over what the resolver says."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()
        self.looked_up = 0
        self.found: list[Any] = [C, A]
        self.resolver = Resolver(self.reactor, self.look_up)
        self.endpoint = NameEndpoint(self.reactor, self.resolver, "a.example", 443, 5.0)

    def look_up(self, name: str) -> Deferred[Any]:
        self.looked_up += 1
        answer: Deferred[Any] = Deferred()
        answer.callback(list(self.found))
        return answer

    def connect(self) -> Deferred[Any]:
        return self.endpoint.connect(Factory.forProtocol(Protocol))

    def called(self) -> list[str]:
        return [host for host, *_ in self.reactor.tcpClients]

    def refuse(self, number: int) -> None:
        self.reactor.tcpClients[number][2].clientConnectionFailed(
            self.reactor.connectors[number], Failure(ConnectionRefusedError())
        )

    def test_the_next_address_is_called_soon(self) -> None:
        connecting = self.connect()
        self.assertEqual(self.called(), ["::1"])
        self.reactor.advance(module.ATTEMPT_DELAY)
        self.assertEqual(self.called(), ["::1", "10.0.0.1"])
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)

    def test_all_refuse(self) -> None:
        """The next attempt looks the name up anew."""
        self.found = [A]
        self.reactor.advance(100)
        connecting = self.connect()
        self.reactor.advance(PAUSE)
        self.refuse(0)
        self.failureResultOf(connecting, ConnectionRefusedError)
        self.found = [B]
        self.connect().addErrback(lambda failure: None).cancel()
        self.assertEqual((self.called(), self.looked_up), (["10.0.0.1", "10.0.0.2"], 2))

    def test_cancelling(self) -> None:
        """Is told as such, whatever it interrupts, and stops the calling; who is slow to answer is doubted."""
        waiting: Deferred[Any] = Deferred()
        self.resolver._look_up = lambda name: waiting
        connecting = self.connect()
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        waiting.callback([A])
        self.assertEqual(self.called(), [])
        self.reactor.advance(PAUSE)
        connecting = self.connect()
        self.assertEqual(self.called(), ["10.0.0.1"])
        connecting.cancel()
        self.failureResultOf(connecting, CancelledError)
        self.assertTrue(self.reactor.connectors[0].stoppedConnecting)
        self.assertTrue(self.resolver._answers["a.example"].doubted)

    def test_names_of_containers(self) -> None:
        """An underscore is for the resolver to judge, and so is everything else in a name."""
        for name in ("my_vllm", "_dns.example", "a.b_c.example", "-x", "x-"):
            asked: list[str] = []

            def look_up(name: str, asked: list[str] = asked) -> Deferred[Any]:
                asked.append(name)
                return succeed([A])

            self.reactor = MemoryReactorClock()
            NameEndpoint(self.reactor, Resolver(self.reactor, look_up), name, 8000, 5.0).connect(
                Factory.forProtocol(Protocol)
            )
            self.assertEqual((asked, self.called()), ([name], ["10.0.0.1"]))

    def test_no_such_name(self) -> None:
        self.found = []
        self.failureResultOf(self.connect(), DNSLookupError)
        self.failureResultOf(self.connect(), DNSLookupError)
        self.assertEqual(self.looked_up, 1)

    def test_a_reactor_without_threads(self) -> None:
        """Resolves names itself."""
        names = Names(self.reactor)
        names.endpoint("a.example", 443, 5.0).connect(Factory.forProtocol(Protocol)).addErrback(lambda _: None)
        self.assertEqual(self.called(), ["127.0.0.1"])
        names.close()


class Threads(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        self.gate = threading.Event()
        self.threads: set[threading.Thread] = set()
        self.most = 0
        self.look_up = LookUps(reactor, self.getaddrinfo)
        self.addCleanup(self.look_up.close)
        self.addCleanup(self.gate.set)

    def getaddrinfo(self, host: str, port: int, family: int, kind: int) -> list[Any]:
        self.threads.add(threading.current_thread())
        self.gate.wait(600)
        if host == "bad":
            raise socket.gaierror(socket.EAI_NONAME, "unknown")
        row = (V4, socket.SOCK_STREAM, 6, "", (host, port))
        return [row, row, (V6, socket.SOCK_STREAM, 6, "", ("fe80::1%lo", port, 0, 1)), (99, kind, 6, "", ("x", 0))]

    async def test_no_thread_to_be_had(self) -> None:
        """Said at once, and not for ever; where there is one already, it does the work."""
        self.gate.set()
        start = module.Thread.start

        def refuse(thread: Any) -> None:
            raise RuntimeError("can't start new thread")

        self.patch(module.Thread, "start", refuse)
        await self.assertFailure(self.look_up("a"), RuntimeError)
        self.patch(module.Thread, "start", start)
        self.assertEqual(len(await self.look_up("a")), 2)
        self.patch(module.Thread, "start", refuse)
        both = self.look_up("a"), self.look_up("b")
        self.assertEqual([len(await each) for each in both], [2, 2])

    async def ended(self) -> None:
        for thread in self.threads:
            while thread.is_alive():
                pause: Deferred[None] = Deferred()
                reactor.callLater(0.01, pause.callback, None)
                await pause

    async def test_so_many_threads(self) -> None:
        """Begun when needed; they keep no process alive, and end when all is answered and nothing more will be."""
        self.assertEqual(self.look_up._threads, 0)
        asked = [self.look_up(f"10.0.0.{number}") for number in range(THREADS * 2)]
        self.look_up.close()
        self.gate.set()
        for number, each in enumerate(asked):
            self.assertEqual(await each, [(V4, (f"10.0.0.{number}",)), (V6, ("fe80::1%lo", 0, 1))])
        self.assertLessEqual(len(self.threads), THREADS)
        self.assertTrue(all(thread.daemon for thread in self.threads))
        await self.ended()

    async def test_one_after_the_other(self) -> None:
        """Needs one thread; the reactor's own are left alone."""
        self.gate.set()
        for _ in range(3):
            await self.look_up("10.0.0.1")
        self.assertEqual((self.look_up._threads, len(self.threads)), (1, 1))
        self.assertIsNot(next(iter(self.threads)), threading.main_thread())

    async def test_after_closing(self) -> None:
        """Calls that are under way may still ask: in a thread that ends."""
        self.gate.set()
        self.look_up.close()
        await self.assertFailure(self.look_up("bad"), socket.gaierror)
        self.assertEqual(len(await self.look_up("10.0.0.1")), 2)
        await self.ended()


class Loopback(TestCase):
    timeout = TIMEOUT

    async def test_localhost(self) -> None:
        """A real name, looked up for real, once, and called."""
        port = reactor.listenTCP(0, Factory.forProtocol(Protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        client = loopback.client(self, Upstream())
        endpoint = client.pool_for(f"http://localhost:{port.getHost().port}")._endpoint
        for _ in range(2):
            protocol = await endpoint.connect(Factory.forProtocol(Protocol))
            self.assertEqual(protocol.transport.getPeer().host, "127.0.0.1")
            protocol.transport.abortConnection()
        self.assertEqual(list(endpoint._resolver._answers), ["localhost"])
        self.assertEqual(client._names._look_ups._threads, 1)

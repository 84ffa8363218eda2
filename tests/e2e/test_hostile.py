"""Clients that mean harm or are broken: slow ones by the thousand, random bytes, and many requests.

``LLMEDGE_LONG=1`` runs each slow client for 60 seconds instead of a few.
"""

from __future__ import annotations

import itertools
import os
import re
import resource
import socket
import statistics
import time
from typing import Any

import h2.config
import h2.connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.e2e.certificates import Authority
from tests.e2e.client import Client, wait
from tests.e2e.service import PATIENCE, TIMEOUT, Gateway, until
from tests.e2e.tools import find, run
from tests.effort import examples
from tests.fakes import CHAT, Edge, request
from tests.folders import new_folder

LONG = os.environ.get("LLMEDGE_LONG") == "1"
SECONDS = 60 if LONG else 7
CONNECTIONS = 1000
MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'


def open_files() -> None:
    """Let this process, and those it starts, have a socket for each slow connection."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 4 * CONNECTIONS
    if hard != resource.RLIM_INFINITY:
        wanted = min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class Serving(TestCase):
    timeout = TIMEOUT

    async def begin(self, toml: str = MOCK, **kw: Any) -> Gateway:
        gateway = Gateway(toml, **kw)
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    def files(self, gateway: Gateway) -> int:
        """Files the gateway has open, nearly all of them sockets."""
        return len(os.listdir(f"/proc/{gateway.process.pid}/fd"))


class Slow(Serving):
    """slowhttptest holds 1,000 connections open in each way it knows."""

    def setUp(self) -> None:
        find("slowhttptest")
        open_files()

    async def ask(self, client: Client, body: bytes) -> float:
        """Seconds until one request of a kept connection was answered with 200."""
        client.received = b""
        start = time.perf_counter()
        client.send(body)
        self.assertEqual((await client.response()).status, 200)
        return time.perf_counter() - start

    async def attack(self, name: str, gateway: Gateway, *arguments: str) -> None:
        """Ask all the while, and look at the memory while the slow connections are open."""
        client = await Client.connect(gateway.port)
        body = request(body=CHAT)
        for _ in range(200):
            await self.ask(client, body)
        before, files = gateway.memory(), self.files(gateway)
        common = ("-c", str(CONNECTIONS), "-r", "500", "-l", str(SECONDS), "-p", f"{PATIENCE:g}", "-i", "3")
        done = []
        attack = Deferred.fromCoroutine(run("slowhttptest", *arguments, *common))
        attack.addBoth(done.append)
        seconds: list[float] = []
        memory = held = 0
        while not done:
            seconds.append(await self.ask(client, body))
            memory, held = max(memory, gateway.memory()), max(held, self.files(gateway) - files)
            await wait(0.01)
        self.assertEqual(done[0].code, 0, done[0])
        self.assertGreater(held, CONNECTIONS * 0.9, "slow connections")
        each = (memory - before) / held
        p99 = statistics.quantiles(seconds, n=100)[98]
        median = statistics.median(seconds)
        print(
            f"slowhttptest {name}: {held} connections, {each / 1000:.1f} kB each; "
            f"{len(seconds)} requests, median {median * 1000:.1f} ms, p99 {p99 * 1000:.1f} ms"
        )
        self.assertLess(each, 100_000)
        self.assertGreater(len(seconds), 20)
        await until(lambda: self.files(gateway) <= files, "the slow connections to be gone")
        await self.ask(client, body)
        client.leave()
        self.assertNotIn('"traceback"', gateway.process.out)
        self.assertNotIn('"level":"ERROR"', gateway.process.out)

    async def test_headers(self) -> None:
        """1,000 clients that never finish their headers do not keep one other from being served."""
        gateway = await self.begin()
        await self.attack("headers", gateway, "-H", "-u", f"{gateway.url}/v1/chat/completions")

    async def test_bodies(self) -> None:
        """1,000 clients that drip their bodies do not, either."""
        gateway = await self.begin()
        url = f"{gateway.url}/v1/chat/completions"
        await self.attack("bodies", gateway, "-B", "-s", "8192", "-x", "10", "-t", "POST", "-u", url)

    async def test_readers(self) -> None:
        """Nor do 1,000 clients that ask for long answers and hardly read them."""
        models = "".join(f'[models."model-{number}"]\ntargets = ["m/x"]\n' for number in range(600))
        gateway = await self.begin(MOCK + models)
        slowly = ("-X", "-w", "128", "-y", "256", "-n", "2", "-z", "16", "-k", "2")
        await self.attack("readers", gateway, *slowly, "-u", f"{gateway.url}/v1/models")


class Many(Serving):
    async def test_memory_is_flat(self) -> None:
        """20,000 requests on kept connections leave no more than 3 MB behind, after 5,000 to warm up."""
        find("h2load")
        gateway = await self.begin(environ={"LOG_LEVEL": "info", "LOG_FILTER": "llmedge.access=warn"})
        file = new_folder() / "body.json"
        file.write_bytes(request(body=CHAT).partition(b"\r\n\r\n")[2])
        common = ("--h1", "-c", "4", "-d", str(file), "-H", "content-type: application/json")
        before = 0
        for count in (5000, 20000):
            before = gateway.memory()
            result = await run("h2load", "-n", str(count), *common, f"{gateway.url}/v1/chat/completions")
            self.assertIn(f"status codes: {count} 2xx, 0 3xx, 0 4xx, 0 5xx", result.out)
        grown = gateway.memory() - before
        print(f"memory after 20,000 requests: {grown / 1000:+.0f} kB of {before / 1e6:.1f} MB")
        self.assertLess(grown, 3_000_000)

    async def test_start(self) -> None:
        """Ready once it says so: the very first request after that line is answered. How soon is printed."""
        start = time.perf_counter()
        gateway = await self.begin()
        ready = time.perf_counter() - start
        client = await Client.connect(gateway.port)
        client.send(request("GET", "/health/ready"))
        self.assertEqual((await client.response()).status, 200)
        client.leave()
        print(f"ready after {ready:.2f} s")


# Random bytes.


def chunked(body: bytes, trailer: bytes = b"") -> bytes:
    head = b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
    pieces = b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 7]), body[i : i + 7]) for i in range(0, len(body), 7))
    return head + b"transfer-encoding: chunked\r\n\r\n" + pieces + b"0\r\n" + trailer + b"\r\n"


def http2() -> bytes:
    """What a client of HTTP/2 sends for two requests."""
    client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    client.initiate_connection()
    common = [(":scheme", "http"), (":authority", "x")]
    client.send_headers(1, [(":method", "GET"), (":path", "/v1/models"), *common], end_stream=True)
    post = [(":method", "POST"), (":path", "/v1/chat/completions"), *common, ("content-type", "application/json")]
    client.send_headers(3, post)
    client.send_data(3, BODY, end_stream=True)
    client.ping(b"12345678")
    client.reset_stream(1)
    data: bytes = client.data_to_send()
    return data


def tls_hello() -> bytes:
    import ssl

    out = ssl.MemoryBIO()
    tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


STREAM = CHAT | {"stream": True}
BODY = request(body=CHAT).partition(b"\r\n\r\n")[2]
SEEDS = [
    request("GET", "/health"),
    request("GET", "/v1/models") + request("GET", "/metrics"),
    request(body=CHAT),
    request(body=STREAM, headers={"expect": "100-continue", "x-api-key": "k"}),
    request(body=CHAT) + request(body=STREAM),
    request("OPTIONS", "*", headers={"origin": "http://a", "access-control-request-method": "POST"}),
    request("GET", "/", headers={"upgrade": "h2c", "connection": "upgrade, http2-settings", "http2-settings": "AAMA"}),
    request("HEAD", "http://x/v1/%6dodels?a=%00&b=%ff"),
    chunked(BODY),
    chunked(BODY, b"x-trailer: 1\r\n"),
    http2(),
    tls_hello(),
    b"PROXY TCP4 10.0.0.1 10.0.0.2 1 2\r\n" + request("GET", "/health"),
]
TOKENS = [
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"\r\n\r\n",
    b" ",
    b":",
    b"\xff\xfe",
    b"content-length: 18446744073709551616\r\n",
    b"content-length: -1\r\n",
    b"content-length: 1, 2\r\n",
    b"content-length: +5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"transfer-encoding: gzip, chunked\r\n",
    b"Transfer-Encoding : chunked\r\n",
    b"host: a\r\nhost: b\r\n",
    b"connection: close\r\n",
    b"expect: 100-continue\r\n",
    b"cookie: " + b"a=b; " * 500 + b"\r\n",
    b"x: y\r\n" * 120,
    b"accept-encoding: gzip;q=x, *;q=0\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"5;ext=" + b"x" * 2000 + b"\r\n",
    b"HTTP/1.0\r\n",
    b"HTTP/9.9\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",  # SETTINGS
    b"\x00\x00\x04\x08\x00\x00\x00\x00\x01\x7f\xff\xff\xff",  # WINDOW_UPDATE
    b"\x00\x00\x04\x03\x00\x00\x00\x00\x03\x00\x00\x00\x08",  # RST_STREAM
    b"\x00\x00\x01\x01\x04\x00\x00\x00\x05\xbe",  # HEADERS with an index there is not
    b"\x00\xff\xff\x00\x00\x00\x00\x00\x03",  # DATA that does not come
]
_mutation = st.tuples(
    st.sampled_from(("insert", "replace", "delete", "repeat", "token", "token")),
    st.floats(0, 1),
    st.integers(0, 40),
    st.one_of(st.binary(min_size=1, max_size=20), st.sampled_from(TOKENS)),
    st.sampled_from(TOKENS),
)


def mutate(data: bytes, mutations: list[Any]) -> bytes:
    for how, where, length, random, token in mutations:
        at = int(where * len(data))
        before, middle, after = data[:at], data[at : at + length], data[at + length :]
        if how == "insert":
            data = before + random + middle + after
        elif how == "replace":
            data = before + random + after
        elif how == "delete":
            data = before + after
        elif how == "repeat":
            data = before + middle * 3 + after
        else:  # at the start of a line, where it means something
            line = data.find(b"\r\n", at) + 2
            data = data[:line] + token + data[line:]
    return data


def split(data: bytes, cuts: list[float]) -> list[bytes]:
    places = [0, *sorted(int(cut * len(data)) for cut in cuts), len(data)]
    return [data[start:end] for start, end in itertools.pairwise(places) if end > start]


_bytes = st.one_of(
    st.builds(mutate, st.sampled_from(SEEDS), st.lists(_mutation, max_size=4)),
    st.builds(mutate, st.builds(bytes.__add__, st.sampled_from(SEEDS), st.sampled_from(SEEDS)), st.lists(_mutation)),
    st.binary(max_size=300),
)
pieces = st.builds(split, _bytes, st.lists(st.floats(0, 1), max_size=6))
_settings = settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")


class RandomBytes(SynchronousTestCase):
    def test_in_memory(self) -> None:
        """Whatever comes, however it is cut: no 500, no traceback, an end within the limits, and nothing left over."""

        @settings(_settings, max_examples=examples(150))
        @given(pieces, st.booleans(), st.booleans(), st.booleans())
        def try_it(data: list[bytes], patient: bool, leaves: bool, half: bool) -> None:
            edge = Edge(MOCK, {"RATE_LIMIT_ENABLED": "false"})
            calls = len(edge.reactor.pending())
            wire = edge.wire()
            if half:  # a socket can close its sending half, TLS cannot
                wire.transport.loseWriteConnection = lambda: None
            for piece in data:
                if wire.transport.gone:
                    break
                wire.send(piece)
                if patient:
                    edge.reactor.advance(0.01)
            if leaves:
                wire.leave()
            for _ in range(200):
                edge.reactor.advance(1)
                if wire.transport.gone and not edge.service.site.connections:
                    break
            self.assertTrue(wire.transport.gone, "neither answered nor closed")
            edge.reactor.advance(10)
            self.assertEqual(edge.site.connections, set())
            self.assertEqual(edge.site._by_address, {})
            self.assertEqual(len(edge.reactor.pending()), calls, edge.reactor.getDelayedCalls())
            self.assertEqual([record.status for record in edge.records if record.status == 500], [])
            self.assertNotIn(b"500", STATUS.findall(wire.received()))
            self.assertEqual([failure.getTraceback() for failure in self.flushLoggedErrors()], [])
            self.assertEqual(edge.ask("GET", "/health").status, 200)

        try_it()

    def test_reset_with_its_request(self) -> None:
        """A request of HTTP/2 that is reset in the same packet does not hold up the others of its connection."""
        edge = Edge(MOCK, {"RATE_LIMIT_ENABLED": "false"})
        wire = edge.wire()
        wire.send(http2())
        edge.reactor.advance(0.01)
        client = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        client.initiate_connection()
        for stream in (1, 3):
            client.send_headers(stream, [(":method", "GET"), (":path", "/"), (":scheme", "http"), (":authority", "x")])
        ended = [type(event).__name__ for event in client.receive_data(wire.received())]
        self.assertIn("StreamEnded", ended)
        for _ in range(200):
            edge.reactor.advance(1)
        self.assertEqual(edge.site.connections, set())


class RandomBytesOnTheWire(Serving):
    async def test_on_sockets(self) -> None:
        """The same on real sockets, in cleartext and within TLS: each ends, no 500, no traceback, still serving."""
        limits = "[server]\nheader_timeout = 0.3\nbody_timeout = 0.3\nidle_timeout = 0.3\n"
        cert, key = Authority().issue("server", "localhost")
        tls = f'[tls]\ncert = "{cert}"\nkey = "{key}"\n'
        listen = ("--port", "tcp:0:interface=127.0.0.1")
        plain = await self.begin(MOCK + limits, arguments=listen)
        secure = await self.begin(MOCK + limits + tls, arguments=("--port", "ssl:0:interface=127.0.0.1"))

        @settings(_settings, max_examples=examples(30))
        @given(pieces, st.booleans(), st.sampled_from((plain, secure)))
        def try_it(data: list[bytes], leaves: bool, gateway: Gateway) -> None:
            with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as sock:
                try:
                    for piece in data:
                        sock.sendall(piece)
                    if leaves:
                        sock.shutdown(socket.SHUT_WR)
                    received = b""
                    while more := sock.recv(65536):
                        received += more
                except OSError:  # refused, and gone before all was sent
                    return
                self.assertNotIn(b"500", STATUS.findall(received))

        await deferToThread(try_it)
        for gateway in (plain, secure):
            self.assertNotIn('"traceback"', gateway.process.out)
            self.assertNotIn('"status":500', gateway.process.out)
            self.assertNotIn("Traceback", gateway.process.err + gateway.process.out)
        client = await Client.connect(plain.port)
        client.send(request("GET", "/health"))
        self.assertEqual((await client.response()).status, 200)
        client.leave()

"""One scenario on the real service: vendors and callers on this process's reactor, the gateway as a process."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import LoopingCall

from benchmarks.gateway import environ, memory_mb
from benchmarks.weather.callers import Call, Crowd
from benchmarks.weather.scenarios import Run, Scenario
from benchmarks.weather.sockets import VendorFactory
from benchmarks.weather.vendors import Vendor, sleep

NOT_LEARNING = "adaptive = false\nbreaker_rate = 2\nbreaker_failures = 1000000\n"
"""No limit is learned, and no breaker opens: retries, queues and hedges are as they are."""
EVERY = 0.5
"""Seconds between two looks at the gateway."""


@attrs.define
class Sample:
    """How things stood at a moment, for the curves."""

    at: float
    in_flight: float
    waiting: float
    limit: float | None
    state: float


@attrs.frozen
class Ran:
    run: Run
    samples: list[Sample]


def configuration(scenario: Scenario, port: int, learning: bool) -> str:
    """The scenario's, with its vendors at ``port``."""
    text = "[rate_limit]\nenabled = false\n"
    for caller in {load.caller for load in scenario.loads if load.caller}:
        text += f'[[auth.keys]]\nname = "{caller}"\nkey = "{key_of(caller)}"\n'
    for name in scenario.vendors:
        text += f'[providers.{name}]\nbase_url = "http://127.0.0.1:{port}/{name}/v1"\n'
    if learning:
        return text + scenario.settings
    if "[routing]\n" in scenario.settings:
        return text + scenario.settings.replace("[routing]\n", "[routing]\n" + NOT_LEARNING)
    return text + "[routing]\n" + NOT_LEARNING + scenario.settings


def key_of(caller: str) -> str:
    """Its API key."""
    return f"sk-{caller}-0000000000000000"


async def play(reactor: Any, scenario: Scenario, learning: bool = True, seed: int = 1) -> Ran:
    """Run ``scenario`` on a gateway of its own.

    :raises RuntimeError: it does not start.
    """
    random = Random(seed)
    vendors: dict[str, Vendor] = {}
    factory = VendorFactory(vendors, reactor)
    port = reactor.listenTCP(0, factory, backlog=4096, interface="127.0.0.1")
    with tempfile.TemporaryDirectory(prefix="llmedge-weather-") as folder:
        config = Path(folder) / "llmedge.toml"
        config.write_text(configuration(scenario, port.getHost().port, learning))
        process = _Process(config)
        try:
            gateway = await process.listening(reactor)
            vendors.update({name: Vendor(script, reactor, random) for name, script in scenario.vendors.items()})
            keys = {load.caller: key_of(load.caller) for load in scenario.loads}
            crowd = Crowd(reactor, gateway, keys, random)
            samples: list[Sample] = []
            watch = LoopingCall(_look, reactor, gateway, reactor.seconds(), samples)
            watch.start(EVERY)
            memory: list[float] = []
            for at in scenario.memory or ():
                reactor.callLater(at, lambda: memory.append(memory_mb(process.pid)))
            await crowd.come(scenario.loads)
            watch.stop()
            await sleep(reactor, 0.2)
            return Ran(Run(crowd.calls, vendors, memory[-1] - memory[0] if memory else 0.0), samples)
        finally:
            process.stop()
            await port.stopListening()


class _Process:
    """``twist llmedge``, which says where it listens."""

    def __init__(self, config: Path) -> None:
        self._log = config.with_suffix(".log")
        twist = str(Path(sys.executable).parent / "twist")
        place = "tcp:0:interface=127.0.0.1:backlog=4096"
        command = [twist, f"--log-file={self._log}", "llmedge", "--config", str(config), "--port", place]
        self._process = subprocess.Popen(command, env=environ(), cwd=config.parent)
        self.pid = self._process.pid

    async def listening(self, reactor: Any) -> int:
        """Its port, once there is one."""
        while True:
            said = self._log.read_text() if self._log.exists() else ""
            if found := re.search(r"listening on 127\.0\.0\.1:(\d+)", said):
                return int(found[1])
            if self._process.poll() is not None:
                raise RuntimeError(f"the gateway does not start: {said[-2000:]}")
            await sleep(reactor, 0.05)

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class _Fetch(Protocol):
    """Reads ``/metrics`` once."""

    def __init__(self) -> None:
        self.received = b""
        self.done: Deferred[str] = Deferred()

    def connectionMade(self) -> None:
        self.transport.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self.received += data

    def connectionLost(self, reason: Any = None) -> None:
        if not self.done.called:
            self.done.callback(self.received.decode(errors="replace"))


def _look(reactor: Any, gateway: int, began: float, samples: list[Sample]) -> None:
    """Take a sample; nobody waits for it."""
    fetch, factory = _Fetch(), ClientFactory()
    factory.noisy = False
    factory.buildProtocol = lambda address: fetch  # type: ignore[method-assign]
    reactor.connectTCP("127.0.0.1", gateway, factory)
    fetch.done.addCallback(lambda text: samples.append(_sample(text, reactor.seconds() - began)))


def _sample(text: str, at: float) -> Sample:
    def of(name: str) -> float:
        found = re.search(rf'^llm_deployment_{name}{{deployment="a/x"}} (\S+)$', text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    limit = of("limit")
    return Sample(at, of("in_flight"), of("waiting"), None if limit in (0.0, float("inf")) else limit, of("state"))


def rows(calls: list[Call], seconds: float) -> list[tuple[float, int, int]]:
    """Whole answers and others of each second, by when their calls began."""
    last = int(seconds) + 1
    found = [(float(second), 0, 0) for second in range(last)]
    for call in calls:
        at, good, bad = found[min(last - 1, int(call.began))]
        found[int(at)] = (at, good + call.whole, bad + (not call.whole))
    return found

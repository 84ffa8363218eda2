"""``python -m benchmarks.calls``: the gateway's own work for one call, in one process, without sockets.

Client and vendor are transports in memory, so what is left is everything from the bytes of a request to the bytes of
its answer: parser, onion, routing, record, metrics, access log. Two uses: CPU time per call (``--seconds``), and with
``--calls N`` a fixed amount of work for an instruction counter (``benchmarks/guard.py``).
"""

from __future__ import annotations

import argparse
import gc
import hashlib
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tests.fakes import Endpoint, Reactor, Transport, Wire, load, request
from twisted.logger import globalLogBeginner

from benchmarks.stub import ANSWER, ANSWER_STREAM, STREAM
from llmedge.entities import Entity, KeySecret
from llmedge.guards import looking
from llmedge.identity.secrets import PREFIX, _check
from llmedge.observe import logs
from llmedge.service import EdgeService
from llmedge.state import wrong_keys
from llmedge.upstream.resolver import Names

KEYS = 100
CACHED = ("hit", "streamhit", "miss", "streammiss")
"""With the cache on: the same question again and again, and another one each time."""
GUARDED = "guarded"
"""With guardrails that look for personal data and secrets, and find none in texts of 2 kB, another one each time;
``plain2k`` is the same without them."""
GUARDRAILS = "".join(
    f'[[guardrails]]\nname = "{each}"\ntype = "{each}"\nmode = "enforce"\n' for each in ("pii", "secrets")
)
NUMBER = b"aaaaaaaa"
"""Stands in a question that is another one each time."""
_LETTERS = bytes.maketrans(b"0123456789", b"abcdefghij")
PROSE = (
    "The harbour was rebuilt in 2019 after the storm, and most of its cranes came from the old yard up the river. A "
    "guide book of that year calls it the key to the whole coast, which is more than its builders ever claimed. Boats "
    "of 12 metres and less lie behind the mole; larger ones wait for the pilot, who comes at half past six. "
)
KEYED = "keyed"
"""The chat once more, by a key of the store's, with limits and budgets, that the ledger takes."""
STORED_KEY = (_BODY := PREFIX + b"k" * 43).decode() + _check(_BODY).decode()
PAID = """
[prices."stub/*"]
input = 1.0
output = 2.0
[models.proxied.capabilities]
context = 128000
max_output = 16384
"""
"""What a budget has to know of a model: what it costs, and how long its answers are at most."""
HEAD = ANSWER_STREAM[: ANSWER_STREAM.index(b"\r\n\r\n") + 4]
PIECES = [
    HEAD,
    *(b"%x\r\n%b\r\n" % (len(event), event) for event in re.findall(rb"data: .*?\n\n", STREAM)),
    b"0\r\n\r\n",
]


class Vendor(Transport):
    """The vendor's end of a connection: what it is asked is answered in the reactor's next turn."""

    asked: list[tuple[Vendor, bytes]] = []

    def write(self, data: bytes) -> None:
        if b"\r\n\r\n" in data:
            self.asked.append((self, data))

    @classmethod
    def answer(cls) -> None:
        """The next turn."""
        while cls.asked:
            vendor, data = cls.asked.pop()
            drips = b'"drip"' in data
            whole = ANSWER_STREAM if b'"stream":true' in data else ANSWER
            for piece in PIECES if drips else [whole]:  # each event in a read of its own
                vendor.protocol.dataReceived(piece)

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def loseConnection(self) -> None: ...


def configuration() -> str:
    keys = "".join(
        f'[[auth.keys]]\nname = "team-{i}"\nkey = "sha256:{hashlib.sha256(b"key-%d" % i).hexdigest()}"\n'
        f"rpm = 100000000\nburst = 100000000\n"
        for i in range(KEYS)
    )
    return (
        "[rate_limit]\nrpm = 100000000\nburst = 100000000\n"
        + keys
        + '[providers.stub]\nbase_url = "http://127.0.0.1:1/v1"\napi_key = "vendor-key"\n'
        + '[models.proxied]\ntargets = ["stub/stub"]\n[models.dripping]\ntargets = ["stub/drip"]\n'
    )


def requests() -> dict[str, bytes]:
    ask: dict[str, Any] = {"model": "proxied", "messages": [{"role": "user", "content": "hello " * 20}]}
    good = {"authorization": "Bearer key-50"}
    drip = json.dumps(ask | {"model": "dripping", "stream": True}, separators=(",", ":")).encode()
    claude = json.dumps(ask | {"model": "dripping", "max_tokens": 100, "stream": True}, separators=(",", ":")).encode()
    other = ask | {"messages": [{"role": "user", "content": f"{NUMBER.decode()} " + "hello " * 19}]}
    stream = json.dumps(ask | {"stream": True}, separators=(",", ":")).encode()
    long = ask | {"messages": [{"role": "user", "content": f"{NUMBER.decode()} " + (PROSE * 8)[:2000]}]}
    another = json.dumps(other | {"stream": True}, separators=(",", ":")).encode()
    return {
        "health": request("GET", "/health"),
        "chat": request(body=ask, headers=good),
        "stream": request(body=stream, headers=good),
        "drip": request(body=drip, headers=good),
        "translated": request("POST", "/v1/messages", claude, headers=good),
        "401": request(body=ask, headers={"authorization": "Bearer wrong"}),
        "hit": request(body=ask, headers=good),
        "streamhit": request(body=stream, headers=good),
        "miss": request(body=other, headers=good),
        "streammiss": request(body=another, headers=good),
        "plain2k": request(body=long, headers=good),
        GUARDED: request(body=long, headers=good),
        KEYED: request(body=ask, headers={"authorization": f"Bearer {STORED_KEY}"}),
    }


def know_a_key(service: EdgeService) -> None:
    """A key of the store's, of a team: requests and tokens a minute, calls at once, and a budget of each."""
    store, allowances = service._process.store, service._process.allowances
    limits = {"rpm": 100_000_000, "burst": 100_000_000, "tpm": 1_000_000_000, "max_concurrency": 1000}
    team = Entity("team", "red", "red", data={"budgets": [{"amount": 1_000_000}]})
    key = Entity("key", "app", "app", team="red", data=limits | {"budgets": [{"amount": 1_000_000, "period": "day"}]})
    pepper = store.directory.peppers[0]
    shown = STORED_KEY.encode()
    store.directory.apply(1, [team, key], [KeySecret(pepper.digest(shown), "app", pepper.id, "", 0, None)])
    caller, _ = store.directory.caller(*store.directory.find(shown))
    for fund in allowances.purse(caller).funds:
        fund.known = True


class Bench:
    """One service in memory, and one client connection to it.

    :param kind: what is to be measured. Some want a store, which is never asked: rows of the ledger are left where the
        reactor's thread puts them.
    """

    def __init__(self, folder: str, kind: str = "") -> None:
        store = kind == KEYED
        Names.endpoint = lambda *_: Endpoint(Vendor)
        path = Path(folder) / "bench.toml"
        more = PAID if store else GUARDRAILS if kind == GUARDED else ""
        more = "[cache]\nenabled = true\n" if kind in CACHED else more
        path.write_text(configuration() + more)
        logs.levels.set(load({}, str(path)).log)
        looking.TURN = looking.SOON = 60.0  # whose turn it is when is no matter of how fast the machine is
        wrong_keys.AT_ONCE = 10**9  # the answers to wrong keys are to be measured, not their waiting
        self.reactor = Reactor()
        self.reactor.advance(1_700_000_000)
        environ = {"LLMEDGE_STORE": f"sqlite:{folder}/bench.db"} if store else {}
        service = EdgeService(self.reactor, load(environ, str(path)))
        self.ledger = service._process.ledger
        if store:
            know_a_key(service)
        self.sent = 0
        self.site = service.site
        self.wire = Wire(self.site)

    def run(self, data: bytes, calls: int) -> None:
        wire = self.wire
        another = NUMBER in data
        for number in range(calls):
            if wire.transport.gone:
                wire = self.wire = Wire(self.site)
            if another:
                self.sent += 1
                wire.send(data.replace(NUMBER, (b"%08d" % self.sent).translate(_LETTERS)))
            else:
                wire.send(data)
            Vendor.answer()
            if not number % 64:
                assert wire.received(), "no answer"
                wire.transport.clear()
                self.reactor.advance(0.001)
                if self.ledger is not None:
                    self.ledger._records.clear()


def _callgrind(request: str) -> None:
    """Tell the callgrind this process runs in."""
    subprocess.run(["callgrind_control", request, str(os.getpid())], check=True, stdout=subprocess.DEVNULL)


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.calls", description=__doc__)
    options.add_argument("--seconds", type=float, default=2.0, help="CPU seconds for each kind")
    options.add_argument("--calls", type=int, default=0, help="so many calls of each kind, in callgrind; no figures")
    options.add_argument("--kind", action="append", choices=[*requests()], help="only this kind; repeatable")
    options.add_argument("--profile", action="store_true", help="print where the time goes")
    arguments = options.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        log = open(Path(folder) / "access.log", "w")  # noqa: SIM115 - open as long as the process
        observer = logs.sole(logs.JsonLog(log, logs.levels))  # of all services: two would be written to by publishing
        globalLogBeginner.beginLoggingTo([observer], discardBuffer=True, redirectStandardIO=False)
        benches = {"": Bench(folder)}

        def bench_for(kind: str) -> Bench:
            needs = CACHED[0] if kind in CACHED else kind if kind in (KEYED, GUARDED) else ""
            if needs not in benches:
                benches[needs] = Bench(folder, needs)
            return benches[needs]

        kinds = {kind: data for kind, data in requests().items() if not arguments.kind or kind in arguments.kind}
        if arguments.calls:
            logs.finish()  # lines are written by this thread: how often another wakes for them is chance
            for kind, data in kinds.items():
                bench = bench_for(kind)
                bench.run(data, 50)
                gc.collect()
                gc.disable()  # when it runs depends on everything that ran before
                _callgrind("--instr=on")
                _callgrind("--zero")
                bench.run(data, arguments.calls)
                _callgrind(f"--dump={kind}")
                _callgrind("--instr=off")
                gc.enable()
            return 0
        for kind, data in kinds.items():
            bench = bench_for(kind)
            bench.run(data, 500)
            gc.collect()
            best = float("inf")
            until = time.process_time() + arguments.seconds
            while time.process_time() < until:
                began = time.process_time()
                bench.run(data, 200)
                best = min(best, (time.process_time() - began) / 200)
            print(f"{kind:12}{best * 1e6:8.1f} us")
            if arguments.profile:
                import cProfile
                import pstats

                profile = cProfile.Profile()
                profile.runcall(bench.run, data, 2000)
                pstats.Stats(profile).sort_stats("tottime").print_stats(45)
    return 0


if __name__ == "__main__":
    sys.exit(main())

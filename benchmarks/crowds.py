"""What thousands of connections at once cost: streams that drip, and connections that wait for another call.

The load is made by ``benchmarks/streams.py`` in a process of its own; it, the stub and the gateway share the machine.
"""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from benchmarks.gateway import KEY, ROOT, Gateway, Stub, cpu_seconds, environ, memory_mb, waited_seconds
from benchmarks.rows import ASK, CHAT
from benchmarks.stub import DRIP_SECONDS


class Load:
    """The client's process; used as a context, it is gone afterwards."""

    def __init__(self, url: str, body: dict[str, Any], count: int, seconds: float = 0.0) -> None:
        command = [sys.executable, "-m", "benchmarks.streams", url, json.dumps(body, separators=(",", ":"))]
        command += ["--key", KEY, "--count", str(count), "--seconds", str(seconds)]
        pipe = subprocess.PIPE
        self.process = subprocess.Popen(command, cwd=ROOT, env=environ(), stdin=pipe, stdout=pipe, text=True)

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.stdin.close()  # type: ignore[union-attr]
        self.process.wait()
        self.process.stdout.close()  # type: ignore[union-attr]

    def told(self) -> dict[str, Any]:
        """The next line it prints."""
        line = self.process.stdout.readline()  # type: ignore[union-attr]
        if not line:
            raise RuntimeError("the load client ended early; what it said is above")
        told: dict[str, Any] = json.loads(line)
        return told


def streams(url: str, pid: int, body: dict[str, Any], count: int, seconds: float) -> dict[str, Any]:
    """``count`` streams for ``seconds``: CPU in us an event, delays in ms from the stub's write to the client's read.

    ``lost`` are streams that did not begin, or ended; nothing of them is in the other figures.
    """
    before = memory_mb(pid)
    with Load(url, {**ASK, **body, "stream": True}, count, seconds) as load:
        opened = load.told()
        cpu, waited = cpu_seconds(pid), waited_seconds(pid)
        told = load.told()
        spent, waited = cpu_seconds(pid) - cpu, waited_seconds(pid) - waited
        after = memory_mb(pid)
    delays = told["delay_ms"]
    found = {
        "streams": told["open"],
        "open_seconds": opened["seconds"],
        "settle_seconds": opened["settled"],
        "events_per_second": round(told["events"] / told["seconds"]),
        "events_sent_per_second": round(told["open"] / DRIP_SECONDS),
        "cpu_us_per_event": round(spent / told["events"] * 1e6, 1) if told["events"] else None,
        "cores": round(spent / told["seconds"], 2),
        "waited": round(waited / told["seconds"], 2),
        **{f"{name}_ms": round(delay, 2) for name, delay in delays.items()},
        "rss_mb": round(after, 1),
        "kb_each": round((after - before) * 1000 / told["open"], 1) if told["open"] else None,
        "errors": told["lost"],
    }
    return found | _lost(told, count, "streams")


def _lost(told: dict[str, Any], count: int, what: str) -> dict[str, Any]:
    """What there is to say of those that were lost, said."""
    if not told["lost"]:
        return {}
    print(f"{told['lost']} of {count} {what} were lost; the first said: {told['example']!r}")
    return {"example": told["example"]}


def from_stub(stub: Stub, count: int, seconds: float) -> dict[str, Any]:
    """Streams from the stub itself: what client, stub and machine have to do with the delays."""
    return streams(stub.url + CHAT, stub.process.pid, {"model": "drip"}, count, seconds)


def passed(gateway: Gateway, count: int, seconds: float) -> dict[str, Any]:
    """Streams to a client of the vendor's dialect."""
    return streams(gateway.url + CHAT, gateway.pid, {"model": "dripping"}, count, seconds)


def translated(gateway: Gateway, count: int, seconds: float) -> dict[str, Any]:
    """The same streams to a client of another dialect."""
    body = {"model": "dripping", "max_tokens": 100}
    return streams(gateway.url + "/v1/messages", gateway.pid, body, count, seconds)


def idle(gateway: Gateway, count: int) -> dict[str, Any]:
    """Memory of ``count`` connections that had a proxied chat each and are kept; in kB each.

    A few hundred come and go before, so that what they need once is not in it.
    """
    body = {**ASK, "model": "proxied"}
    with Load(gateway.url + CHAT, body, 300) as load:
        load.told()
    before = memory_mb(gateway.pid)
    with Load(gateway.url + CHAT, body, count) as load:
        told = load.told()
        after = memory_mb(gateway.pid)
    found = {
        "connections": told["open"],
        "open_seconds": told["seconds"],
        "rss_mb_before": round(before, 1),
        "rss_mb": round(after, 1),
        "kb_each": round((after - before) * 1000 / told["open"], 2) if told["open"] else None,
        "errors": told["lost"],
    }
    return found | _lost(told, count, "connections")

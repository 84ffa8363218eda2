"""The rows that ``wrk`` measures: one kind of call each, as many a second as there can be, or one at a time."""

from __future__ import annotations

import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.gateway import KEY, SLOW_KEY, Gateway, Nginx, Stub, cpu_seconds, memory_mb, missing, waited_seconds

CHAT = "/v1/chat/completions"
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hello " * 20}]}
REFUSED = ("401", "429")
"""Rows whose every answer is to be a refusal."""
TOO_BUSY = 1.0
"""Milliseconds a call to the stub itself may take: with more, what the gateway adds cannot be told."""
WARM_UP = 1
"""Seconds before a row."""
MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


def body(**more: Any) -> str:
    return json.dumps({**ASK, **more}, separators=(",", ":"))


def lua(text: str, key: str = KEY) -> str:
    return (
        f'wrk.method = "POST"\nwrk.body = [[{text}]]\n'
        f'wrk.headers["content-type"] = "application/json"\nwrk.headers["authorization"] = "Bearer {key}"\n'
    )


def rows() -> dict[str, tuple[str, str | None]]:
    """What is asked, by name: path and script for wrk."""
    translated = {"model": "proxied", "max_tokens": 100}
    return {
        "health": ("/health", None),
        "mock chat": (CHAT, lua(body(model="mocked"))),
        "proxied chat": (CHAT, lua(body(model="proxied"))),
        "60-event stream": (CHAT, lua(body(model="proxied", stream=True))),
        "translated chat": ("/v1/messages", lua(body(**translated))),
        "translated stream": ("/v1/messages", lua(body(**translated, stream=True))),
        "401": (CHAT, lua(body(model="proxied"), key="")),  # a wrong one would have to wait
        "429": (CHAT, lua(body(model="proxied"), key=SLOW_KEY)),
    }


def wrk(url: str, script: str | None, seconds: int, connections: int) -> str:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "10s", url]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script:
            file.write(script)
            file.flush()
            command[1:1] = ["-s", file.name]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def requests_in(text: str) -> int:
    return int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]


def _errors(text: str, refused: bool) -> int:
    """Answers that were not what they should be, and connections that failed."""
    found = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    bad = int(found[1]) if found else 0
    sockets = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", text)
    failed = sum(map(int, sockets.groups())) if sockets else 0
    return failed + (requests_in(text) - bad if refused else bad)


def bench(url: str, pid: int, row: str, seconds: int, connections: int) -> dict[str, Any]:
    """The figures of one row: CPU in us a call, latencies in ms, memory in MB."""
    path, script = rows()[row]
    wrk(url + path, script, WARM_UP, connections)
    before, waited, began = cpu_seconds(pid), waited_seconds(pid), time.monotonic()
    text = wrk(url + path, script, seconds, connections)
    spent, waited, took = cpu_seconds(pid) - before, waited_seconds(pid) - waited, time.monotonic() - began
    requests = requests_in(text)
    percentile = {
        share: float(figure) * MILLISECONDS[unit]
        for share, figure, unit in re.findall(r"^ +(50|99)% +([\d.]+)(us|ms|s|m)$", text, re.MULTILINE)
    }
    return {
        "requests_per_second": round(requests / seconds),
        "cpu_us": round(spent / requests * 1e6, 1) if requests else None,
        "cores": round(spent / took, 2),
        "waited": round(waited / took, 2),
        "p50_ms": round(percentile["50"], 3) if "50" in percentile else None,
        "p99_ms": round(percentile["99"], 3) if "99" in percentile else None,
        "rss_mb": round(memory_mb(pid), 1),
        "errors": _errors(text, row in REFUSED),
    }


def calls(gateway: Gateway, stub: Stub, seconds: int, connections: int) -> dict[str, dict[str, Any]]:
    """All rows, and what the gateway adds to a call that is alone, to one asked of the stub itself."""
    found = {row: bench(gateway.url, gateway.pid, row, seconds, connections) for row in rows()}
    direct = bench(stub.url, stub.process.pid, "proxied chat", seconds, 1)
    alone = bench(gateway.url, gateway.pid, "proxied chat", seconds, 1)
    for share in ("p50", "p99"):
        with_gateway, without = alone[f"{share}_ms"], direct[f"{share}_ms"]
        known = with_gateway is not None and without is not None and without < TOO_BUSY
        alone[f"added_{share}_ms"] = round(with_gateway - without, 3) if known else None
        if not known:
            alone[f"added_{share}_ms_why"] = f"the stub itself took {without} ms: the machine is too busy"
    found["proxied chat, 1 at once"] = alone
    found["stub itself, 1 at once"] = direct
    return found


def beside(
    folder: Path, stub: Stub, also: list[str], seconds: int, connections: int
) -> dict[str, dict[str, dict[str, Any]]]:
    """The same of the stub itself, of nginx before it, and of the gateways in ``also`` (``NAME=URL,PID``)."""
    found: dict[str, dict[str, dict[str, Any]]] = {}

    def measure(name: str, url: str, pid: int) -> None:
        found[name] = {row: bench(url, pid, row, seconds, connections) for row in ("proxied chat", "60-event stream")}
        if pid != stub.process.pid:  # which has that row beside the gateway's
            found[name]["proxied chat, 1 at once"] = bench(url, pid, "proxied chat", seconds, 1)

    measure("stub itself", stub.url, stub.process.pid)
    if why := missing("nginx"):
        found["nginx, bare proxy"] = {"proxied chat": {"not_measured": why}}
    else:
        nginx = Nginx(folder, stub.port)
        try:
            measure("nginx, bare proxy", nginx.url, nginx.pid)
        finally:
            nginx.stop()
    for each in also:
        name, _, rest = each.partition("=")
        url, _, pid = rest.rpartition(",")
        measure(name, url, int(pid))
    return found


def many_calls(gateway: Gateway, calls: int, connections: int) -> dict[str, Any]:
    """Memory before and after ``calls`` proxied chats, in MB; the first seconds warm up and are not counted."""
    path, script = rows()["proxied chat"]
    rate = max(1.0, requests_in(wrk(gateway.url + path, script, 3, connections)) / 3)
    samples = [round(memory_mb(gateway.pid), 2)]
    done = errors = 0
    before = cpu_seconds(gateway.pid)
    while done < calls:
        seconds = max(1, min(15, math.ceil((calls - done) / rate)))
        text = wrk(gateway.url + path, script, seconds, connections)
        if not requests_in(text):
            break
        done += requests_in(text)
        errors += _errors(text, False)
        samples.append(round(memory_mb(gateway.pid), 2))
        os.truncate(gateway.log, 0)  # a million lines would fill a small disk; it is opened to append
    return {
        "calls": done,
        "cpu_us": round((cpu_seconds(gateway.pid) - before) / max(done, 1) * 1e6, 1),
        "rss_mb_idle": round(gateway.idle, 2),
        "rss_mb_before": samples[0],
        "rss_mb": samples[-1],
        "growth_percent": round((samples[-1] / samples[0] - 1) * 100, 2),
        "errors": errors,
        "rss_mb_samples": samples,
    }


def flame(gateway: Gateway, path: Path, connections: int) -> None:
    """A flame graph of eight seconds of proxied chats, by py-spy."""
    spy = shutil.which("py-spy") or str(Path(sys.executable).parent / "py-spy")
    load = threading.Thread(target=bench, args=(gateway.url, gateway.pid, "proxied chat", 12, connections))
    load.start()
    time.sleep(2)
    try:
        subprocess.run([spy, "record", "-d", "8", "-r", "250", "-o", str(path), "-p", str(gateway.pid)], check=True)
        print(f"flame graph: {path}")
    finally:
        load.join()

"""``make bench``: what ``twist llmedge`` costs with everything switched on, and what it is to cost, side by side.

CPU is the gateway's own user and system time (from /proc) divided by its requests: far steadier than requests
a second, which depend on what else the machine does. Needs ``wrk`` (Debian package wrk); nginx, and h2load (package
nghttp2-client) are measured with if they are there. Loopback only.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.caching import ON, caching
from benchmarks.crowds import from_stub, idle, passed, translated
from benchmarks.gateway import ROOT, Gateway, Stub, missing, raise_descriptors
from benchmarks.rows import beside, calls, flame, many_calls
from benchmarks.targets import judge, show, show_targets, targets
from benchmarks.tls import certificate, over_tls

PARTS = ("calls", "cache", "beside", "streams", "idle", "memory", "tls")


class Bench:
    """One run; each part has a gateway of its own, so that none inherits another's memory.

    :ivar rows: figures by row.
    :ivar beside: the same for others, by their name.
    """

    def __init__(self, options: argparse.Namespace, folder: Path, stub: Stub) -> None:
        self._options = options
        self._folder = folder
        self._stub = stub
        self._starts: list[Gateway] = []
        self.rows: dict[str, dict[str, Any]] = {}
        self.beside: dict[str, dict[str, dict[str, Any]]] = {}

    @contextlib.contextmanager
    def _gateway(self, tls: tuple[str, str] | None = None, more: str = "") -> Any:
        gateway = Gateway(self._folder, self._stub.port, tls, more)
        self._starts.append(gateway)
        try:
            yield gateway
            for line in gateway.complaints()[:5]:
                print(f"the gateway complains: {line[:500].strip()}")
        finally:
            gateway.stop()

    def _show(self, title: str, rows: dict[str, dict[str, Any]]) -> None:
        self.rows |= rows
        show(title, rows)

    def calls(self) -> None:
        options = self._options
        with self._gateway() as gateway:
            self._show("calls", calls(gateway, self._stub, options.seconds, options.connections))
            if options.profile:
                flame(gateway, Path(options.profile), options.connections)

    def cache(self) -> None:
        with self._gateway() as off, self._gateway(more=ON) as on:
            self._show("with the cache", caching(off, on, 1, self._options.connections))

    def others(self) -> None:
        options = self._options
        self.beside = beside(self._folder, self._stub, options.also, options.seconds, options.connections)
        for name, rows in self.beside.items():
            show(name, rows)

    def streams(self) -> None:
        count, seconds = self._options.streams, self._options.seconds
        found = {"dripping, stub itself": from_stub(self._stub, count, seconds)}
        for name, measure in (("dripping, passed", passed), ("dripping, translated", translated)):
            with self._gateway() as gateway:
                found[name] = measure(gateway, count, seconds)
        self._show(f"{count:,} streams", found)

    def idle(self) -> None:
        with self._gateway() as gateway:
            self._show("kept connections", {"idle connections": idle(gateway, self._options.idle)})

    def memory(self) -> None:
        with self._gateway() as gateway:
            found = many_calls(gateway, self._options.calls, self._options.connections)
            self._show(f"memory, {found['calls']:,} calls", {"many calls": found})

    def tls(self) -> None:
        with self._gateway(certificate(self._folder)) as gateway:
            self._show("TLS", over_tls(gateway, self._options.seconds, self._options.connections))

    def started(self) -> None:
        """The median of all starts there were."""
        if self._starts:
            seconds = [round(gateway.ready, 3) for gateway in self._starts]
            self.rows["start"] = {
                "ready_seconds": round(statistics.median(seconds), 3),
                "all_ready_seconds": seconds,
                "rss_mb": round(statistics.median(gateway.idle for gateway in self._starts), 1),
            }


def revision() -> str | None:
    """The commit that is measured, if git knows."""
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty"]
    if shutil.which("git") is None:
        return None
    return subprocess.run(command, capture_output=True, text=True).stdout.strip() or None


def parse() -> argparse.Namespace:
    options = argparse.ArgumentParser(prog="make bench", description=__doc__)
    options.add_argument("--seconds", type=int, default=3, help="how long each row runs")
    options.add_argument("--connections", type=int, default=32, help="connections of wrk")
    options.add_argument("--streams", type=int, default=5000, help="streams at once")
    options.add_argument("--idle", type=int, default=10_000, help="connections kept open")
    options.add_argument("--calls", type=int, default=100_000, help="calls between two looks at memory; try 1000000")
    options.add_argument("--only", action="append", choices=PARTS, help="this part alone; repeatable")
    options.add_argument(
        "--also", action="append", default=[], metavar="NAME=URL,PID", help="another gateway before the same stub"
    )
    options.add_argument("--stub-port", type=int, default=0, help="where the stub listens, for --also")
    options.add_argument("--profile", metavar="FILE.svg", help="write a flame graph of proxied chats (needs py-spy)")
    return options.parse_args()


def main() -> int:
    options = parse()
    if why := missing("wrk"):
        print(f"make bench needs wrk: {why}", file=sys.stderr)
        return 1
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that what was started is ended
    descriptors = raise_descriptors()
    # A gateway has two sockets for each stream, and some hundred for the calls of those that are opened.
    for name, each in (("streams", 2), ("idle", 1)):
        most = (descriptors - 500) // each
        if getattr(options, name) > most:
            print(f"--{name} {most}: the hard limit of open files is {descriptors}")
            setattr(options, name, most)
    began = time.monotonic()
    failed: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        stub = Stub(options.stub_port)
        stack.callback(stub.stop)
        bench = Bench(options, Path(name), stub)
        parts = (bench.calls, bench.cache, bench.others, bench.streams, bench.idle, bench.memory, bench.tls)
        for part, run in zip(PARTS, parts, strict=True):
            if options.only and part not in options.only:
                continue
            try:
                run()
            except (OSError, RuntimeError, subprocess.CalledProcessError) as error:
                failed[part] = f"{type(error).__name__}: {error} {getattr(error, 'stderr', None) or ''}".strip()
                print(f"\n{part}: not measured, {failed[part]}")
        bench.started()
    judged = judge(bench.rows, targets(options.streams))
    if not options.only or failed:
        show_targets(judged)
    else:  # what was left out on purpose is not told
        show_targets([each for each in judged if each["row"] in bench.rows])
    document = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "revision": revision(),
        "options": vars(options),
        "seconds": round(time.monotonic() - began, 1),
        "rows": bench.rows,
        "beside": bench.beside,
        "targets": judged,
        "failed": failed,
    }
    target = ROOT / "benchmarks" / "results" / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document, indent=2) + "\n")
    print(f"\n{document['seconds']} s; results in {target.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

"""``make bench``: requests a second, CPU per request and memory of ``twist llmedge``, with everything switched on.

CPU is the gateway's own user and system time (from /proc) divided by its requests: far steadier than requests
a second, which depend on what else the machine does. Needs ``wrk`` (Debian package wrk). Loopback only.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TICK = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory_mb(pid: int) -> float:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def configuration(stub_port: int) -> str:
    """A hundred hashed keys, limits, routing, metrics, JSON access log."""
    keys = "".join(
        f'[[auth.keys]]\nname = "team-{i}"\nkey = "sha256:{hashlib.sha256(b"key-%d" % i).hexdigest()}"\n'
        f"rpm = 100000000\nburst = 1000000\n"
        for i in range(100)
    )
    return (
        "[rate_limit]\nrpm = 1000000000\nburst = 10000000\n"
        + keys
        + f'[providers.stub]\nbase_url = "http://127.0.0.1:{stub_port}/v1"\napi_key = "vendor-key"\n'
        + '[providers.mock]\ndialect = "mock"\n'
        + '[models.proxied]\ntargets = ["stub/stub"]\n[models.mocked]\ntargets = ["mock/mock"]\n'
    )


def lua(body: dict[str, object]) -> str:
    return (
        'wrk.method = "POST"\n'
        f"wrk.body = [[{json.dumps(body, separators=(',', ':'))}]]\n"
        'wrk.headers["content-type"] = "application/json"\nwrk.headers["authorization"] = "Bearer key-50"\n'
    )


def bench(url: str, pid: int, script: str | None, seconds: int, connections: int) -> dict[str, Any]:
    command = ["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", url]
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
        if script:
            file.write(script)
            file.flush()
            command[1:1] = ["-s", file.name]
        subprocess.run([*command[:-2], "-d1s", url], capture_output=True, check=True)  # warm up
        before = cpu_seconds(pid)
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        spent = cpu_seconds(pid) - before
    requests = int(re.search(r"(\d+) requests in", text)[1])  # type: ignore[index]
    bad = re.search(r"Non-2xx or 3xx responses: (\d+)", text)
    percentile = dict(re.findall(r"(50|99)%\s+([\d.]+\w+)", text))
    return {
        "requests_per_second": round(requests / seconds),
        "cpu_us_per_request": round(spent / requests * 1e6, 1),
        "p50": percentile.get("50"),
        "p99": percentile.get("99"),
        "errors": int(bad[1]) if bad else 0,
        "rss_mb": round(memory_mb(pid), 1),
    }


class Gateway:
    """``twist llmedge`` with everything switched on, in front of the stub."""

    def __init__(self, folder: Path, stub_port: int) -> None:
        config = folder / "llmedge.toml"
        config.write_text(configuration(stub_port))
        log = folder / "access.log"
        began = time.monotonic()
        twist = str(Path(sys.executable).parent / "twist")
        port = ["--port", "tcp:0:interface=127.0.0.1", "--config", str(config)]
        self.process = subprocess.Popen([twist, f"--log-file={log}", "llmedge", *port], cwd=ROOT, env=environ())
        while not log.exists() or "listening on" not in log.read_text():
            time.sleep(0.01)
        self.ready = time.monotonic() - began
        self.idle = memory_mb(self.process.pid)
        self.url = "http://" + re.search(r"listening on ([\d.:]+)", log.read_text())[1]  # type: ignore[index]

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


class Nginx:
    """nginx as a bare proxy before the same stub: what a hop costs at least."""

    def __init__(self, folder: Path, stub_port: int) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        config = folder / "nginx.conf"
        config.write_text(
            f"daemon off; master_process off; pid {folder}/nginx.pid; error_log stderr crit;\n"
            "events { worker_connections 1024; }\n"
            f"http {{ access_log {folder}/nginx.log; client_body_temp_path {folder}/b; proxy_temp_path {folder}/p;\n"
            f"fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;\n"
            f"upstream stub {{ server 127.0.0.1:{stub_port}; keepalive 64; }}\n"
            f"server {{ listen 127.0.0.1:{port}; keepalive_requests 100000000; location / {{ proxy_pass http://stub;\n"
            'proxy_http_version 1.1; proxy_set_header Connection ""; proxy_buffering off; } } }\n'
        )
        self.process = subprocess.Popen(["nginx", "-c", str(config), "-p", str(folder)], stderr=subprocess.DEVNULL)
        self.url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                return
            time.sleep(0.02)
        raise RuntimeError("nginx does not start")

    def stop(self) -> None:
        self.process.terminate()
        self.process.wait()


def environ() -> dict[str, str]:
    return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def rows() -> dict[str, tuple[str, str | None]]:
    """What is asked, by name: path and script for wrk."""
    chat, ask = "/v1/chat/completions", {"messages": [{"role": "user", "content": "hello " * 20}]}
    claude = {"model": "proxied", "max_tokens": 100, **ask}
    return {
        "health": ("/health", None),
        "mock chat": (chat, lua({"model": "mocked", **ask})),
        "proxied chat": (chat, lua({"model": "proxied", **ask})),
        "60-event stream": (chat, lua({"model": "proxied", "stream": True, **ask})),
        "translated chat": ("/v1/messages", lua(claude)),
        "translated stream": ("/v1/messages", lua({**claude, "stream": True})),
        "401": (chat, lua({"model": "proxied", **ask}).replace("key-50", "wrong")),
    }


def others(folder: Path, stub_port: int, also: list[str]) -> dict[str, tuple[str, int, Any]]:
    """Other gateways to compare with: name → URL, pid and what stops it."""
    found: dict[str, tuple[str, int, Any]] = {}
    if shutil.which("nginx"):
        nginx = Nginx(folder, stub_port)
        found["nginx, bare proxy"] = (nginx.url, nginx.process.pid, nginx.stop)
    for each in also:
        name, _, rest = each.partition("=")
        url, _, pid = rest.rpartition(",")
        found[name] = (url, int(pid), lambda: None)
    return found


def flame(pid: int, path: Path) -> None:
    """A flame graph of ten seconds, by py-spy."""
    spy = shutil.which("py-spy") or str(Path(sys.executable).parent / "py-spy")
    subprocess.run([spy, "record", "-d", "8", "-r", "250", "-o", str(path), "-p", str(pid)], check=True)
    print(f"flame graph: {path}")


def show(title: str, results: dict[str, dict[str, Any]]) -> None:
    print(f"\n{title:24}{'req/s':>8}{'CPU us':>9}{'p50':>10}{'p99':>10}{'RSS MB':>8}{'errors':>8}")
    for name, row in results.items():
        print(
            f"{name:24}{row['requests_per_second']:>8}{row['cpu_us_per_request']:>9}{row['p50']:>10}{row['p99']:>10}"
            f"{row['rss_mb']:>8}{row['errors']:>8}"
        )


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make bench", description=__doc__)
    arguments.add_argument("--seconds", type=int, default=5, help="how long each row runs")
    arguments.add_argument("--connections", type=int, default=32)
    arguments.add_argument(
        "--also", action="append", default=[], metavar="NAME=URL,PID", help="another gateway before the same stub"
    )
    arguments.add_argument("--stub-port", type=int, default=0, help="where the stub listens, for --also")
    arguments.add_argument("--profile", metavar="FILE.svg", help="write a flame graph of proxied chats (needs py-spy)")
    options = arguments.parse_args()
    if shutil.which("wrk") is None:
        print("make bench needs wrk: sudo apt-get install wrk", file=sys.stderr)
        return 1
    results: dict[str, dict[str, Any]] = {}
    with tempfile.TemporaryDirectory() as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        command = [sys.executable, "-m", "benchmarks.stub", str(options.stub_port)]
        stub = subprocess.Popen(command, cwd=ROOT, env=environ(), stdout=subprocess.PIPE, text=True)
        stack.callback(lambda: (stub.terminate(), stub.wait()))
        stub_port = int(stub.stdout.readline())  # type: ignore[union-attr]
        gateway = Gateway(folder, stub_port)
        stack.callback(gateway.stop)
        pid = gateway.process.pid
        for row, (path, script) in rows().items():
            results[row] = bench(gateway.url + path, pid, script, options.seconds, options.connections)
        path, script = rows()["proxied chat"]
        results["proxied chat, 1 at once"] = bench(gateway.url + path, pid, script, options.seconds, 1)
        if options.profile:
            load = threading.Thread(target=bench, args=(gateway.url + path, pid, script, 12, options.connections))
            load.start()
            time.sleep(2)
            flame(pid, Path(options.profile))
            load.join()
        show("llmedge", results)
        print(f"start to ready {gateway.ready:.2f} s, RSS when idle {gateway.idle:.1f} MB")
        beside: dict[str, dict[str, dict[str, Any]]] = {}
        for other, (url, other_pid, stop) in others(folder, stub_port, options.also).items():
            stack.callback(stop)
            beside[other] = {
                row: bench(url + rows()[row][0], other_pid, rows()[row][1], options.seconds, options.connections)
                for row in ("proxied chat", "60-event stream")
            }
            show(other, beside[other])
    document = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "ready_seconds": round(gateway.ready, 3),
        "idle_rss_mb": round(gateway.idle, 1),
        "rows": results,
        "beside": beside,
    }
    target = ROOT / "benchmarks" / "results" / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

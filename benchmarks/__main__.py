"""``make bench``: requests a second, CPU per request and memory of ``twist llmedge``, with everything switched on.

CPU is the gateway's own user and system time (from /proc) divided by its requests: far steadier than requests
a second, which depend on what else the machine does. Needs ``wrk`` (Debian package wrk). Loopback only.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

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


def bench(url: str, pid: int, script: str | None, seconds: int, connections: int) -> dict[str, float]:
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


def main() -> int:
    arguments = argparse.ArgumentParser(prog="make bench", description=__doc__)
    arguments.add_argument("--seconds", type=int, default=5, help="how long each row runs")
    arguments.add_argument("--connections", type=int, default=32)
    options = arguments.parse_args()
    if shutil.which("wrk") is None:
        print("make bench needs wrk: sudo apt-get install wrk", file=sys.stderr)
        return 1
    environ = {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}
    with tempfile.TemporaryDirectory() as folder:
        stub = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.stub"], cwd=ROOT, env=environ, stdout=subprocess.PIPE, text=True
        )
        config = Path(folder) / "llmedge.toml"
        config.write_text(configuration(int(stub.stdout.readline())))  # type: ignore[union-attr]
        log = Path(folder) / "access.log"
        began = time.monotonic()
        twist = str(Path(sys.executable).parent / "twist")
        port = ["--port", "tcp:0:interface=127.0.0.1", "--config", str(config)]
        gateway = subprocess.Popen([twist, f"--log-file={log}", "llmedge", *port], cwd=ROOT, env=environ)
        try:
            while not log.exists() or "listening on" not in log.read_text():
                time.sleep(0.01)
            ready = time.monotonic() - began
            address = re.search(r"listening on ([\d.:]+)", log.read_text())[1]  # type: ignore[index]
            base = f"http://{address}"
            idle = memory_mb(gateway.pid)
            ask = {"messages": [{"role": "user", "content": "hello " * 20}]}
            rows = {
                "health": ("/health", None),
                "mock chat": ("/v1/chat/completions", lua({"model": "mocked", **ask})),
                "proxied chat": ("/v1/chat/completions", lua({"model": "proxied", **ask})),
                "proxied 60-event stream": ("/v1/chat/completions", lua({"model": "proxied", "stream": True, **ask})),
                "401": ("/v1/chat/completions", lua({"model": "proxied", **ask}).replace("key-50", "wrong")),
            }
            results = {
                name: bench(base + path, gateway.pid, script, options.seconds, options.connections)
                for name, (path, script) in rows.items()
            }
        finally:
            gateway.terminate()
            stub.terminate()
            gateway.wait()
            stub.wait()
    print(f"\n{'':26}{'req/s':>8}{'CPU us':>9}{'p50':>10}{'p99':>10}{'RSS MB':>8}")
    for name, row in results.items():
        print(
            f"{name:26}{row['requests_per_second']:>8}{row['cpu_us_per_request']:>9}{row['p50']:>10}{row['p99']:>10}"
            f"{row['rss_mb']:>8}"
        )
    print(f"start to ready {ready:.2f} s, RSS when idle {idle:.1f} MB")
    document = {
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "ready_seconds": round(ready, 3),
        "idle_rss_mb": round(idle, 1),
        "rows": results,
    }
    path = ROOT / "benchmarks" / "results" / f"{time.strftime('%Y%m%dT%H%M%S')}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(document, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""What ``make bench`` measures: the processes it starts, and what they use by the word of /proc."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
TICK = os.sysconf("SC_CLK_TCK")
KEYS = 100
KEY = "key-50"
"""May ask as often as it likes."""
SLOW_KEY = "key-99"
"""May ask once a minute."""


def cpu_seconds(pid: int) -> float:
    """User and system time of all its threads so far, to a hundredth of a second."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def waited_seconds(pid: int) -> float:
    """Time its main thread was ready to run and others had the cores: how much of a delay is the machine's."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


def memory_mb(pid: int) -> float:
    """Resident memory in millions of bytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def raise_descriptors() -> int:
    """Allow this process, and those it starts, as many open files as the hard limit permits; how many."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def environ() -> dict[str, str]:
    """Nothing of the caller's environment configures what is measured."""
    return {"PATH": os.environ["PATH"], "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}"}


def configuration(stub_port: int) -> str:
    """A hundred hashed keys, limits, routing, metrics, JSON access log; room for ten thousand connections."""
    often = "rpm = 100000000\nburst = 1000000\n"
    keys = "".join(
        f'[[auth.keys]]\nname = "team-{number}"\nkey = "sha256:{hashlib.sha256(b"key-%d" % number).hexdigest()}"\n'
        + ("rpm = 1\nburst = 1\n" if f"key-{number}" == SLOW_KEY else often)
        for number in range(KEYS)
    )
    return (
        "[server]\nmax_connections = 50000\nmax_connections_per_address = 0\nmax_requests = 50000\n"
        "[upstream]\nmax_connections = 50000\n"
        "[rate_limit]\nrpm = 1000000000\nburst = 10000000\n"
        + keys
        + f'[providers.stub]\nbase_url = "http://127.0.0.1:{stub_port}/v1"\napi_key = "vendor-key"\n'
        + '[providers.mock]\ndialect = "mock"\n'
        + '[models.proxied]\ntargets = ["stub/stub"]\n[models.mocked]\ntargets = ["mock/mock"]\n'
        + '[models.dripping]\ntargets = ["stub/drip"]\n'
    )


def _end(process: subprocess.Popen[Any]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class Stub:
    """The vendor: ``benchmarks/stub.py`` in a process of its own."""

    def __init__(self, port: int = 0) -> None:
        command = [sys.executable, "-m", "benchmarks.stub", str(port)]
        self.process = subprocess.Popen(command, cwd=ROOT, env=environ(), stdout=subprocess.PIPE, text=True)
        self.port = int(self.process.stdout.readline())  # type: ignore[union-attr]
        self.url = f"http://127.0.0.1:{self.port}"

    def stop(self) -> None:
        _end(self.process)


class Gateway:
    """``twist llmedge`` with everything switched on, in front of the stub.

    :param tls: paths of a certificate and its key, for a second port with TLS. ``more``: configuration.
    :ivar ready: seconds from its start until it listens.
    :ivar idle: its memory then, in MB.
    """

    def __init__(self, folder: Path, stub_port: int, tls: tuple[str, str] | None = None, more: str = "") -> None:
        own = Path(tempfile.mkdtemp(dir=folder))
        config = own / "llmedge.toml"
        config.write_text(configuration(stub_port) + more)
        self.log = own / "access.log"
        place = "0:interface=127.0.0.1:backlog=1024"  # Twisted's 50 would have hundreds wait a second to be let in
        arguments = ["--config", str(config), "--port", f"tcp:{place}"]
        if tls:
            arguments += ["--port", f"ssl:{place}:certKey={tls[0]}:privateKey={tls[1]}"]
        twist = str(Path(sys.executable).parent / "twist")
        began = time.monotonic()
        self.process = subprocess.Popen([twist, f"--log-file={self.log}", "llmedge", *arguments], env=environ())
        self.pid = self.process.pid
        ports: list[str] = []
        while len(ports) < (2 if tls else 1):
            if self.process.poll() is not None:
                raise RuntimeError(f"the gateway does not start: {self._said()[-2000:]}")
            time.sleep(0.01)
            ports = re.findall(r'"listening on 127\.0\.0\.1:(\d+)', self._said())
        self.ready = time.monotonic() - began
        self.idle = memory_mb(self.pid)
        self.url = f"http://127.0.0.1:{ports[0]}"
        self.tls_port = int(ports[-1]) if tls else 0

    def _said(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def complaints(self) -> list[str]:
        """Lines of its log that are neither the access log nor what a start says: warnings and errors."""
        with self.log.open() as lines:
            return [line for line in lines if '"level":"WARN"' in line or '"level":"ERROR"' in line]

    def stop(self) -> None:
        _end(self.process)


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
        self.pid = self.process.pid
        self.url = f"http://127.0.0.1:{port}"
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.1):
                return
            time.sleep(0.02)
        self.stop()
        raise RuntimeError("nginx does not start")

    def stop(self) -> None:
        _end(self.process)


def missing(program: str) -> str | None:
    """What to install where ``program`` is not there."""
    package = {"h2load": "nghttp2-client"}.get(program, program)
    return None if shutil.which(program) else f"{program} is not installed (Debian package {package})"

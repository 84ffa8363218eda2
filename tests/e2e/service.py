"""The real ``twist llmedge`` as a process, for tests, with everything it wrote."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import sys
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessTerminated
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

import tests
from tests.folders import new_folder, shared_folder

reactor: Any = _reactor
ROOT = str(Path(tests.__file__).parent.parent)
PYTHONPATH = f"{ROOT}/src{os.pathsep}{ROOT}"
PATIENCE = 120.0
"""Seconds after which something will not come any more: no test waits for this, on a busy machine neither."""
TIMEOUT = 5 * PATIENCE
"""Of a whole test, for trial."""
PATIENT = {
    "server": f"timeout = {PATIENCE}",
    "upstream": f"connect_timeout = {PATIENCE}\nidle_timeout = {PATIENCE}",
}
"""Sections for a test that has none of its own, so that no limit fires only because the machine is slow."""
CANARY_KEY = "canary-client-key-9f31c2"
CANARY_VENDOR = "canary-vendor-key-77ab10"


class Process(ProcessProtocol):
    """A child process: its output, a Deferred for the line that says it is ready, and one for its end."""

    def __init__(self, ready: str | None) -> None:
        self._ready_text = ready
        self.ready: Deferred[str] = Deferred()
        self.ended: Deferred[int] = Deferred()
        self._out, self._err = StringIO(), StringIO()  # texts that grow would be copied whenever something comes
        self._buffer = ""

    def start(self, arguments: list[str], environ: Mapping[str, str], cwd: str | None = None) -> None:
        env = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
        reactor.spawnProcess(self, arguments[0], arguments, env=env | dict(environ), path=cwd)

    def outReceived(self, data: bytes) -> None:
        text = data.decode("utf-8", "replace")
        self._out.write(text)
        self._buffer += text
        *lines, self._buffer = self._buffer.split("\n")
        for line in lines:
            if self._ready_text and self._ready_text in line and not self.ready.called:
                self.ready.callback(line)

    def errReceived(self, data: bytes) -> None:
        self._err.write(data.decode("utf-8", "replace"))

    def processEnded(self, reason: Failure) -> None:
        code = reason.value.exitCode if isinstance(reason.value, ProcessTerminated) else 0
        if not self.ready.called:
            self.ready.errback(RuntimeError(f"ended with {code} before it was ready:\n{self.out}\n{self.err}"))
        self.ended.callback(code if code is not None else -reason.value.signal)

    @property
    def out(self) -> str:
        return self._out.getvalue()

    @property
    def err(self) -> str:
        return self._err.getvalue()

    @property
    def pid(self) -> int:
        pid: int = self.transport.pid  # type: ignore[union-attr]
        return pid

    async def stop(self) -> int:
        if not self.ended.called:
            self.transport.signalProcess(signal.SIGTERM)  # type: ignore[union-attr]
        return await self.ended


def command(name: str) -> str:
    return str(Path(sys.executable).parent / name)


class Gateway:
    """``twist llmedge`` on a free loopback port.

    :param toml: a configuration file's text; ``PORT`` of vendors is the caller's to fill in.
    :ivar config: where that file is.
    """

    def __init__(
        self,
        toml: str = "",
        environ: Mapping[str, str] | None = None,
        arguments: tuple[str, ...] = ("--port", "tcp:0:interface=127.0.0.1"),
        runner: tuple[str, ...] = ("twist",),
    ) -> None:
        self._toml = toml
        self.config = new_folder() / "gateway.toml"
        self._environ = {"PYTHONPATH": PYTHONPATH, "RATE_LIMIT_ENABLED": "false", "LOG_LEVEL": "debug"} | dict(
            environ or {}
        )
        self._arguments = arguments
        self._runner = runner
        self.process = Process("listening on ")
        self.port = 0

    def launch(self) -> None:
        """Start without waiting."""
        arguments = list(self._arguments)
        if self._toml:
            self.write(self._toml)
            arguments += ["--config", str(self.config)]
        runner = [command(self._runner[0]), *self._runner[1:]]
        self.process.start([*runner, "llmedge", *arguments], self._environ, ROOT)

    def write(self, toml: str) -> None:
        """Make ``toml`` the configuration, to be read by the start or the next reload."""
        more = (f"\n[{name}]\n{lines}\n" for name, lines in PATIENT.items() if f"[{name}]\n" not in toml)
        self.config.write_text(toml + "".join(more))

    async def start(self) -> Gateway:
        self.launch()
        line = await self.process.ready
        self.port = int(line.partition("listening on ")[2].partition('"')[0].rpartition(":")[2])
        return self

    async def stop(self) -> int:
        return await self.process.stop()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def logs(self) -> list[dict[str, Any]]:
        """The JSON lines so far."""
        return [json.loads(line) for line in self.process.out.rpartition("\n")[0].splitlines() if line.startswith("{")]

    def access(self) -> list[dict[str, Any]]:
        """The fields of the access log's lines for the API."""
        return [
            line["fields"] for line in self.logs() if line["target"] == "llmedge.access" and line["level"] == "INFO"
        ]

    def memory(self) -> int:
        """Resident memory in bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")


class LlamaServer:
    """llama.cpp's server on the tiny model."""

    def __init__(self, api_key: str = "", port: int = 0) -> None:
        self._api_key = api_key
        self.process = Process("ready")
        self.port = port

    async def start(self) -> LlamaServer:
        from tests.e2e import tiny_model

        model = shared_folder() / "tiny.gguf"
        if not model.exists():
            tiny_model.write(str(model))
        self.port = self.port or free_port()
        script = str(Path(__file__).with_name("llama_server.py"))
        arguments = [sys.executable, script, str(model), str(self.port)]
        if self._api_key:
            arguments.append(self._api_key)
        self.process.start(arguments, {})
        await self.process.ready
        return self

    async def stop(self) -> int:
        self.process.transport.closeStdin()  # type: ignore[union-attr]
        self.process.transport.signalProcess(signal.SIGKILL)  # type: ignore[union-attr]
        return await self.process.ended


def free_port() -> int:
    """One that nobody listens on, and that no other process is given by chance: kernels give out higher ones."""
    import socket

    while True:
        port = random.randrange(10_000, 32_768)
        with socket.socket() as sock, contextlib.suppress(OSError):
            sock.bind(("127.0.0.1", port))
            return port


async def until(condition: Any, what: str) -> None:
    """Wait for ``condition()``, looking every 10 ms."""
    from twisted.internet.task import deferLater

    deadline = reactor.seconds() + PATIENCE
    while not condition():
        if reactor.seconds() > deadline:
            raise AssertionError(f"not within {PATIENCE:g} s: {what}")
        await deferLater(reactor, 0.01)


def connections(port: int, state: str = "01", *, remote: bool = False) -> int:
    """How many IPv4 connections with ``port`` on this side, or the other, the kernel has in ``state``.

    :param state: ``01`` established, ``02`` asked for, ``0A`` listening.
    """
    at = 2 if remote else 1
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[at].endswith(f":{port:04X}") and row[3] == state for row in rows)

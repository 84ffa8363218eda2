"""Redis servers of our own, and Sentinels: each with a port, a folder and an end."""

from __future__ import annotations

import atexit
import contextlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import hiredis

from tests.e2e.service import free_port


def missing() -> str:
    """Why there is none; ``""`` if there may be."""
    return "" if shutil.which("redis-server") else "Redis (Debian package redis-server) is not installed"


class RedisServer:
    """One that is started, and removed when the process ends.

    :param settings: lines of its configuration. ``sentinel``: it is one.
    """

    def __init__(self, *settings: str, sentinel: bool = False, port: int = 0) -> None:
        self.port = port or free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="llmedge-redis-", dir="/tmp"))
        self._sentinel = sentinel
        file = self.folder / "redis.conf"
        usual = [f"port {self.port}", "bind 127.0.0.1", f"dir {self.folder}", 'save ""', "appendonly no"]
        file.write_text("\n".join([*(usual[:3] if sentinel else usual), *settings]) + "\n")
        self._process: subprocess.Popen[bytes] | None = None
        self.start()
        atexit.register(self.remove)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    def start(self) -> None:
        """(Again.)"""
        mode = ["--sentinel"] if self._sentinel else []
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ["redis-server", str(self.folder / "redis.conf"), *mode], stdout=log, stderr=log, cwd=self.folder
            )
        self.wait()

    def wait(self) -> None:
        """Until it answers."""
        for _ in range(1000):
            with contextlib.suppress(OSError):
                self.ask("PING")
                return
            time.sleep(0.02)
        raise AssertionError((self.folder / "log").read_text())

    def ask(self, *command: str | bytes) -> Any:
        """What it answers; errors are values."""
        return ask(("127.0.0.1", self.port), *command)

    def ask_as(self, user: str, password: str, command: str) -> Any:
        """The same of a server that wants to know who asks."""
        return ask(("127.0.0.1", self.port), *command.split(), login=("AUTH", user, password))

    def freeze(self) -> None:
        """It answers nobody, until :meth:`thaw`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """As a crash would."""
        assert self._process is not None
        self._process.kill()
        self._process.wait()

    def remove(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def ask(address: tuple[str, int], *command: str | bytes, login: tuple[str, ...] = ()) -> Any:
    """One command on a connection of its own."""
    reader = hiredis.Reader(notEnoughData=_MORE)
    with socket.create_connection(address, 5) as connection:
        reply: Any = None
        for each in filter(None, (login, command)):
            connection.sendall(hiredis.pack_command(each))
            while (reply := reader.gets()) is _MORE:
                data = connection.recv(65536)
                if not data:
                    raise ConnectionResetError
                reader.feed(data)
        return reply


_MORE = object()


def sentinel_of(master: RedisServer, name: str = "mymaster", *more: str) -> RedisServer:
    """A Sentinel that alone decides, within half a second."""
    return RedisServer(
        f"sentinel monitor {name} 127.0.0.1 {master.port} 1",
        f"sentinel down-after-milliseconds {name} 500",
        f"sentinel failover-timeout {name} 5000",
        *more,
        sentinel=True,
    )


def replica_of(master: RedisServer) -> RedisServer:
    """Ready to take over."""
    replica = RedisServer(f"replicaof 127.0.0.1 {master.port}")
    for _ in range(1000):
        if b"master_link_status:up" in replica.ask("INFO", "replication"):
            return replica
        time.sleep(0.02)
    raise AssertionError("it does not replicate")

"""A PostgreSQL server of our own, one a test process, with a database for each test that asks."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from tests.e2e.service import free_port

_numbers = itertools.count()


def missing() -> str:
    """Why there is none; ``""`` if there may be."""
    return "" if _programs() is not None else "PostgreSQL (Debian package postgresql) is not installed"


def _programs() -> Path | None:
    """The folder of the newest release's programs."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    here = shutil.which("initdb")
    return Path(here).parent if here else None


class Server:
    """One that is started, and removed when the process ends."""

    def __init__(self) -> None:
        programs = _programs()
        assert programs is not None
        self._programs = programs
        # PostgreSQL does not run as root.
        self._as = {"user": "postgres", "group": "postgres"} if os.getuid() == 0 else {}
        self.folder = Path(tempfile.mkdtemp(prefix="llmedge-pg-", dir="/tmp"))
        if self._as:
            shutil.chown(self.folder, **self._as)
        self._run("initdb", "-D", self.data, "-A", "trust", "-U", "llmedge", "-N", "-E", "UTF8", "--locale=C")
        self.port = free_port()
        self.start()
        atexit.register(self.remove)

    @property
    def data(self) -> str:
        return str(self.folder / "data")

    def _run(self, program: str, *arguments: str) -> None:
        subprocess.run(
            [self._programs / program, *arguments],
            check=True,
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._as,
        )

    def start(self) -> None:
        """(Again.)"""
        options = f"-p {self.port} -c listen_addresses=127.0.0.1 -k {self.folder} -c fsync=off -c shared_buffers=32MB"
        self._run("pg_ctl", "start", "-w", "-t", "120", "-D", self.data, "-l", str(self.folder / "log"), "-o", options)

    def stop(self, mode: str = "immediate") -> None:
        """As a crash would, or ``fast``."""
        self._run("pg_ctl", "stop", "-w", "-D", self.data, "-m", mode)

    def processes(self) -> list[int]:
        """Its process ids, the postmaster's first."""
        first = int((self.folder / "data/postmaster.pid").read_text().split()[0])
        children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
        return [first, *map(int, children)]

    def freeze(self) -> None:
        """It answers nobody, until :meth:`thaw`."""
        for process in self.processes():
            os.kill(process, signal.SIGSTOP)

    def thaw(self) -> None:
        for process in self.processes():
            with contextlib.suppress(ProcessLookupError):  # one that is let go on may end
                os.kill(process, signal.SIGCONT)

    def database(self) -> str:
        """The URL of a new, empty one."""
        name = f"test_{os.getpid()}_{next(_numbers)}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "llmedge", name)
        return f"postgresql://llmedge@127.0.0.1:{self.port}/{name}"

    def remove(self) -> None:
        try:
            self.thaw()
            self.stop()
        except (OSError, subprocess.CalledProcessError):
            pass  # it is not there any more
        shutil.rmtree(self.folder, ignore_errors=True)


@cache
def server() -> Server:
    """The process's own."""
    return Server()

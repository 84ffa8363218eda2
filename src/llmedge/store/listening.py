"""Hears at once what others have changed in PostgreSQL (LISTEN), in a thread and on a connection of its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import psycopg

from llmedge.store.database import DatabaseError
from llmedge.store.postgresql import CHANNEL, connect

AGAIN = 5.0
"""Seconds until a connection that was lost is tried again: what is not heard meanwhile is looked for anyway."""


class Listener:
    """Calls ``heard`` on the reactor's thread after each change, and once it listens: something may have been missed.

    The thread is a daemon, as the database's is.
    """

    def __init__(self, reactor: Any, url: str, heard: Callable[[], object]) -> None:
        self._reactor, self._url, self._heard = reactor, url, heard
        self._stopped = False

    def start(self) -> None:
        """Once the process is the one that stays: a fork would leave the thread behind."""
        threading.Thread(target=self._run, name="llmedge-listen", daemon=True).start()

    def stop(self) -> None:
        """What is heard from now on is nobody's business any more."""
        self._stopped = True

    def _run(self) -> None:
        while not self._stopped:
            try:
                with connect(self._url) as connection:
                    connection.execute(f"LISTEN {CHANNEL}")
                    self._tell()
                    self._listen(connection)
            except (psycopg.Error, DatabaseError):
                time.sleep(AGAIN)  # the store's own connection says what is wrong

    def _listen(self, connection: psycopg.Connection) -> None:
        while not self._stopped:
            for _ in connection.notifies(timeout=1.0, stop_after=1):
                self._tell()

    def _tell(self) -> None:
        if not self._stopped:
            self._reactor.callFromThread(self._heard)

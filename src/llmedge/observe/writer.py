"""Lines to a file from a thread of its own: a full pipe or a slow disk never holds up the reactor."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from typing import IO

LIMIT = 20000
"""Lines held while the file does not take them; beyond that the newest are dropped, and counted."""

_GATHER = 0.02
"""Seconds that lines are gathered for: waking a thread for each would cost more than writing them."""


_forks = 0


def _forked() -> None:
    global _forks
    _forks += 1


os.register_at_fork(after_in_child=_forked)


class LineWriter:
    """Writes whole lines in batches. The thread starts with the first line, also after a fork (``twistd``).

    :param out: a text file. It is never closed here.
    """

    def __init__(self, out: IO[str]) -> None:
        self._out = out
        self._lines: deque[str] = deque()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._idle.set()
        self._dropped = 0
        self._process = -1  # of how many forks, the one its thread runs in
        self._finished = False

    def write(self, line: str) -> None:
        """Take one line, its newline included. Returns at once."""
        if self._finished:
            self._out.write(line)
            self._out.flush()
            return
        if self._process != _forks:
            self._start()
        if len(self._lines) >= LIMIT:
            self._dropped += 1
            return
        self._lines.append(line)
        if not self._wake.is_set():
            self._idle.clear()
            self._wake.set()

    def flush(self, timeout: float = 2.0) -> bool:
        """Wait until all lines are out; whether they are. For the end of the process and for tests."""
        if self._process != _forks:
            return True
        until = time.monotonic() + timeout
        while (done := self._idle.wait(max(0.0, until - time.monotonic()))) and self._lines:
            time.sleep(0.001)  # a line came while the thread was about to rest
        return done

    def finish(self) -> None:
        """The process is about to end: everything out now, and whatever still comes at once.

        Not left to ``atexit``: twist and twistd end a process that got a signal by that signal.
        """
        self.flush()
        self._finished = True

    def _start(self) -> None:
        self._process = _forks
        self._wake = threading.Event()
        self._idle = threading.Event()
        threading.Thread(target=self._run, name="llmedge-log", daemon=True).start()

    def _run(self) -> None:
        while True:
            self._wake.wait()
            time.sleep(_GATHER)
            self._wake.clear()
            while self._lines:
                batch = [self._lines.popleft() for _ in range(min(len(self._lines), 512))]
                if self._dropped:
                    batch.append(f'{{"level":"WARN","fields":{{"message":"{self._dropped} log lines dropped"}}}}\n')
                    self._dropped = 0
                try:
                    self._out.write("".join(batch))
                    self._out.flush()
                except (OSError, ValueError):
                    pass  # nowhere to say it
            if not self._wake.is_set():
                self._idle.set()

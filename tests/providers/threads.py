"""A reactor that counts what is done in threads."""

from typing import Any

from twisted.python.failure import Failure

from tests.fakes import Reactor


class Counting(Reactor):
    """Counts what is done in threads."""

    threads = 0

    def callInThreadWithCallback(self, done: Any, function: Any, *args: Any, **kw: Any) -> None:
        self.threads += 1
        try:
            result = function(*args, **kw)
        except Exception:
            done(False, Failure())
        else:
            done(True, result)

"""Secrets that are in files: which they are, whether they have changed, and who has to know."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llmedge.config import Settings
from llmedge.config.renewal import renewed, secret_files
from llmedge.files import FileState, state_of
from llmedge.record import Record


class SecretFiles:
    """The files behind ``file:`` in the settings in force.

    :param refused: called when a call has ended in which a vendor refused a key, where any is in a file.
    """

    def __init__(self, refused: Callable[[], None]) -> None:
        self.files: list[str] = []
        self._seen: FileState = ()
        self._refused = refused

    def hear(self, settings: Settings, observers: list[Callable[[Record], None]]) -> None:
        """Be among ``observers`` where ``settings`` have such files; before anything is built that tells them."""
        if secret_files(settings) and self._observe not in observers:
            observers.append(self._observe)

    def watch(self, settings: Settings) -> None:
        """From now on the files of ``settings``, which are read again at the next look: they may have changed since
        ``settings`` were read, and been seen by a look that nothing came of."""
        self.files = secret_files(settings)
        self._seen = ()

    def renewed(self, settings: Settings) -> Settings:
        """``settings`` with what their files hold now; the same object if nothing has changed. Asks the disk.

        :raises ValueError: a file cannot be read or used. It is not tried again until it changes.
        """
        state = state_of(self.files)
        if state == self._seen:
            return settings
        self._seen = state
        return renewed(settings)

    def _observe(self, record: Any) -> None:
        if any(attempt.cause == "credentials" for attempt in record.routing.attempts):
            self._refused()

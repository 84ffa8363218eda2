"""Folders for what tests write: under the system's temporary folder, never the current one, gone with the process."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path


@functools.cache
def _everything() -> tempfile.TemporaryDirectory[str]:
    return tempfile.TemporaryDirectory(prefix="llmedge-", ignore_cleanup_errors=True)  # removed at exit


def new_folder() -> Path:
    """An empty folder that nobody else uses."""
    return Path(tempfile.mkdtemp(dir=shared_folder()))


def shared_folder() -> Path:
    """One folder for all tests of this process, for what is slow to make and the same for each."""
    return Path(_everything().name)

"""How hard tests try: less in ``make quick``, more in ``make soak`` than in ``make test``."""

from __future__ import annotations

import os

QUICK, SOAK = (os.environ.get("LLMEDGE_EFFORT") == name for name in ("quick", "soak"))


def so_many(usual: int, *, quick: int | None = None, soak: int | None = None) -> int:
    """A count of examples, calls or the like: ``usual``, or what this run is to take instead."""
    if QUICK and quick is not None:
        return quick
    return soak if SOAK and soak is not None else usual


def examples(usual: int) -> int:
    """How many examples hypothesis tries where it tries ``usual`` in ``make test``."""
    return so_many(usual, quick=max(10, usual // 5), soak=5 * usual)

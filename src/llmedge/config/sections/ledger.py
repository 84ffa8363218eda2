"""``[ledger]``: a row for each call, in the store."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Ledger:
    """How calls are written down. Only with a store."""

    durability: str = option(
        kinds.choice("100ms", "strict"),
        "100ms",
        "What a crash may cost: the rows of the last 100 ms, or, strict, nothing: each call waits for the disk first.",
    )
    on_full: str = option(
        kinds.choice("block", "shed"),
        "block",
        "When rows can be kept nowhere: refuse new calls (503), or lose rows and count them.",
    )
    spool: str = option(
        kinds.string,
        "",
        "Folder for rows on their way to the database, of one process alone; default: beside SQLite's file, else "
        ".llmedge/spool.",
    )
    spool_max: int = option(kinds.integer(2**20), 2**30, "Bytes that may wait there.")
    retention: int = option(
        kinds.integer(0, 36_500), 400, "Days that rows are kept, by whole months; 0: for ever. Sums stay."
    )

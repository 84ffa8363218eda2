"""``[log]``: what is logged."""

from __future__ import annotations

import attrs

from llmedge.config import header_lists, kinds
from llmedge.config.option import option


@attrs.frozen
class Log:
    """What is logged."""

    level: str = option(
        kinds.choice("trace", "debug", "info", "warn", "error", "off"), "info", "Lowest level.", env="LOG_LEVEL"
    )
    filter: str = option(
        kinds.string, "", "Levels by namespace: llmedge=debug,twisted=warn.", env=("LOG_FILTER", "RUST_LOG")
    )
    fields: tuple[str, ...] = option(
        kinds.choices("user", "tags", "metadata"),
        (),
        "What of a request its access line has besides; may be private.",
    )
    headers: tuple[str, ...] = option(header_lists.logged, (), "Headers of a request that its access line has.")

"""``[log]``: what is logged."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
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

"""``[admin]``: a place for operators."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Admin:
    """A place for operators only."""

    listen: tuple[str, ...] = option(
        kinds.strings, (), "Twisted endpoint strings that serve /health and /metrics, and nothing else."
    )
    keep_public: bool = option(kinds.boolean, False, "Serve /health and /metrics on the other endpoints as well.")

"""``[rate_limit]``: requests a minute."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class RateLimit:
    """The bucket all callers share, and the defaults of their own."""

    enabled: bool = option(kinds.boolean, True, "Limit requests at all.", env="RATE_LIMIT_ENABLED")
    rpm: int = option(kinds.integer(1), 1000, "Requests a minute, all callers together.", env="RATE_LIMIT_RPM")
    burst: int = option(kinds.integer(1), 100, "Requests at once, all callers together.", env="RATE_LIMIT_BURST")

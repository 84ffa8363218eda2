"""``[metrics]``: Prometheus."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Metrics:
    """Prometheus metrics."""

    enabled: bool = option(kinds.boolean, True, "Serve /metrics.", env="ENABLE_METRICS")

"""``[upstream]``: limits of each attempt."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Upstream:
    """Limits of each attempt at a vendor. All lie within the call's own deadline."""

    connect_timeout: float = option(
        kinds.number(0.01, 3600), 5.0, "Seconds to open a connection, TLS handshake included."
    )
    first_byte_timeout: float = option(
        kinds.number(0, 3600), 0.0, "Seconds from the request sent to the answer's headers; 0: the deadline alone."
    )
    first_token_timeout: float = option(
        kinds.number(0, 3600), 0.0, "Seconds from the request sent to a stream's first content; 0: the deadline alone."
    )
    idle_timeout: float = option(kinds.number(0.01, 3600), 30.0, "Seconds of silence within an answer that has begun.")
    max_response_size: int = option(kinds.integer(1024), 67108864, "Largest whole answer, in bytes.")
    max_event_size: int = option(kinds.integer(1024), 16777216, "Largest single event of a stream, in bytes.")
    max_connections: int = option(
        kinds.integer(1, 65536), 1024, "Connections to one vendor; more calls wait for one, connect_timeout at most."
    )
    keepalive: float = option(
        kinds.number(0, 3600), 30.0, "Seconds an idle connection is kept; below what vendors keep theirs."
    )
    models_refresh: float = option(
        kinds.number(0, 86400), 300.0, "Seconds after which a vendor's list of models is old; 0: they are never asked."
    )

"""What all connections and requests of one site share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.web.http import datetimeToString

from llmedge.config.sections.server import Server
from llmedge.deadlines import Deadlines
from llmedge.errors import EdgeError
from llmedge.web.head import HeadCache
from llmedge.web.held import Held
from llmedge.web.spool import Room

Gate = Callable[[Any, bytes], EdgeError | None]
"""Judges a request by its head and decoded path, before its body is read."""


class Edge:
    """Made by the site, given to its channels, and by these to their requests.

    :param clock: the reactor: the time, and timers.
    :param failed: answers a request that the onion failed on.
    :ivar resource: the HTTP onion, a leaf whatever the path; ``pack`` is its outermost layer's, if it packs answers.
    :ivar limits: what clients may send and hold open.
    :ivar room: what uploads hold, and may hold.
    :ivar heads: those that were found good by these limits.
    :ivar heartbeats: when the streams under way are due for one.
    :ivar usual_lines: those that the head of each answer has; good for ``second``.
    :ivar held: what is held in memory for clients.
    :ivar draining: the service is stopping; no connection is kept.
    """

    def __init__(
        self, clock: Any, resource: Any, limits: Server, gate: Gate, failed: Callable[[Any, EdgeError], None]
    ) -> None:
        self.clock = clock
        self.failed = failed
        self.draining = False
        self.room = Room(limits)
        self.heartbeats = Deadlines(clock, lambda relay: relay.beat(), min_interval=0.05)
        self.held = Held()
        self.usual_lines, self.second = b"", 0
        self.put_in_force(resource, limits, gate)

    def put_in_force(self, resource: Any, limits: Server, gate: Gate) -> None:
        """From now on these hold, for connections that are open too; a request under way keeps its resource."""
        self.resource = resource
        self.pack: Callable[[Any, bytes], bytes] | None = getattr(resource, "pack", None)
        self.limits = self.room.limits = limits
        self.held.most = limits.max_held
        self.gate = gate
        self.heads = HeadCache()  # with the old one go keys that are none any more

    def renew_usual_lines(self, second: int) -> bytes:
        date = datetimeToString(second)  # type: ignore[no-untyped-call]  # twisted has no types here
        self.usual_lines = b"Server: llmedge\r\nDate: %b\r\nX-Content-Type-Options: nosniff\r\n" % date
        self.second = second
        return self.usual_lines

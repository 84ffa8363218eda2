"""How many connections the process may hold open."""

from __future__ import annotations

import resource

from llmedge.config.settings import Settings

_SPARE = 64
"""Descriptors for what is no connection: logs, certificates, listening sockets, the reactor's own."""


def raise_limit() -> int:
    """Allow as many open files as the hard limit permits; how many that is.

    The soft limit is 1,024 nearly everywhere, for programs that use ``select``; Twisted's reactors here do not.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        except (OSError, ValueError):  # some systems have a hard limit that is no number
            return soft
    return hard


def shortage(limit: int, settings: Settings) -> str:
    """What to say where ``limit`` does not suffice for what ``settings`` allow; empty if it does."""
    needed = settings.server.max_connections + settings.upstream.max_connections + _SPARE
    if limit == resource.RLIM_INFINITY or limit >= needed:
        return ""
    return (
        f"at most {limit} files may be open, fewer than the connections that are allowed: {needed} for "
        "server.max_connections and upstream.max_connections. Raise it (ulimit -n, LimitNOFILE=), or lower those."
    )

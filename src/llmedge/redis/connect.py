"""The Redis that the settings name."""

from __future__ import annotations

from random import Random
from typing import Any

from llmedge.config import ConfigError, Settings
from llmedge.config.egress import Way
from llmedge.config.redis_url import parse_redis_url
from llmedge.upstream.tls import TlsContexts


def connect(reactor: Any, settings: Settings, random: Random) -> Any:
    """A :class:`llmedge.redis.client.Redis` that is to be started; only where ``redis.url`` is set.

    :raises ConfigError: what it needs is not installed.
    """
    of = settings.redis
    assert of.url is not None
    made = client_class()
    from llmedge.redis.places import Endpoints, Fixed, Sentinels

    upstream = settings.upstream
    tls = TlsContexts(reactor, *filter(None, (upstream.ca_file, upstream.ca_dir)))
    url = parse_redis_url(of.url.reveal())
    endpoints = Endpoints(reactor, url, tls, Way(ca_file=of.ca_file))
    places = Sentinels(reactor, url, endpoints) if url.master else Fixed(url.addresses[0])
    return made(reactor, url, places, endpoints, of.timeout, of.prefix.encode(), random)


def client_class() -> Any:
    """:class:`llmedge.redis.client.Redis`.

    :raises ConfigError: what it needs is not installed.
    """
    try:
        from llmedge.redis.client import Redis  # hiredis is an extra
    except ImportError:
        raise ConfigError(
            ["redis.url (LLMEDGE_REDIS) needs another package: pip install 'llmedge[redis]'; \"off\" does without"]
        ) from None
    return Redis

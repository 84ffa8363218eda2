"""TLS towards vendors: verified names (service-identity), one context for each host."""

from __future__ import annotations

from typing import Any

from twisted.internet.ssl import optionsForClientTLS


class TlsContexts:
    """Caches what ``optionsForClientTLS`` builds: loading the trust roots costs 5 ms, a connection should not."""

    def __init__(self) -> None:
        self._by_host: dict[str, Any] = {}

    def for_host(self, host: str) -> Any:
        """A connection creator that verifies the peer's certificate against ``host`` (RFC 6125)."""
        creator = self._by_host.get(host)
        if creator is None:
            creator = self._by_host[host] = optionsForClientTLS(host)
        return creator

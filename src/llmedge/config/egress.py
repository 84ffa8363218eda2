"""The way out to vendors: through which proxy, whom to trust there, and what to show."""

from __future__ import annotations

import attrs

from llmedge.config.origins import origin_of
from llmedge.config.pem import Certificates
from llmedge.config.proxy import Proxy, excepted
from llmedge.config.secret import Secret
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.upstream import Upstream


@attrs.frozen
class Way:
    """How one provider is reached, where that differs from ``[upstream]``."""

    proxy: Proxy | None = None
    ca_file: Certificates | None = None
    client_cert: Certificates | None = None
    client_key: Secret | None = None

    @classmethod
    def of(cls, provider: Provider) -> Way:
        return cls(provider.proxy, provider.ca_file, provider.client_cert, provider.client_key)


DEFAULT = Way()
"""As ``[upstream]`` says."""


def proxy_for(url: str, upstream: Upstream, own: Proxy | None = None) -> Proxy | None:
    """The proxy through which ``url`` is asked; ``None``: directly.

    :param own: what the provider's table says; it stands over everything else.
    """
    origin = origin_of(url)
    if origin.socket:
        return None
    if own is None and not excepted(origin, upstream.no_proxy):
        own = upstream.https_proxy if origin.secure else upstream.http_proxy
    return own if own is not None and own.host else None


def words(url: str, upstream: Upstream, own: Proxy | None = None) -> str:
    """Which way ``url`` goes, for whoever reads the log; ``""``: straight there."""
    proxy = proxy_for(url, upstream, own)
    if proxy is None:
        return ""
    host = origin_of(url).host
    hint = ""
    if host == "localhost" or host.startswith("127.") or host == "::1":
        hint = " (it is on this machine: name it in no_proxy, NO_PROXY, if that is wrong)"
    return f" through the proxy {proxy}{hint}"

"""Where a URL of the configuration leads: a host and port, or a unix socket."""

from __future__ import annotations

from urllib.parse import quote, unquote, urlsplit

import attrs

UNIX = "http+unix"
"""The scheme of HTTP over a unix socket, whose path is quoted where others have a host
(``http+unix://%2Frun%2Fvllm.sock/v1``), as requests-unixsocket, HTTPie and docker-py have it."""
_PORTS = {"http": 80, "https": 443}


@attrs.frozen
class Origin:
    """One server.

    :ivar host: in small letters, without the brackets of an IPv6 address; ``localhost`` for a socket.
    :ivar port: 0 for a socket. :ivar socket: its path, else ``""``.
    """

    scheme: str
    host: str
    port: int
    socket: str = ""

    @property
    def secure(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """Host and port, whatever the port is: what CONNECT asks for (RFC 9110 section 9.3.6)."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def origin_of(url: str) -> Origin:
    """The server of an ``http``, ``https`` or ``http+unix`` URL."""
    parts = urlsplit(url)
    if parts.scheme == UNIX:
        return Origin(parts.scheme, "localhost", 0, unquote(parts.netloc))
    return Origin(parts.scheme, parts.hostname or "", parts.port or _PORTS.get(parts.scheme, 0))


def host_header(url: str) -> str:
    """The ``Host`` of a request for ``url`` (RFC 9110 section 7.2)."""
    parts = urlsplit(url)
    return "localhost" if parts.scheme == UNIX else parts.netloc


def socket_url(text: str) -> str:
    """``unix:/run/vllm.sock`` and nginx' ``unix:/run/vllm.sock:/v1`` (``http://`` before it or not) as ``http+unix``
    URLs; anything else as it is."""
    if not text.startswith(("unix:", "http://unix:/")):  # a host may be called unix
        return text
    path, _, inside = text.removeprefix("http://").removeprefix("unix:").partition(":")
    if path.startswith("//"):
        path = "/" + path.lstrip("/")
    return f"{UNIX}://{quote(path, safe='')}{inside}"


def shown(url: str) -> str:
    """``url`` as people write it: :func:`socket_url` the other way round."""
    socket = origin_of(url).socket
    path = urlsplit(url).path
    return (f"unix:{socket}:{path}" if path else f"unix:{socket}") if socket else url

"""``HOST:PORT`` as people write it, as an endpoint string."""

from __future__ import annotations


def endpoint_of(address: str, scheme: str = "tcp") -> str | None:
    """``tcp:8080:interface=127.0.0.1`` of ``127.0.0.1:8080``; ``None`` if it is no address with a port.

    An IPv6 address stands in brackets (RFC 3986 section 3.2.2), and no host is all of IPv4.
    """
    host, colon, port = address.rpartition(":")
    bare = host.removeprefix("[").removesuffix("]")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535 or (":" in bare) != ("[" in host):
        return None
    interface = bare.replace(":", r"\:") or "0.0.0.0"  # noqa: S104 - the documented default
    return f"{scheme}:{port}:interface={interface}"

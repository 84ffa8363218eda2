"""Who a request really comes from, where proxies of ours stand in front."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Network, ip_address

Network = IPv4Network | IPv6Network


def client_address(peer: str, forwarded: Iterable[bytes], trusted: Sequence[Network]) -> str:
    """The first address, seen from us, that is no trusted proxy.

    ``X-Forwarded-For`` is read from the right: each proxy appends whom it heard from, so only what a trusted one
    appended is worth believing. Whatever a client wrote itself stands further left and is never reached.

    :param peer: the address of the connection.
    :param forwarded: the values of ``X-Forwarded-For``, in order.
    :param trusted: the proxies (``server.trusted_proxies``).
    """
    if not trusted or not _is_in(peer, trusted):
        return peer
    hops = [hop.strip().decode("latin-1") for value in forwarded for hop in value.split(b",")]
    address = peer
    for hop in reversed(hops):
        plain = _plain(hop)
        if plain is None:
            return address  # not an address: nobody we trust wrote it
        address = plain
        if not _is_in(address, trusted):
            return address
    return address


def _plain(hop: str) -> str | None:
    """``[::1]:80``, ``1.2.3.4:80`` and ``1.2.3.4`` without port and brackets; ``None`` for anything else."""
    if hop.startswith("["):
        hop = hop[1:].partition("]")[0]
    elif hop.count(":") == 1:
        hop = hop.partition(":")[0]
    try:
        return str(ip_address(hop))
    except ValueError:
        return None


def _is_in(address: str, networks: Sequence[Network]) -> bool:
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    mapped = getattr(parsed, "ipv4_mapped", None)
    return any((mapped or parsed) in network for network in networks)

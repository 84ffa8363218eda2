"""Where a URL leads."""

from __future__ import annotations

from ipaddress import ip_address
from urllib.parse import urlsplit


def in_the_clear(url: str) -> bool:
    """Whether what is asked for there goes over a network unencrypted: it is ``http``, and not on this machine."""
    try:
        parts = urlsplit(url)
        return parts.scheme == "http" and not _is_loopback(parts.hostname or "")
    except ValueError:
        return True


def _is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""A proxy on the way to vendors: how one is written, and what is asked without one."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Iterable
from ipaddress import ip_address, ip_network
from urllib.parse import quote, unquote, urlsplit

import attrs

from llmedge.config.origins import Origin
from llmedge.config.secret import Secret


@attrs.frozen
class Proxy:
    """An HTTP proxy.

    :ivar login: user name and password, a colon between them; they show nowhere.
    """

    scheme: str
    host: str
    port: int
    login: Secret | None = None

    def __str__(self) -> str:
        return f"{self.scheme}://{self._place}" if self.host else "off"

    @property
    def _place(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def said(self) -> str:
        """The login, ``""`` for none."""
        return "" if self.login is None else self.login.reveal()

    @property
    def authorization(self) -> bytes:
        """The header line with its login, where it has one (RFC 9110 section 11.7.2, RFC 7617)."""
        if self.login is None:
            return b""
        return b"Proxy-Authorization: Basic %b\r\n" % b64encode(self.login.reveal().encode())

    def reveal(self) -> str:
        """The URL with the login in it, for libraries that want it so."""
        if self.login is None:
            return str(self)
        user, _, password = self.login.reveal().partition(":")
        return f"{self.scheme}://{quote(user, safe='')}:{quote(password, safe='')}@{self._place}"


DIRECT = Proxy("", "", 0)
"""None, whatever the environment says."""
_PORTS = {"http": 80, "https": 443}


def parse_proxy(text: str) -> Proxy:
    """``http://user:password@proxy.example:3128``, ``proxy.example:3128`` or ``off``.

    :raises ValueError: it is none; the message does not show it, since it may hold a password.
    """
    if text.lower() == "off":
        return DIRECT
    if not all(0x21 <= ord(char) <= 0x7E for char in text):
        raise ValueError("must be a URL of visible ASCII characters only")
    if "://" not in text:
        text = f"http://{text}"  # as curl and its like take it
    try:
        parts = urlsplit(text)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme, 0)
    except ValueError:
        raise ValueError(_MUST) from None
    if parts.scheme.startswith("socks"):
        raise ValueError("is a SOCKS proxy, which the gateway does not speak: give an HTTP proxy, or off")
    if parts.scheme not in _PORTS or not host or parts.path not in ("", "/") or parts.query or parts.fragment:
        raise ValueError(_MUST)
    login = None
    if parts.username is not None:
        login = Secret(f"{unquote(parts.username)}:{unquote(parts.password or '')}")
    return Proxy(parts.scheme, host, port, login)


_MUST = 'must be the URL of an HTTP proxy such as "http://proxy.example:3128", or "off"'


def excepted(origin: Origin, rules: Iterable[str]) -> bool:
    """Whether ``no_proxy`` names ``origin``.

    A rule is ``*``, a name, which stands for all below it too, with or without ``.`` or ``*.`` before it, an address, a
    network (``10.0.0.0/8``), or a name or an address with a port. No name is resolved for it.
    """
    return any(_matches(origin, rule.strip().lower()) for rule in rules)


def _matches(origin: Origin, rule: str) -> bool:
    if rule == "*":
        return True
    name, colon, port = rule.rpartition(":")
    if colon and port.isdigit() and (":" not in name or name.endswith("]")):
        if int(port) != origin.port:
            return False
        rule = name
    rule = rule.removeprefix("[").removesuffix("]")
    try:
        return ip_address(origin.host) in ip_network(rule, strict=False)
    except (ValueError, TypeError):
        rule = rule.removeprefix("*").removeprefix(".")
        return bool(rule) and (origin.host == rule or origin.host.endswith("." + rule))

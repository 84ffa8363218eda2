"""Where a Redis is: one server, a unix socket, or whomever Sentinels call the master."""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import parse_qsl, unquote

import attrs

from llmedge.config.secret import Secret

FORMS = '"redis://", "rediss://" (TLS), "unix:/PATH" or "redis+sentinel://HOST:PORT,HOST:PORT/MASTER"'
_SCHEMES = {
    "redis": (False, False),
    "rediss": (True, False),
    "valkey": (False, False),
    "valkeys": (True, False),
    "redis+sentinel": (False, True),
    "rediss+sentinel": (True, True),
}
"""Whether within TLS, and whether the hosts are Sentinels."""
REDIS_PORT = 6379
SENTINEL_PORT = 26379
DATABASES = 2**16


class Address(NamedTuple):
    """A host and a port, or the path of a unix socket."""

    host: str
    port: int
    socket: str = ""

    def __str__(self) -> str:
        return self.socket or (f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}")


@attrs.frozen
class RedisUrl:
    """:ivar addresses: the server, or the Sentinels that know it under the name ``master``.
    :ivar password: ``None``: nothing is said of who asks.
    """

    addresses: tuple[Address, ...]
    secure: bool = False
    master: str = ""
    user: str = ""
    password: Secret | None = None
    database: int = 0

    def __str__(self) -> str:
        return ", ".join(map(str, self.addresses)) if not self.master else f"master {self.master}"


def parse_redis_url(text: str) -> RedisUrl:
    """``redis[s]://[[USER]:PASSWORD@]HOST[:PORT][/DB]``, ``unix:[//[USER]:PASSWORD@]/PATH[?db=DB]`` or
    ``redis[s]+sentinel://[[USER]:PASSWORD@]HOST[:PORT],…/MASTER[/DB]``.

    :raises ValueError: it is none; the message does not show it, since it may hold a password.
    """
    scheme, colon, rest = text.partition(":")
    scheme = scheme.lower()
    if not colon or scheme not in (*_SCHEMES, "unix"):
        raise ValueError(f"must be {FORMS}")
    rest, _, query = rest.removeprefix("//").partition("?")
    if "#" in rest + query:
        raise ValueError("must not have a fragment: characters of the password other than letters and digits are %XX")
    login, at, place = rest.rpartition("@")
    user, password = _login(login) if at else ("", None)
    database = _query(query)
    if scheme == "unix":
        if not place.startswith("/") or len(place) < 2:
            raise ValueError('must have the absolute path of a socket, such as "unix:/run/redis.sock"')
        socket = Address("", 0, unquote(place))
        return RedisUrl((socket,), user=user, password=password, database=_database(database))
    secure, by_sentinel = _SCHEMES[scheme]
    hosts, _, path = place.partition("/")
    master = ""
    if by_sentinel:
        master, _, path = path.partition("/")
        if not re.fullmatch(r"[A-Za-z0-9._-]+", master):  # as Sentinel itself has it (sentinel.c, sentinelIsValidName)
            raise ValueError("must name the master as the Sentinels call it: redis+sentinel://HOST:PORT,…/MASTER")
    port = SENTINEL_PORT if by_sentinel else REDIS_PORT
    addresses = tuple(_address(each, port) for each in hosts.split(","))
    if len(addresses) > 1 and not by_sentinel:
        raise ValueError("must name one host; for several with Sentinels: redis+sentinel://HOST:PORT,…/MASTER")
    return RedisUrl(addresses, secure, master, user, password, _database(path or database))


def _login(text: str) -> tuple[str, Secret]:
    user, colon, password = text.partition(":")
    if not colon or not password:
        raise ValueError("has a user and no password; a password alone has a colon before it: redis://:PASSWORD@HOST")
    return unquote(user), Secret(unquote(password))


def _query(text: str) -> str:
    """The database, where it says one."""
    found = dict(parse_qsl(text, keep_blank_values=True))
    if found.keys() - {"db"}:
        raise ValueError("has a parameter other than db; whom to trust with rediss:// is redis.ca_file")
    return found.get("db", "")


def _database(text: str) -> int:
    if not text:
        return 0
    if not (text.isascii() and text.isdigit() and int(text) < DATABASES):
        raise ValueError("must have the database's number at the end")
    return int(text)


def _address(text: str, usual: int) -> Address:
    """A host with a port or none, an IPv6 address in brackets (RFC 3986 section 3.2.2)."""
    found = _HOST.fullmatch(text)
    port = usual if found is None or found["port"] is None else int(found["port"])
    if found is None or not 0 < port < 65536:
        raise ValueError("must have a host, and a port from 1 to 65535 or none, behind ://")
    return Address((found["six"] or found["name"]).lower(), port)


_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.]+)\]|(?P<name>[A-Za-z0-9._-]{1,253}))(?::(?P<port>[0-9]{1,5}))?")

"""Kinds of setting: how a value is read from TOML and from an environment variable, and what it may be."""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit

import attrs

from llmedge.config.secret import Secret, read, resolve


@attrs.frozen
class Kind:
    """One kind of value.

    :ivar name: what the documentation calls it.
    :ivar from_toml: TOML value, environment → our value; raises ``ValueError`` saying what it must be.
    :ivar from_text: the same from the text of an environment variable.
    """

    name: str
    from_toml: Callable[[Any, Mapping[str, str]], Any]
    from_text: Callable[[str, Mapping[str, str]], Any]


_TRUE = {"true", "1", "yes", "on"}
_FALSE = {"false", "0", "no", "off"}


def _simple(name: str, check: Callable[[Any], Any], parse: Callable[[str], Any]) -> Kind:
    return Kind(name, lambda value, _: check(value), lambda text, _: check(parse(text)))


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _bool_text(text: str) -> bool:
    if text.lower() in _TRUE:
        return True
    if text.lower() in _FALSE:
        return False
    raise ValueError("must be true or false")


boolean = _simple("true or false", _bool, _bool_text)


def integer(low: int, high: int = 2**53) -> Kind:
    """A whole number in ``[low, high]``."""
    bound = f"a whole number from {low}" + (f" to {high}" if high < 2**53 else "")

    def check(value: Any) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(f"must be {bound}")
        return value

    def parse(text: str) -> int:
        try:
            return int(text)
        except ValueError:
            raise ValueError(f"must be {bound}") from None

    return _simple(bound, check, parse)


def number(low: float, high: float = math.inf) -> Kind:
    """A finite number in ``[low, high]``."""
    bound = f"a number from {low:g}" + (f" to {high:g}" if math.isfinite(high) else "")

    def check(value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"must be {bound}")
        if not math.isfinite(value) or not low <= value <= high:
            raise ValueError(f"must be {bound}")
        return float(value)

    def parse(text: str) -> float:
        try:
            return float(text)
        except ValueError:
            raise ValueError(f"must be {bound}") from None

    return _simple(bound, check, parse)


def _price(value: Any) -> Decimal:
    try:
        if isinstance(value, bool):
            raise TypeError
        price = Decimal(str(value) if isinstance(value, float) else value)  # as it is written: 0.1 is a tenth
        if 0 <= price <= 10**6:
            return price
    except (TypeError, ValueError, InvalidOperation):
        pass
    raise ValueError("must be USD per million tokens, a number from 0 to 1000000")


price = _simple("USD per million tokens", _price, str)


def _str(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value.strip()


string = _simple("text", _str, str)


def choice(*options: str) -> Kind:
    """One of a few words."""
    listed = ", ".join(options)

    def check(value: Any) -> str:
        if value not in options:
            close = difflib.get_close_matches(str(value), options, 1, 0.6)
            raise ValueError(f"must be one of {listed}" + (f"; did you mean {close[0]!r}?" if close else ""))
        return str(value)

    return _simple(f"one of {listed}", check, str.lower)


def _strs(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        raise ValueError("must be a list of texts, none of them empty")
    return tuple(item.strip() for item in value)


strings = _simple("list of texts", _strs, lambda text: [part for part in text.split(",") if part.strip()])


@attrs.frozen
class TargetEntry:
    """One of a model's targets.

    :ivar target: ``PROVIDER/MODEL``.
    :ivar weight: its share where targets share the load.
    :ivar max_concurrency: calls at once, ``rpm`` requests and ``tpm`` tokens a minute; ``None`` for no limit.
    :ivar tags: what clients may ask for with ``x-llmedge-tags``, such as ``eu``.
    """

    target: str
    weight: float = 1.0
    max_concurrency: int | None = None
    rpm: int | None = None
    tpm: int | None = None
    tags: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.target


def _target_list(value: Any) -> tuple[TargetEntry, ...]:
    if not isinstance(value, list):
        raise ValueError('must be a list of "PROVIDER/MODEL" texts or tables')
    if not value:
        raise ValueError("must name at least one target")
    entries = tuple(_target(item) for item in value)
    names = [entry.target for entry in entries]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"names {name!r} twice")
    return entries


def _target(item: Any) -> TargetEntry:
    table = {"target": item} if isinstance(item, str) else item
    if not isinstance(table, dict) or not isinstance(table.get("target"), str):
        raise ValueError('must hold "PROVIDER/MODEL" texts, or tables such as {target = "openai/gpt-4o", weight = 3}')
    for name in table:
        if name not in ("target", "weight", "max_concurrency", "rpm", "tpm", "tags"):
            raise ValueError(f"has a target with {name!r}; there is: max_concurrency, rpm, tags, target, tpm, weight")
    provider, slash, model = table["target"].strip().partition("/")
    if not (provider and slash and model):
        raise ValueError(f'must hold "PROVIDER/MODEL" texts, not {table["target"]!r}')
    checks: dict[str, Kind] = {
        "weight": number(0, 1e6),
        "max_concurrency": integer(1),
        "rpm": integer(1),
        "tpm": integer(1),
        "tags": strings,
    }
    values: dict[str, Any] = {}
    for name, kind in checks.items():
        if name in table:
            try:
                values[name] = kind.from_toml(table[name], {})
            except ValueError as error:
                raise ValueError(f"has a target whose {name} {error}") from None
    return TargetEntry(f"{provider}/{model}", **values)


targets = _simple('list of "PROVIDER/MODEL" or of tables', _target_list, lambda text: text.split(","))


def _hedge_value(value: Any) -> str | float:
    if value in ("off", "tail"):
        return str(value)
    if isinstance(value, dict) and set(value) == {"after"}:
        after: float = number(0.01, 3600).from_toml(value["after"], {})
        return after
    raise ValueError('must be "off", "tail" or {after = SECONDS}')


hedge = _simple('"off", "tail" or {after = SECONDS}', _hedge_value, str)


def _url(value: Any) -> str:
    text = _str(value)
    if not all(0x21 <= ord(char) <= 0x7E for char in text):
        raise ValueError("must be a URL of visible ASCII characters only")
    try:
        parts = urlsplit(text)
    except ValueError:
        raise ValueError('must be a URL such as "https://api.example.com/v1"') from None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError('must be an http or https URL such as "https://api.example.com/v1"')
    if parts.username or parts.password:
        raise ValueError("must not carry a user name or password; use api_key")
    if parts.query or parts.fragment:
        raise ValueError("must not have a query or a fragment")
    try:
        parts.port  # noqa: B018 - raises when the port is not a number
    except ValueError:
        raise ValueError("has a port that is not a number from 0 to 65535") from None
    return text.rstrip("/")


url = _simple("http or https URL", _url, str)


def _network_list(value: Any) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(text) for text in _strs(value))
    except ValueError as error:
        raise ValueError(f"must be a list of addresses or networks such as 10.0.0.0/8 ({error})") from None


networks = _simple("list of addresses or networks", _network_list, lambda text: text.split(","))


def _secret(value: Any, environ: Mapping[str, str]) -> Secret:
    if not isinstance(value, str):
        raise ValueError('must be a text: the secret itself, "env:NAME" or "file:/path"')
    return Secret(resolve(value, environ))


secret = Kind('secret: "env:NAME", "file:/path" or the value', _secret, _secret)


def _document(value: Any, environ: Mapping[str, str]) -> Secret:
    if not isinstance(value, str):
        raise ValueError('must be a text: a path, "file:/path" or "env:NAME"')
    return Secret(read(value, environ))


document = Kind('path of a secret file, or "env:NAME" of what would be in it', _document, _document)


def _options(value: Any, environ: Mapping[str, str]) -> dict[str, str | int | float | bool | Secret]:
    if not isinstance(value, dict):
        raise ValueError("must be a table")
    options: dict[str, str | int | float | bool | Secret] = {}
    for name, item in value.items():
        if isinstance(item, str) and item.startswith(("env:", "file:")):
            try:
                options[name] = _secret(item, environ)
            except ValueError as error:
                raise ValueError(f"has {name}, which {error}") from None
        elif isinstance(item, str | int | float | bool):
            options[name] = item
        else:
            raise ValueError(f"must hold texts, numbers, true and false, and secrets; {name} is none")
    return options


option_table = Kind(
    'table of texts, numbers, true or false, and secrets ("env:NAME", "file:/path")', _options, _options
)


def _headers(value: Any, environ: Mapping[str, str]) -> dict[str, Secret]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of header names and texts")
    headers: dict[str, Secret] = {}
    for name, text in value.items():
        if not name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
            raise ValueError(f"has a header name that is not one: {name!r}")
        if name.lower() in _OURS:
            raise ValueError(f"must not set {name}: the gateway sets it")
        headers[name.lower()] = _secret(text, environ)
    return headers


_OURS = {"host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding"}

header_table = Kind(
    "table of headers, each value a text or a secret", _headers, lambda text, environ: _headers(text, environ)
)


def _paths(value: Any, environ: Mapping[str, str]) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of paths")
    for name, path in value.items():
        if not isinstance(path, str) or not path.startswith(("/", "{origin}/")):
            raise ValueError(f"must hold paths that begin with / or {{origin}}/; {name} is none")
        if not all(0x21 <= ord(char) <= 0x7E for char in path):
            raise ValueError(f"must hold paths of visible ASCII characters only; {name} has another")
        if (unknown := set(_BRACES.findall(path)) - set(_PLACES)) or set(_BRACES.sub("", path)) & set("{}"):
            what = f"{{{min(unknown)}}}" if unknown else "a brace"
            raise ValueError(f"knows {', '.join(_PLACES)} in braces; {name} has {what}")
    return dict(value)


_PLACES = ("origin", "model", "api_version", "project", "location")
_BRACES = re.compile(r"\{(\w*)\}")

path_table = Kind("table of paths", _paths, lambda text, environ: _paths(text, environ))

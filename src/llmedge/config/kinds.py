"""Kinds of setting: how a value is read from TOML and from an environment variable, and what it may be."""

from __future__ import annotations

import difflib
import json
import re
import sys
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit

import attrs

from llmedge.config.origins import UNIX, origin_of, socket_url
from llmedge.config.pem import read_certificates, read_directories, read_key, read_trusted
from llmedge.config.proxy import Proxy, parse_proxy
from llmedge.config.secret import Secret, read, reference_hint, resolve, secret_of, variable

Environ = Mapping[str, str]


@attrs.frozen
class ValueType:
    """One kind of value.

    :ivar name: what the documentation calls it.
    :ivar from_toml: TOML value, environment → our value; raises ``ValueError`` saying what it must be.
    :ivar schema: JSON Schema of the TOML value, as far as it can say it.
    :ivar parse: text of an environment variable → what TOML would have; a text it cannot read stays one.
    :ivar table: the class of its tables, where it is a list of such.
    """

    name: str
    from_toml: Callable[[Any, Environ], Any]
    schema: Mapping[str, Any]
    parse: Callable[[str], Any] = str
    table: type | None = None

    def from_text(self, text: str, environ: Environ) -> Any:
        """Our value, from the text of an environment variable.

        :raises ValueError: saying what it must be.
        """
        return self.from_toml(self.parse(text), environ)


def simple(name: str, check: Callable[[Any], Any], schema: Mapping[str, Any], parse: Any = str) -> ValueType:
    return ValueType(name, lambda value, _: check(value), schema, parse)


def _text(name: str, check: Callable[[Any], Any], schema: Mapping[str, Any]) -> ValueType:
    """A kind of text: ``"env:NAME"`` is what the variable holds."""
    return ValueType(name, lambda value, environ: check(referred(value, environ)), schema)


_TEXT = {"type": "string"}
_TRUTHS = dict.fromkeys(("true", "1", "yes", "on"), True) | dict.fromkeys(("false", "0", "no", "off"), False)


def _bool(value: Any) -> bool:
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


boolean = simple("true or false", _bool, {"type": "boolean"}, lambda text: _TRUTHS.get(text.lower(), text))


def integer(low: int, high: int = 2**53) -> ValueType:
    """A whole number in ``[low, high]``."""
    bound = f"a whole number from {low}" + (f" to {high}" if high < 2**53 else "")
    return _between("integer", bound, int, low, high)


def number(low: float, high: float = sys.float_info.max) -> ValueType:
    """A finite number in ``[low, high]``."""
    bound = f"a number from {low:g}" + (f" to {high:g}" if high < sys.float_info.max else "")
    return _between("number", bound, float, low, high)


def _between(type_: str, bound: str, cast: type[int] | type[float], low: float, high: float) -> ValueType:
    def check(value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | cast) or not low <= value <= high:
            raise ValueError(f"must be {bound}")
        return cast(value)

    def parse(text: str) -> Any:
        try:
            return cast(text)
        except ValueError:
            return text

    limits = {"minimum": low} | ({"maximum": high} if high < 2**53 else {})
    return simple(bound, check, {"type": type_, **limits}, parse)


seconds = number(0.01, 604800)
"""A limit of time."""


def _decimal(value: Any, what: str, most: int = 10**6) -> Decimal:
    try:
        if isinstance(value, bool):
            raise TypeError
        found = Decimal(str(value) if isinstance(value, float) else value)  # as it is written: 0.1 is a tenth
        if 0 <= found <= most:
            return found
    except (TypeError, ValueError, InvalidOperation):
        pass
    raise ValueError(f"must be {what} from 0 to {most}")


_AMOUNT = {"type": ["number", "string"], "minimum": 0, "maximum": 10**6}


def _amount(what: str) -> ValueType:
    return simple(what, lambda value: _decimal(value, f"{what}, a number"), _AMOUNT)


price = _amount("USD per million tokens")
usd = _amount("USD")


def _factors(value: Any) -> dict[str, Decimal]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of numbers")
    return {name.lower(): _decimal(each, "a table of numbers", 1000) for name, each in value.items()}


factors = simple("table of factors", _factors, {"type": "object", "additionalProperties": {**_AMOUNT, "maximum": 1000}})


def referred(value: Any, environ: Environ) -> Any:
    """What ``"env:NAME"`` refers to; anything else is itself.

    :raises ValueError: the variable is not set, or another way to refer to one stands there.
    """
    if not isinstance(value, str):
        return value
    if value.strip().startswith("env:"):
        return variable(value.strip().removeprefix("env:"), environ)
    if hint := reference_hint(value.strip()):
        raise ValueError(hint)
    if found := re.search(r"\$\{(\w+)", value):
        raise ValueError(f'holds ${{{found[1]}}}, and nothing replaces it: have all of it in a variable, "env:NAME"')
    return value


def _str(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError("must be a text that is not empty")
    return value.strip()


_WORDS = {**_TEXT, "pattern": r"\S"}
string = _text("text", _str, _WORDS)


def choice(*options: str) -> ValueType:
    """One of a few words."""
    listed = ", ".join(options)

    def check(value: Any) -> str:
        if value not in options:
            close = difflib.get_close_matches(str(value), options, 1, 0.6)
            raise ValueError(f"must be one of {listed}" + (f"; did you mean {close[0]!r}?" if close else ""))
        return str(value)

    return simple(f"one of {listed}", check, {"enum": list(options)}, str.lower)


def choices(*options: str) -> ValueType:
    """A list of some of a few words."""
    each = choice(*options)
    return ValueType(
        f"list of {', '.join(options)}",
        lambda value, environ: tuple(each.from_toml(item, environ) for item in _strs(value)),
        {"type": "array", "items": each.schema},
    )


def _strs(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(item, str) and item.strip() for item in value):
        example = json.dumps([value]) if isinstance(value, str) and 0 < len(value) < 80 else '["one", "another"]'
        raise ValueError(f"must be a list of texts, such as {example}, none of them empty")
    return tuple(item.strip() for item in value)


_LIST = {"type": "array", "items": string.schema}

strings = ValueType(
    "list of texts",
    lambda value, environ: tuple(referred(item, environ) for item in _strs(value)),
    _LIST,
    lambda text: [part for part in text.split(",") if part.strip()],
)


def _status_list(value: Any) -> tuple[int, ...]:
    if not isinstance(value, list) or not all(_is_status(item) for item in value):
        raise ValueError("must be a list of HTTP statuses from 400 to 599")
    return tuple(value)


def _is_status(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 400 <= value <= 599


statuses = simple(
    "list of HTTP statuses",
    _status_list,
    {"type": "array", "items": {"type": "integer", "minimum": 400, "maximum": 599}},
    lambda text: [int(part) if part.strip().isdigit() else part for part in text.split(",") if part.strip()],
)


def _hedge_value(value: Any) -> str | float:
    if value in ("off", "tail"):
        return str(value)
    if isinstance(value, dict) and set(value) == {"after"}:
        after: float = _SECONDS.from_toml(value["after"], {})
        return after
    raise ValueError('must be "off", "tail" or {after = SECONDS}')


_SECONDS = number(0.01, 3600)
_AFTER = {"properties": {"after": _SECONDS.schema}, "required": ["after"], "additionalProperties": False}

hedge = simple(
    '"off", "tail" or {after = SECONDS}',
    _hedge_value,
    {"anyOf": [{"enum": ["off", "tail"]}, {"type": "object", **_AFTER}]},
)


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
        version = re.search(r"(?:^|&)api-version=([\w.-]+)", parts.query)
        more = f': api_version = "{version[1]}" says that' if version else ""
        raise ValueError(f"must not have a query or a fragment{more}")
    if not _NAME.fullmatch(parts.hostname) and ":" not in parts.hostname:
        raise ValueError("has a host name that no resolver takes: a part is empty, too long or of odd characters")
    try:
        parts.port  # noqa: B018 - raises when the port is not a number
    except ValueError:
        raise ValueError("has a port that is not a number from 0 to 65535") from None
    return text.rstrip("/?#")


_NAME = re.compile(r"(?=.{1,253}\.?\Z)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?")
"""A host name as resolvers take it: with underscores, which are in the names of containers (RFC 2181 section 11)."""
url = _text("http or https URL", _url, {**_TEXT, "pattern": r"^\s*(env:\w+\s*|[Hh][Tt][Tt][Pp][Ss]?://[^?#]+\??)$"})


def named_texts(*names: str) -> ValueType:
    """A table of texts under these names only."""
    listed = ", ".join(names)

    def check(value: Any, environ: Environ) -> dict[str, str]:
        if not isinstance(value, dict):
            raise ValueError(f"must be a table of texts, named {listed}")
        for name, text in value.items():
            if name not in names:
                raise ValueError(f"has {name!r}; there is: {listed}")
            if not isinstance(text, str) or not text.strip():
                raise ValueError(f"must hold texts that are not empty; {name} is none")
        return {name: _of_table(name, text, environ) for name, text in value.items()}

    properties = dict.fromkeys(names, string.schema)
    return ValueType(f"table of texts: {listed}", check, {"type": "object", "properties": properties} | _CLOSED)


def _of_table(name: str, text: str, environ: Environ) -> str:
    """A text of a table, or what it refers to."""
    try:
        return str(referred(text, environ)).strip()
    except ValueError as error:
        raise ValueError(f"has {name}, which {error}") from None


_CLOSED = {"additionalProperties": False}


def _base_url(value: Any) -> str:
    text = socket_url(_str(value))
    if not text.lower().startswith(f"{UNIX}:"):
        return _url(text)
    origin = origin_of(text)
    if not origin.socket.startswith("/") or not all(0x21 <= ord(char) <= 0x7E and char not in "?#" for char in text):
        raise ValueError('must have the absolute path of a socket, such as "unix:/run/vllm.sock:/v1"')
    return text.rstrip("/")


base_url = _text(
    "http or https URL, or unix:SOCKET:PATH",
    _base_url,
    {**_TEXT, "pattern": r"^\s*(env:\w+\s*|([Hh][Tt][Tt][Pp]([Ss]|\+unix)?://|unix:/)[^?#]+\??)$"},
)


def _network_list(value: Any) -> tuple[IPv4Network | IPv6Network, ...]:
    try:
        return tuple(ip_network(text) for text in _strs(value))
    except ValueError as error:
        raise ValueError(f"must be a list of addresses or networks such as 10.0.0.0/8 ({error})") from None


networks = simple("list of addresses or networks", _network_list, _LIST)


def _secret(value: Any, environ: Environ) -> Secret:
    if not isinstance(value, str):
        raise ValueError('must be a text: the secret itself, "env:NAME" or "file:/path"')
    return secret_of(value, lambda: resolve(value, environ))


secret = ValueType('secret: "env:NAME", "file:/path" or the value', _secret, string.schema)


def _document(value: Any, environ: Environ) -> Secret:
    if not isinstance(value, str):
        raise ValueError('must be a text: a path, "file:/path" or "env:NAME"')
    return secret_of(value, lambda: read(value, environ), document=True)


trusted = _text(
    "path of certificates in PEM, or of a directory of them", lambda value: read_trusted(_str(value)), _WORDS
)
certificates = _text("path of certificates in PEM", lambda value: read_certificates(_str(value)), _WORDS)
directories = _text("paths of directories of certificates", lambda value: read_directories(_str(value)), _WORDS)
private_key = _text("path of a private key in PEM", lambda value: read_key(_str(value)), _WORDS)


def _proxy(value: Any, environ: Environ) -> Proxy:
    reference = _str(value)

    def parsed() -> Proxy:
        return parse_proxy(referred(resolve(reference, environ), environ))

    found = parsed()
    return attrs.evolve(found, login=secret_of(reference, lambda: parsed().said)) if found.login else found


proxy = ValueType('URL of an HTTP proxy, "env:NAME" or "file:/path" of it, or "off"', _proxy, _WORDS)
hosts = simple("list of hosts", _strs, _LIST, lambda text: [part for part in re.split(r"[,\s]+", text) if part])


document = ValueType('path of a secret file, or "env:NAME" of what would be in it', _document, string.schema)


def _options(value: Any, environ: Environ) -> dict[str, str | int | float | bool | Secret]:
    if not isinstance(value, dict):
        raise ValueError("must be a table")
    options: dict[str, str | int | float | bool | Secret] = {}
    for name, item in value.items():
        if isinstance(item, str) and item.startswith(("env:", "file:")):
            try:
                options[name] = _secret(item, environ)
            except ValueError as error:
                raise ValueError(f"has {name}, which {error}") from None
        elif isinstance(item, str):
            options[name] = _of_table(name, item, environ)
        elif isinstance(item, int | float | bool):
            options[name] = item
        else:
            raise ValueError(f"must hold texts, numbers, true and false, and secrets; {name} is none")
    return options


option_table = ValueType(
    'table of texts, numbers, true or false, and secrets ("env:NAME", "file:/path")',
    _options,
    {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
)


def _headers(value: Any, environ: Environ) -> dict[str, Secret]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of header names and texts")
    headers: dict[str, Secret] = {}
    for name, text in value.items():
        if not name or not all(c.isascii() and (c.isalnum() or c in "-_") for c in name):
            raise ValueError(f"has a header name that is not one: {name!r}")
        if name.lower() in _OURS:
            raise ValueError(f"must not set {name}: the gateway sets it")
        if not isinstance(text, str):
            raise ValueError(f"has {name}, which must be a text")
        try:
            headers[name.lower()] = _header_value(text, environ)
        except ValueError as error:
            raise ValueError(f"has {name}, which {error}") from None
    return headers


def _header_value(text: str, environ: Environ) -> Secret:
    """Visible ASCII with spaces and tabs inside (RFC 9110 section 5.5)."""
    return secret_of(text, lambda: resolve(text, environ, inside=" \t"))


_OURS = {"host", "content-length", "transfer-encoding", "connection", "content-type", "accept-encoding"}

header_table = ValueType(
    "table of headers, each value a text or a secret",
    _headers,
    {"type": "object", "patternProperties": {"^[A-Za-z0-9_-]+$": string.schema}, "additionalProperties": False},
)


def _paths(value: Any, environ: Environ) -> dict[str, str]:
    if not isinstance(value, dict):
        raise ValueError("must be a table of paths")
    paths = {name: _of_table(name, path, environ) if isinstance(path, str) else path for name, path in value.items()}
    for name, path in paths.items():
        if not isinstance(path, str) or not path.startswith(("/", "{origin}/")):
            raise ValueError(f"must hold paths that begin with / or {{origin}}/; {name} is none")
        if not all(0x21 <= ord(char) <= 0x7E for char in path):
            raise ValueError(f"must hold paths of visible ASCII characters only; {name} has another")
        if (unknown := set(_BRACES.findall(path)) - set(_PLACES)) or set(_BRACES.sub("", path)) & set("{}"):
            what = f"{{{min(unknown)}}}" if unknown else "a brace"
            raise ValueError(f"knows {', '.join(_PLACES)} in braces; {name} has {what}")
    return paths


_PLACES = ("origin", "model", "api_version", "project", "location")
_BRACES = re.compile(r"\{(\w*)\}")

path_table = ValueType(
    "table of paths",
    _paths,
    {"type": "object", "additionalProperties": {**_TEXT, "pattern": r"^(\s*env:\w+\s*$|/|\{origin\}/)"}},
)

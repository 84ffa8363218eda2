"""Read flags, environment and file into one :class:`Settings`, or say everything that is wrong with them at once."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar

import attrs

from llmedge.config.levels import parse_filter
from llmedge.config.locate import Path as KeyPath
from llmedge.config.locate import line_of, locate
from llmedge.config.nearest import nearest
from llmedge.config.option import Option
from llmedge.config.sections.auth import KEY, Key
from llmedge.config.sections.models import Model
from llmedge.config.sections.prices import Price
from llmedge.config.sections.providers import Provider
from llmedge.config.settings import NAME, Settings
from llmedge.config.vendors import Vendors, choose, from_environment, meant

S = TypeVar("S")


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` holds one line for each thing wrong, never a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        head = [] if len(problems) == 1 else [f"{len(problems)} problems in the configuration:"]
        super().__init__("\n  ".join([*head, *problems]))


def load(
    environ: Mapping[str, str],
    path: str | None = None,
    listen: Sequence[str] = (),
    admin_listen: Sequence[str] = (),
    *,
    vendors: Vendors,
) -> Settings:
    """The settings in force.

    :param environ: the process environment.
    :param path: a TOML file, or ``None``.
    :param listen: endpoint strings from ``--port``; they replace those of file and environment.
    :param admin_listen: the same from ``--admin-port``.
    :param vendors: those there are, whose options the tables of ``[providers]`` may hold.
    :raises ConfigError: with every problem found.
    """
    data: dict[str, Any] = {}
    lines: dict[KeyPath, int] = {}
    if path is not None:
        data, lines = _read_file(path)
    reader = _Reader(environ, path or "", lines, vendors)
    if environ.get("SERVER_ADDRESS", "").strip() and isinstance(data.get("server"), dict):
        data["server"].pop("listen", None)  # the environment stands over the file
    settings = reader.section(Settings, data, ())
    settings = reader.finish(settings, listen)
    if admin_listen:
        settings = attrs.evolve(settings, admin=attrs.evolve(settings.admin, listen=tuple(admin_listen)))
    if reader.problems:
        raise ConfigError(reader.problems)
    return settings


def _read_file(path: str) -> tuple[dict[str, Any], dict[KeyPath, int]]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError([f"{path}: cannot be read: {error.strerror}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"{path}: is not UTF-8 text"]) from None
    try:
        return tomllib.loads(text), locate(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([f"{path}: is not TOML: {error}"]) from None


def dotted(path: KeyPath) -> str:
    """``("auth", "keys", 0, "name")`` → ``auth.keys[0].name``."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            quoted = part if re.fullmatch(r"[A-Za-z0-9_\-]+", part) else f'"{part}"'
            text += f".{quoted}" if text else quoted
    return text


class _Reader:
    """Walks the definitions of :mod:`llmedge.config.sections`, collecting problems instead of raising."""

    def __init__(self, environ: Mapping[str, str], file: str, lines: dict[KeyPath, int], vendors: Vendors) -> None:
        self.environ = environ
        self.vendors = vendors
        self.file = file
        self.lines = lines
        self.problems: list[str] = []

    def problem(self, path: KeyPath, what: str) -> None:
        line = line_of(self.lines, path)
        where = f"{self.file}:{line}: " if line is not None else (f"{self.file}: " if self.file else "")
        self.problems.append(f"{where}{dotted(path)} {what}")

    def section(self, cls: type[S], data: Any, path: KeyPath) -> S:
        if not isinstance(data, dict):
            self.problem(path, "must be a table")
            data = {}
        fields = attrs.fields_dict(cls)  # type: ignore[arg-type]
        for name in data:
            if name not in fields:
                self.problem((*path, name), "is not a setting" + nearest(name, fields))
        return cls(**self._values(fields, data, path))

    def _values(self, fields: Mapping[str, Any], data: dict[str, Any], path: KeyPath) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for name, field in fields.items():
            here = (*path, name)
            meta = field.metadata
            if "option" in meta:
                self._option(meta["option"], name, data, here, values)
            elif "items" in meta:
                values[name] = self._items(meta["items"], data.get(name, []), here)
            elif "table_of" in meta:
                values[name] = self._tables(meta["table_of"], data.get(name, {}), here)
            else:
                values[name] = self.section(field.default.factory, data.get(name, {}), here)
        return values

    def _option(self, option: Option, name: str, data: dict[str, Any], path: KeyPath, values: dict[str, Any]) -> None:
        for variable in option.env if name in data else option.env + option.fallback:
            text = self.environ.get(variable, "").strip()
            if text:
                try:
                    values[name] = option.kind.from_text(text, self.environ)
                except ValueError as error:
                    self.problems.append(f"environment variable {variable} {error}")
                return
        if name in data:
            try:
                values[name] = option.kind.from_toml(data[name], self.environ)
            except ValueError as error:
                self.problem(path, str(error))

    def _items(self, cls: type[S], data: Any, path: KeyPath) -> tuple[S, ...]:
        if not isinstance(data, list):
            self.problem(path, f"must be written [[{dotted(path)}]]")
            return ()
        return tuple(self.section(cls, item, (*path, index)) for index, item in enumerate(data))

    def _tables(self, cls: type[S], data: Any, path: KeyPath) -> dict[str, Any]:
        if not isinstance(data, dict):
            self.problem(path, "must be a table")
            return {}
        if cls is Provider:
            return {name: self._provider(name, item, (*path, name)) for name, item in data.items()}
        return {name: self.section(cls, item, (*path, name)) for name, item in data.items()}

    def _provider(self, name: str, data: Any, path: KeyPath) -> Provider:
        """What all providers have tells which vendor it is, and that what else its table may hold."""
        if not re.match(NAME, name):
            self.problem(path, "must have a short name: letters, digits, '-', '_' and '.'")
        if not isinstance(data, dict):
            return self.section(Provider, data, path)
        common = attrs.fields_dict(Provider)
        values = self._values(common, data, path)
        vendor, what = choose(name, Provider(**values), self.vendors)
        fields = attrs.fields_dict(vendor.settings) if vendor else common
        # With dialect = "mock" another vendor's table is a rehearsal of itself.
        rehearsed = bool(vendor) and data.get("dialect") == vendor.name and "vendor" not in data
        for key in data:
            if key not in fields:
                owners = [each.name for each in self.vendors.values() if key in attrs.fields_dict(each.settings)]
                if not owners:
                    self.problem((*path, key), "is not a setting" + nearest(key, fields))
                elif vendor and not rehearsed:
                    self.problem((*path, key), f'is for the vendor "{owners[0]}" only')
        if not vendor:
            self.problem((*path, "vendor"), what)
            return Provider(**values)
        own = {key: field for key, field in fields.items() if key not in common}
        settings: Provider = vendor.settings(**values, **self._values(own, data, path))
        settings = vendor.resolve(attrs.evolve(settings, vendor=vendor.name), self.environ)
        for option, words in vendor.problems(settings):
            needed = re.match(r"needs (\w+)", words)
            if needed and (*path, needed[1]) in self.lines:
                continue  # it is there, and what is wrong with it has been said
            hint = meant(name) if needed and needed[1] == "base_url" and "vendor" not in values else ""
            self.problem((*path, option) if option else path, words + hint)
        return settings

    # What no single value can tell.

    def finish(self, settings: Settings, listen: Sequence[str]) -> Settings:
        server = settings.server
        if listen:
            server = attrs.evolve(server, listen=tuple(listen))
        elif not server.listen:
            server = attrs.evolve(server, listen=self._address(server.address, settings.tls.enabled))
        auth = attrs.evolve(settings.auth, keys=self._keys(settings.auth.keys))
        tls = settings.tls
        if tls.enabled and not (tls.cert and tls.key):
            self.problems.append(
                "TLS is on (tls.enabled, ENABLE_TLS), but certificate or key is missing: set TLS_CERT_PATH and "
                "TLS_KEY_PATH, or [tls] cert and key"
            )
        if tls.client_auth != "none" and not tls.client_ca:
            self.problem(("tls", "client_auth"), "needs client_ca, the certificates that sign clients' certificates")
        for index, certificate in enumerate(tls.certificates):
            if not (certificate.cert and certificate.key):
                self.problem(("tls", "certificates", index), "needs cert and key")
        if any(key.certificate for key in settings.auth.keys) and tls.client_auth == "none":
            self.problem(("auth", "keys"), 'has a certificate, but tls.client_auth is "none": none would be asked for')
        for endpoint in server.listen if tls.enabled else ():
            if re.match(r"tcp[46]?:", endpoint):
                self.problems.append(
                    f"TLS is on (tls.enabled, ENABLE_TLS), but {endpoint} is not encrypted: write ssl:{endpoint[4:]}"
                )
        try:
            parse_filter(settings.log.filter)
        except ValueError as error:
            self.problems.append(f"log.filter (LOG_FILTER, RUST_LOG) {error}")
        if settings.cors.credentials and "*" in settings.cors.origins:
            self.problem(("cors", "credentials"), 'needs origins by name: browsers refuse it with "*"')
        providers: Mapping[str, Any] = settings.providers
        if not providers:
            try:
                providers = self._tables(Provider, from_environment(self.environ), ("providers",))
            except ValueError as error:
                self.problems.append(str(error))
        for name, model in settings.models.items():
            if not model.targets and ("models", name, "targets") not in self.lines:
                self.problem(("models", name), 'needs targets, such as targets = ["openai/gpt-4o"]')
            self._route(name, model, settings.models, providers)
        for name, model_name in settings.routing.default_models.items():
            if not self._is_known(model_name, settings.models, providers):
                self._unknown(("routing", "default_models", name), "model", model_name, settings.models)
        for name in settings.prices:
            self._price(name, settings.prices[name], providers)
        return attrs.evolve(settings, server=server, auth=auth, providers=providers)

    def _route(self, name: str, model: Model, models: Iterable[str], providers: Iterable[str]) -> None:
        shadow = [("shadow", model.shadow)] if model.shadow else []
        for option, target in [("targets", str(target)) for target in model.targets] + shadow:
            if (provider := target.partition("/")[0]) not in providers:
                self._unknown(("models", name, option), "provider", provider, providers)
        for option in ("fallbacks", "context_fallbacks"):
            for other in getattr(model, option):
                if other == name:
                    self.problem(("models", name, option), "names the model itself")
                elif other not in models and other.partition("/")[0] not in providers:
                    self._unknown(("models", name, option), "model", other, models)
        if model.sticky and model.sticky != "prompt" and not re.fullmatch(r"header:[A-Za-z0-9_\-]+", model.sticky):
            self.problem(("models", name, "sticky"), 'must be "prompt" or "header:NAME"')

    def _is_known(self, name: str, models: Iterable[str], providers: Mapping[str, Any]) -> bool:
        """Whether a client may ask for a model of that name."""
        patterns = [*models, *(pattern for each in providers.values() for pattern in each.models)]
        return name.partition("/")[0] in providers or any(fnmatchcase(name, pattern) for pattern in patterns)

    def _price(self, name: str, price: Price, providers: Iterable[str]) -> None:
        path: KeyPath = ("prices", name)
        for option, value in (("input", price.input), ("output", price.output)):
            if value is None and (*path, option) not in self.lines:
                self.problem(path, f"needs {option}, such as {option} = 2.5 (USD per million tokens; 0 for nothing)")
        provider, slash, model = name.partition("/")
        if not (provider and slash and model):
            self.problem(path, 'must be named [prices."PROVIDER/MODEL"]; patterns are allowed')
        elif not any(fnmatchcase(known, provider) for known in providers):
            self._unknown(path, "provider", provider, providers)

    def _unknown(self, path: KeyPath, what: str, name: str, names: Iterable[str]) -> None:
        self.problem(path, f"names the {what} {name!r}, which is not configured{nearest(name, names)}")

    def _address(self, address: str, tls: bool) -> tuple[str, ...]:
        host, colon, port = address.rpartition(":")
        host = host.removeprefix("[").removesuffix("]")
        if not colon or not port.isdigit() or not 0 <= int(port) <= 65535 or (":" in host and "[" not in address):
            self.problems.append(
                f"server.address (SERVER_ADDRESS) must be HOST:PORT such as 0.0.0.0:8080, not {address!r}"
            )
            return ()
        interface = host.replace(":", r"\:") or "0.0.0.0"  # noqa: S104 - the documented default
        return (f"{'ssl' if tls else 'tcp'}:{port}:interface={interface}",)

    def _keys(self, keys: tuple[Key, ...]) -> tuple[Key, ...]:
        if text := self.environ.get("API_KEYS", "").strip():
            keys = tuple(self._environment_keys(text))
            if not text.strip(", "):
                self.problems.append("environment variable API_KEYS holds no key")
        else:
            for index, key in enumerate(keys):
                path: KeyPath = ("auth", "keys", index)
                if not re.match(NAME, key.name):
                    self.problem((*path, "name"), "must be a short name: letters, digits, '-', '_' and '.'")
                if key.key is None and (*path, "key") not in self.lines and not key.certificate:
                    self.problem(path, 'needs key = "sha256:…", "env:NAME" or the key itself')
        names = [key.name for key in keys]
        for index, name in enumerate(names):
            if name in names[:index]:
                self.problem(
                    ("auth", "keys", index, "name"), f"{name!r} is used twice; logs could not tell the keys apart"
                )
        seen: dict[bytes, str] = {}
        for key in keys:
            if key.key is not None and (first := seen.setdefault(key.digest(), key.name)) != key.name:
                self.problems.append(f"auth.keys: {first!r} and {key.name!r} are the same key")
        return keys

    def _environment_keys(self, text: str) -> Iterable[Key]:
        for number, part in enumerate(filter(None, map(str.strip, text.split(","))), 1):
            try:
                yield Key(name=f"key-{number}", key=KEY.from_toml(part, self.environ))
            except ValueError as error:
                self.problems.append(f"environment variable API_KEYS, key {number}, {error}")

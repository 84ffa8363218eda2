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
from llmedge.config.secret import Secret, resolve
from llmedge.config.sections.auth import Key
from llmedge.config.sections.models import Model
from llmedge.config.sections.prices import Price
from llmedge.config.sections.providers import Provider
from llmedge.config.settings import Settings
from llmedge.config.vendors import Plugged, from_environment, settle

S = TypeVar("S")

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.\-]{0,63}$")
_MOCK_ONLY = ("latency", "chunk_interval", "fault", "fault_status", "fault_after", "fault_rate")
_SHA256 = re.compile(r"^[0-9a-fA-F]{64}$")


class ConfigError(Exception):
    """The configuration cannot be used. ``problems`` holds one line for each thing wrong, never a secret."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        if len(self.problems) == 1:
            text = self.problems[0]
        else:
            text = f"{len(self.problems)} problems in the configuration:\n" + "\n".join(
                f"  {problem}" for problem in self.problems
            )
        super().__init__(text)


def load(
    environ: Mapping[str, str],
    path: str | None = None,
    listen: Sequence[str] = (),
    admin_listen: Sequence[str] = (),
    plugged: Plugged = dict,
) -> Settings:
    """The settings in force.

    :param environ: the process environment.
    :param path: a TOML file, or ``None``.
    :param listen: endpoint strings from ``--port``; they replace those of file and environment.
    :param admin_listen: the same from ``--admin-port``.
    :param plugged: finds the vendors that are plugins; there are none otherwise.
    :raises ConfigError: with every problem found.
    """
    data: dict[str, Any] = {}
    lines: dict[KeyPath, int] = {}
    if path is not None:
        data, lines = _read_file(path)
    reader = _Reader(environ, path or "", lines, plugged)
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

    def __init__(self, environ: Mapping[str, str], file: str, lines: dict[KeyPath, int], plugged: Plugged) -> None:
        self.environ = environ
        self.plugged = plugged
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
                values[name] = self.section(field.default.factory, data.get(name, {}), here)  # type: ignore
        return cls(**values)

    def _option(self, option: Option, name: str, data: dict[str, Any], path: KeyPath, values: dict[str, Any]) -> None:
        for variable in option.env:
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

    def _tables(self, cls: type[S], data: Any, path: KeyPath) -> dict[str, S]:
        if not isinstance(data, dict):
            self.problem(path, "must be a table")
            return {}
        return {name: self.section(cls, item, (*path, name)) for name, item in data.items()}

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
        providers = settings.providers
        if providers:
            providers = {name: self._provider(name, provider) for name, provider in providers.items()}
        else:
            try:
                providers = from_environment(self.environ)
            except ValueError as error:
                self.problems.append(str(error))
        for name, model in settings.models.items():
            if not model.targets and ("models", name, "targets") not in self.lines:
                self.problem(("models", name), 'needs targets, such as targets = ["openai/gpt-4o"]')
            self._route(name, model, settings.models, providers)
        for name in settings.prices:
            self._price(name, settings.prices[name], providers)
        return attrs.evolve(settings, server=server, auth=auth, providers=providers)

    def _route(self, name: str, model: Model, models: Iterable[str], providers: Iterable[str]) -> None:
        shadow = [("shadow", model.shadow)] if model.shadow else []
        for option, target in [("targets", str(target)) for target in model.targets] + shadow:
            provider = target.partition("/")[0]
            if provider not in providers:
                self.problem(
                    ("models", name, option),
                    f"names the provider {provider!r}, which is not configured" + nearest(provider, providers),
                )
        for option in ("fallbacks", "context_fallbacks"):
            for other in getattr(model, option):
                if other == name:
                    self.problem(("models", name, option), "names the model itself")
                elif other not in models and other.partition("/")[0] not in providers:
                    self.problem(
                        ("models", name, option),
                        f"names the model {other!r}, which is not configured" + nearest(other, models),
                    )
        if model.sticky and model.sticky != "prompt" and not re.fullmatch(r"header:[A-Za-z0-9_\-]+", model.sticky):
            self.problem(("models", name, "sticky"), 'must be "prompt" or "header:NAME"')

    def _price(self, name: str, price: Price, providers: Iterable[str]) -> None:
        path: KeyPath = ("prices", name)
        for option, value in (("input", price.input), ("output", price.output)):
            if value is None and (*path, option) not in self.lines:
                self.problem(path, f"needs {option}, such as {option} = 2.5 (USD per million tokens; 0 for nothing)")
        provider, slash, model = name.partition("/")
        if not (provider and slash and model):
            self.problem(path, 'must be named [prices."PROVIDER/MODEL"]; patterns are allowed')
        elif not any(fnmatchcase(known, provider) for known in providers):
            self.problem(
                path, f"names the provider {provider!r}, which is not configured{nearest(provider, providers)}"
            )

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
                if not _NAME.match(key.name):
                    self.problem((*path, "name"), "must be a short name: letters, digits, '-', '_' and '.'")
                if key.key is None:
                    if (*path, "key") not in self.lines and not key.certificate:
                        self.problem(path, 'needs key = "sha256:…", "env:NAME" or the key itself')
                else:
                    self._sha256(key.key, lambda what, path=path: self.problem((*path, "key"), what))
        names = [key.name for key in keys]
        for index, name in enumerate(names):
            if name in names[:index]:
                self.problem(
                    ("auth", "keys", index, "name"), f"{name!r} is used twice; logs could not tell the keys apart"
                )
        seen: dict[bytes, str] = {}
        for key in keys:
            digest = self._digest(key)
            if digest is not None and seen.setdefault(digest, key.name) != key.name:
                self.problems.append(f"auth.keys: {seen[digest]!r} and {key.name!r} are the same key")
        return keys

    def _digest(self, key: Key) -> bytes | None:
        try:
            return key.digest() if key.key is not None else None
        except ValueError:
            return None  # said already

    def _environment_keys(self, text: str) -> Iterable[Key]:
        for number, part in enumerate(filter(None, map(str.strip, text.split(","))), 1):
            try:
                secret = Secret(resolve(part, self.environ))
            except ValueError as error:
                self.problems.append(f"environment variable API_KEYS, key {number}, {error}")
                continue
            self._sha256(
                secret,
                lambda what, number=number: self.problems.append(
                    f"environment variable API_KEYS, key {number}, {what}"
                ),
            )
            yield Key(name=f"key-{number}", key=secret)

    def _sha256(self, secret: Secret, complain: Any) -> None:
        value = secret.reveal()
        if value.startswith("sha256:") and not _SHA256.match(value.removeprefix("sha256:")):
            complain('must have 64 hexadecimal digits after "sha256:"')

    def _provider(self, name: str, provider: Provider) -> Provider:
        path: KeyPath = ("providers", name)
        if not _NAME.match(name):
            self.problem(path, "must have a short name: letters, digits, '-', '_' and '.'")
        settled, problems = settle(name, provider, self.environ, self.plugged)
        for option, what in problems:
            if (needed := re.match(r"needs (\w+)", what)) and (*path, needed[1]) in self.lines:
                continue  # it is there, and what is wrong with it has been said
            self.problem((*path, option) if option else path, what)
        if provider.dialect != "mock":
            for option in _MOCK_ONLY:
                if (*path, option) in self.lines:
                    self.problem((*path, option), 'is for the dialect "mock" only')
        return settled

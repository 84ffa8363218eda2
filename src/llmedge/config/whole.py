"""What no single value can tell: where to listen, and what the parts of a configuration say of each other."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import partial

import attrs

from llmedge.config.address import endpoint_of
from llmedge.config.catalogue import VENDORS
from llmedge.config.levels import parse_filter
from llmedge.config.locate import Path as KeyPath
from llmedge.config.reader import Reader
from llmedge.config.secret import Secret
from llmedge.config.sections.auth import KEYS, Auth, Key
from llmedge.config.sections.guardrails import Guardrail
from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.prices import Price
from llmedge.config.sections.providers import Provider
from llmedge.config.sections.store import Store
from llmedge.config.sections.tls import Tls
from llmedge.config.sections.tracing import is_meant
from llmedge.config.settings import NAME, Settings
from llmedge.config.stars import star_problem
from llmedge.config.vendors import from_environment
from llmedge.config.whole_semantic import by_meaning

EndpointCheck = Callable[[str, Tls], str]
"""What is wrong with an endpoint string, a predicate about it; ``""`` if nothing is."""


def finish(
    reader: Reader, settings: Settings, listen: Sequence[str], admin_flag: bool, check: EndpointCheck | None
) -> Settings:
    """``settings`` with what follows from them and from the environment; ``reader`` is told the problems.

    :param listen: what flags say of ``server.listen``. ``admin_flag``: whether they said ``admin.listen``.
    """
    auth = attrs.evolve(settings.auth, keys=_keys(reader, settings.auth.keys))
    providers: Mapping[str, Provider] = settings.providers
    if not providers:
        try:
            providers = reader.tables(Provider, from_environment(reader.environ), ("providers",))
        except ValueError as error:
            reader.problem_elsewhere(str(error))
    tracing = settings.tracing
    if not reader.is_there(("tracing", "enabled")):
        tracing = attrs.evolve(tracing, enabled=is_meant(reader.environ))
    store = settings.store if reader.is_there(("store", "url")) else _database(reader, settings.store)
    settings = attrs.evolve(settings, auth=auth, providers=providers, tracing=tracing, store=store)
    _tls(reader, settings)
    _issuers(reader, settings.auth)
    tls, written = settings.tls, settings.server.listen
    listened = tuple(listen or written or _address(reader, settings))
    place: KeyPath = ("server", "listen") if listen or written else ("server", "address")
    _endpoints(reader, place, "--port" if listen else "", listened, tls, check)
    _endpoints(reader, ("admin", "listen"), "--admin-port" if admin_flag else "", settings.admin.listen, tls, check)
    settings = attrs.evolve(settings, server=attrs.evolve(settings.server, listen=listened))
    try:
        parse_filter(settings.log.filter)
    except ValueError as error:
        reader.problem(("log", "filter"), str(error))
    if settings.cors.credentials and "*" in settings.cors.origins:
        reader.problem(("cors", "credentials"), 'needs origins by name: browsers refuse it with "*"')
    for name, model in settings.models.items():
        _route(reader, name, model, settings)
    for name, other in settings.routing.default_models.items():
        if not _leads_somewhere(other, settings):
            _unknown_model(reader, ("routing", "default_models", name), other, settings)
    for index, guardrail in enumerate(settings.guardrails):
        _guardrail(reader, index, guardrail, settings)
    names = [each.name for each in settings.guardrails]
    for index, key in enumerate(settings.auth.keys):
        for name in key.guardrails:
            if name not in names:
                reader.unknown(("auth", "keys", index, "guardrails"), "guardrail", name, names)
    for name in settings.prices:
        _price(reader, name, settings.prices[name], providers)
    for place, other in by_meaning(reader, settings, partial(_leads_somewhere, settings=settings)):
        _unknown_model(reader, place, other, settings)
    return settings


def _database(reader: Reader, store: Store) -> Store:
    """``DATABASE_URL`` may be another program's: it counts where it names PostgreSQL."""
    url = reader.environ.get("DATABASE_URL", "").strip()
    return attrs.evolve(store, url=Secret(url)) if url.startswith(("postgresql://", "postgres://")) else store


# Where to listen


def _address(reader: Reader, settings: Settings) -> tuple[str, ...]:
    """What ``server.address`` says, else ``PORT``, which platforms set for what they run."""
    scheme = "ssl" if settings.tls.enabled else "tcp"
    port = reader.environ.get("PORT", "").strip()
    if port and not reader.is_there(("server", "address")):
        endpoint = endpoint_of(f":{port}", scheme)
        if endpoint is None:
            reader.problem_elsewhere("environment variable PORT must be a port from 0 to 65535")
    else:
        endpoint = endpoint_of(settings.server.address, scheme)
        if endpoint is None:
            said = f"must be HOST:PORT such as 0.0.0.0:8080, not {settings.server.address!r}"
            reader.problem(("server", "address"), said)
    return () if endpoint is None else (endpoint,)


def _endpoints(
    reader: Reader, path: KeyPath, flag: str, endpoints: Iterable[str], tls: Tls, check: EndpointCheck | None
) -> None:
    incomplete = tls.enabled and not (tls.cert and tls.key)  # that is said already
    for endpoint in endpoints:
        words = ""
        if tls.enabled and re.match(r"tcp[46]?:", endpoint) and path == ("server", "listen"):
            words = f"{endpoint} is not encrypted, and TLS is on (tls.enabled, ENABLE_TLS): write ssl:{endpoint[4:]}"
        elif check is not None and not (incomplete and endpoint.startswith("ssl:")):
            words = check(endpoint, tls)
        if words and flag:
            reader.problem_elsewhere(f"{flag}: {words}")
        elif words and reader.is_there(path):
            reader.problem(path, f"cannot be used: {words}")
        elif words:
            reader.problem_elsewhere(words)


def _tls(reader: Reader, settings: Settings) -> None:
    tls = settings.tls
    if tls.enabled and not (tls.cert and tls.key):
        said = "is true, but certificate or key is missing: set TLS_CERT_PATH and TLS_KEY_PATH, or [tls] cert and key"
        reader.problem(("tls", "enabled"), said)
    if tls.client_auth != "none" and not tls.client_ca:
        reader.problem(("tls", "client_auth"), "needs client_ca, the certificates that sign clients' certificates")
    for index, certificate in enumerate(tls.certificates):
        if not (certificate.cert and certificate.key):
            reader.problem(("tls", "certificates", index), "needs cert and key")
    if any(key.certificate for key in settings.auth.keys) and tls.client_auth == "none":
        reader.problem(("auth", "keys"), 'has a certificate, but tls.client_auth is "none": none would be asked for')
    if settings.auth.spiffe and tls.client_auth == "none":
        reader.problem(("auth", "spiffe"), 'needs certificates, but tls.client_auth is "none": none would be asked for')


# Who is asked


def _route(reader: Reader, name: str, model: Model, settings: Settings) -> None:
    path: KeyPath = ("models", name)
    providers = settings.providers
    if not model.targets and (*path, "targets") not in reader.lines:
        reader.problem(path, 'needs targets, such as targets = ["openai/gpt-4o"]')
    shadow = [("shadow", TargetEntry(model.shadow))] if model.shadow else []
    for option, entry in [("targets", entry) for entry in model.targets] + shadow:
        if (provider := entry.target.partition("/")[0]) not in providers:
            reader.unknown((*path, option), "provider", provider, providers)
        elif words := star_problem(name, entry.target):
            reader.problem((*path, option), words)
    for option in ("fallbacks", "context_fallbacks"):
        for other in getattr(model, option):
            if other == name:
                reader.problem((*path, option), "names the model itself")
            elif not _leads_somewhere(other, settings):
                _unknown_model(reader, (*path, option), other, settings)
    if model.sticky and model.sticky != "prompt" and not re.fullmatch(r"header:[A-Za-z0-9_\-]+", model.sticky):
        reader.problem((*path, "sticky"), 'must be "prompt" or "header:NAME"')


def _guardrail(reader: Reader, index: int, guardrail: Guardrail, settings: Settings) -> None:
    path: KeyPath = ("guardrails", index)
    if not re.match(NAME, guardrail.name):
        reader.problem((*path, "name"), "must be a short name: letters, digits, '-', '_' and '.'")
    elif guardrail.name in [each.name for each in settings.guardrails[:index]]:
        reader.problem((*path, "name"), f"{guardrail.name!r} is there twice")
    if guardrail.action == "route" and not guardrail.route:
        reader.problem(path, 'needs route, the model that calls go to, such as route = "local"')
    elif guardrail.route and guardrail.action != "route":
        reader.problem((*path, "route"), 'is for action = "route" only')
    elif guardrail.route and not _leads_somewhere(guardrail.route, settings):
        _unknown_model(reader, (*path, "route"), guardrail.route, settings)
    if guardrail.during and guardrail.action not in ("block", "report"):
        reader.problem(
            (*path, "action"), "must be block or report with during_call: its vendor has the request already"
        )


def _leads_somewhere(model: str, settings: Settings) -> bool:
    """Whether a client may ask for ``model``."""
    provider, slash, name = model.partition("/")
    patterns = [*settings.models, *(pattern for each in settings.providers.values() for pattern in each.models)]
    return (bool(slash and name) and provider in settings.providers) or any(
        model == pattern or fnmatchcase(model, pattern) for pattern in patterns
    )


def _unknown_model(reader: Reader, path: KeyPath, model: str, settings: Settings) -> None:
    reader.problem(path, f"names the model {model!r}, which is not configured: {_written(model, settings)}")


def _written(model: str, settings: Settings) -> str:
    """How a model that nobody has is written, where some provider may have it."""
    close = difflib.get_close_matches(model, settings.models, 1, 0.6)
    if close:
        return f"did you mean {close[0]!r}?"
    makers = [vendor.name for vendor in VENDORS.values() if any(fnmatchcase(model, each) for each in vendor.models)]
    owners = [name for name, each in settings.providers.items() if each.vendor in makers and each.vendor != "ollama"]
    owner = next(iter(owners or settings.providers), "openai")
    shown = model.rpartition("/")[2] or model
    return f"write the name of a [models] entry or PROVIDER/MODEL, such as {owner}/{shown}"


def _price(reader: Reader, name: str, price: Price, providers: Iterable[str]) -> None:
    path: KeyPath = ("prices", name)
    besides = any((*path, each) in reader.lines for each in _PRICES_ALONE)
    for option, value in (("input", price.input), ("output", price.output)):
        if value is None and (*path, option) not in reader.lines and not besides:
            reader.problem(path, f"needs {option}, such as {option} = 2.5 (USD per million tokens; 0 for nothing)")
    provider, slash, model = name.partition("/")
    if not (provider and slash and model):
        reader.problem(path, 'must be named [prices."PROVIDER/MODEL"]; patterns are allowed')
    elif not any(fnmatchcase(known, provider) for known in providers):
        reader.unknown(path, "provider", provider, providers)
    if price.price_as:
        like, slash, model = price.price_as.partition("/")
        if not (slash and model):
            reader.problem((*path, "price_as"), 'must be "PROVIDER/MODEL", such as "openai/gpt-4o"')
        elif like not in providers and like not in VENDORS:
            reader.unknown((*path, "price_as"), "provider or vendor", like, {*providers, *VENDORS})


_PRICES_ALONE = ("price_as", "characters", "audio_minute", "image", "request")
"""What can stand without a price of tokens."""


# Who asks


def _issuers(reader: Reader, auth: Auth) -> None:
    for index, issuer in enumerate(auth.jwt):
        path: KeyPath = ("auth", "jwt", index)
        for option, words in issuer.problems():
            reader.problem((*path, option) if option else path, words)
        if issuer.issuer in [each.issuer for each in auth.jwt[:index]]:
            reader.problem((*path, "issuer"), f"{issuer.issuer!r} is there twice: audience may be a list")
    for index, workload in enumerate(auth.spiffe):
        if not workload.id and ("auth", "spiffe", index, "id") not in reader.lines:
            reader.problem(("auth", "spiffe", index), 'needs id, such as id = "spiffe://example.org/ns/prod/*"')


def _keys(reader: Reader, keys: tuple[Key, ...]) -> tuple[Key, ...]:
    if text := reader.environ.get("API_KEYS", "").strip():
        if keys:
            reader.stood_over(("auth", "keys"), "API_KEYS")
        keys = tuple(_environment_keys(reader, text))
        reader.variables[("auth", "keys")] = "API_KEYS"
        if not text.strip(", "):
            reader.problem(("auth", "keys"), "holds no key")
    else:
        for index, key in enumerate(keys):
            path: KeyPath = ("auth", "keys", index)
            if not re.match(NAME, key.name):
                reader.problem((*path, "name"), "must be a short name: letters, digits, '-', '_' and '.'")
            if not key.key and (*path, "key") not in reader.lines and not key.certificate:
                reader.problem(path, 'needs key = "sha256:…", "env:NAME" or the key itself')
    names = [key.name for key in keys]
    for index, name in enumerate(names):
        if name in names[:index]:
            said = f"{name!r} is used twice; logs could not tell the keys apart"
            reader.problem(("auth", "keys", index, "name"), said)
    seen: dict[bytes, str] = {}
    for index, key in enumerate(keys):
        for digest in key.digests():
            if (first := seen.setdefault(digest, key.name)) != key.name:
                path = ("auth", "keys") if ("auth", "keys") in reader.variables else ("auth", "keys", index, "key")
                reader.problem(path, f"is there twice: {first!r} and {key.name!r} are the same key")
    return keys


def _environment_keys(reader: Reader, text: str) -> Iterable[Key]:
    for number, part in enumerate(filter(None, map(str.strip, text.split(","))), 1):
        try:
            yield Key(name=f"key-{number}", key=KEYS.from_toml(part, reader.environ))
        except ValueError as error:
            reader.problem_elsewhere(f"environment variable API_KEYS, key {number}, {error}")

"""What runs, in words: for the log at start-up and for ``--check``."""

from __future__ import annotations

from llmedge._version import __version__
from llmedge.config import Settings, egress
from llmedge.config.catalogue import DIALECTS
from llmedge.config.origins import shown
from llmedge.config.sections.providers import Provider
from llmedge.config.vendors import paths_of, vendor_of
from llmedge.identity.configured import mode


def banner(settings: Settings) -> list[str]:
    """Version, providers, models, authentication, limits. Holds no secret."""
    lines = [f"llmedge {__version__}"]
    for name, vendor in settings.providers.items():
        if vendor_of(vendor).rehearsal:
            where = "answers by itself, no vendor is asked"
        else:
            where = shown(vendor.base_url) + egress.words(vendor.base_url, settings.upstream, vendor.proxy)
        if vendor.vendor not in ("", name, "openai-compatible"):
            where += f" ({vendor.vendor})"
        patterns = f"; models {', '.join(vendor.models)}" if vendor.models else ""
        lines.append(f"provider {name}: {where}{_spoken(vendor)}{patterns}; any model of it as {name}/MODEL")
    for name, model in settings.models.items():
        between = ", then " if model.strategy == "priority" else ", "
        how = "" if model.strategy == "priority" or len(model.targets) == 1 else f" by {model.strategy}"
        more = "".join(f"; or else {other}" for other in model.fallbacks)
        lines.append(f"model {name}: {between.join(map(str, model.targets))}{how}{more}")
    count = len(settings.auth.keys)
    known = [f"{count} key{'' if count == 1 else 's'}", *(f"tokens of {each.issuer}" for each in settings.auth.jwt)]
    known += [f"certificates of {each.id}" for each in settings.auth.spiffe]
    lines.append(
        {
            "keys": f"authentication: on, {', '.join(known)}",
            "loopback": "authentication: no keys configured, so only callers on this machine; set API_KEYS for others "
            "(a proxy on this machine that adds no header of its own counts as such a caller)",
            "off": "authentication: OFF, everyone is let in (auth.enabled, AUTH_ENABLED)",
        }[mode(settings.auth)]
    )
    limit = settings.rate_limit
    lines.append(
        f"rate limit: {limit.rpm} requests a minute, {limit.burst} at once" if limit.enabled else "rate limit: off"
    )
    if settings.tracing.enabled:
        way = egress.words(settings.tracing.places[0], settings.upstream)
        lines.append(f"tracing: to {settings.tracing.places[0]}{way} ({settings.tracing.transport})")
    elif settings.tracing.is_told or settings.tracing.traces_endpoint:
        where = settings.tracing.places[0]
        lines.append(f"tracing: off, though {where} is named (ENABLE_TRACING; it takes pip install 'llmedge[otel]')")
    if trusted := [str(each) for each in (settings.upstream.ca_file, settings.upstream.ca_dir) if each is not None]:
        lines.append(f"trusted in the place of the system's authorities: {' and '.join(trusted)}")
    return lines


def _spoken(provider: Provider) -> str:
    """The dialects that a provider is asked in; nothing of one that is not asked."""
    dialects = [name for name in paths_of(provider) if name in DIALECTS]
    return f", speaks {', '.join(dialects)}" if dialects and not vendor_of(provider).rehearsal else ""


def keys(settings: Settings) -> list[str]:
    """A line for each caller's key, for ``--check``: its name, models and limits, never the key."""
    lines = []
    for key in settings.auth.keys:
        rpm = "no limit of its own" if key.rpm is None else f"{key.rpm} requests a minute"
        burst = "" if key.burst is None else f", {key.burst} at once"
        lines.append(f"key {key.name}: models {', '.join(key.models) or 'none'}; {rpm}{burst}")
    return lines

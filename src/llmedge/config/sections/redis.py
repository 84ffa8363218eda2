"""``[redis]``: what the processes of a deployment share, and may lose."""

from __future__ import annotations

from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.pem import Certificates
from llmedge.config.redis_url import FORMS, parse_redis_url
from llmedge.config.secret import Secret
from llmedge.config.secret_pairs import secret_pair


def _url(value: Any, environ: kinds.Environ) -> Secret | None:
    url: Secret = kinds.secret.from_toml(value, environ)
    if url.reveal() == "off":
        return None
    parse_redis_url(url.reveal())
    return url


URL = kinds.ValueType(f'secret: {FORMS}, or "off"', _url, kinds.string.schema)


def _prefix(value: Any) -> str:
    if not isinstance(value, str) or not value.isascii() or not value.isprintable() or len(value) > 64:
        raise ValueError("must be a text of visible ASCII characters, 64 at most")
    return value


PREFIX = kinds.simple("text", _prefix, {"type": "string", "maxLength": 64})


@attrs.frozen
class Redis:
    """A Redis or Valkey, for what the processes of a deployment share. No call waits for one that is away."""

    url: Secret | None = option(
        URL,
        None,
        '"redis://[USER:PASSWORD@]HOST[:PORT][/DB]", "rediss://…" (TLS), "unix:/PATH", or '
        '"redis+sentinel://[USER:PASSWORD@]HOST:PORT,HOST:PORT/MASTER[/DB]" (the extra redis); default: none.',
        env="LLMEDGE_REDIS",
    )
    timeout: float = option(kinds.number(0.001, 5), 0.05, "Seconds for which a call waits for an answer of it at most.")
    prefix: str = option(PREFIX, "llmedge:", "What the names of all that is kept in it begin with.")
    encrypt: tuple[Secret, ...] = option(
        secret_pair,
        (),
        "Secret with which answers are encrypted before they go there (AES-256-GCM); default: they are not.",
        env="LLMEDGE_REDIS_ENCRYPT",
    )
    ca_file: Certificates | None = option(
        kinds.trusted, None, "Whom to trust that this is it, with rediss://; default: as [upstream] says."
    )

"""``[[auth.spiffe]]``: workloads that are known by their certificates."""

from __future__ import annotations

import re
from typing import Any

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.sections.scopes import Scope

_TRUST_DOMAIN = re.compile(r"spiffe://[a-z0-9._-]{1,255}/\S+")


def _id(value: Any) -> str:
    if not isinstance(value, str) or not _TRUST_DOMAIN.fullmatch(value) or len(value) > 2048:
        raise ValueError('must be a SPIFFE ID or a pattern of such: "spiffe://TRUST-DOMAIN/PATH"')
    return value


ID = kinds.simple("SPIFFE ID, or a pattern", _id, {"type": "string", "pattern": r"^spiffe://[a-z0-9._-]+/\S+$"})


@attrs.frozen
class Spiffe(Scope):
    """Service accounts: whoever shows a client certificate that ``tls.client_ca`` has signed, with such a SPIFFE ID, is
    a caller of that name, each with limits of its own. The first that fits counts."""

    id: str = option(ID, "", 'The SPIFFE ID, or a pattern: "spiffe://example.org/ns/prod/*".')
    team: str = option(kinds.string, "", "Whose they are, for the books.")
    project: str = option(kinds.string, "", "What they are for, for the books.")
    roles: tuple[str, ...] = option(kinds.strings, ("caller",), "What they may do besides asking for models.")

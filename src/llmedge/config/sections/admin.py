"""``[admin]``: a place for operators."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.sections.auth import KEY


@attrs.frozen
class Admin:
    """A place for operators only."""

    listen: tuple[str, ...] = option(
        kinds.strings, (), "Twisted endpoint strings that serve /health, /metrics and the admin API, and nothing else."
    )
    key: Secret | None = option(
        KEY,
        None,
        'The first admin\'s key, or "sha256:HEX" of it: it may do everything in the admin API, and ask no models.',
        env="LLMEDGE_ADMIN_KEY",
    )
    keep_public: bool = option(kinds.boolean, False, "Serve /health and /metrics on the other endpoints as well.")

"""``[tls]``: certificates of our own endpoints."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Certificate:
    """One more certificate, for the names it is issued for."""

    cert: str = option(kinds.string, "", "Path of the PEM certificate chain.")
    key: str = option(kinds.string, "", "Path of the PEM private key.")


@attrs.frozen
class Tls:
    """Certificates for a bare ``ssl:PORT`` endpoint, and who may connect."""

    enabled: bool = option(kinds.boolean, False, "Listen on server.address with TLS.", env="ENABLE_TLS")
    cert: str = option(kinds.string, "", "Path of the PEM certificate chain.", env="TLS_CERT_PATH")
    key: str = option(kinds.string, "", "Path of the PEM private key.", env="TLS_KEY_PATH")
    certificates: tuple[Certificate, ...] = attrs.field(default=(), metadata={"items": Certificate})
    client_ca: str = option(kinds.string, "", "Path of the PEM certificates that sign clients' certificates.")
    client_auth: str = option(
        kinds.choice("none", "optional", "require"), "none", "Whether clients may, or must, present a certificate."
    )

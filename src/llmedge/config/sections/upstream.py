"""``[upstream]``: limits of each attempt."""

from __future__ import annotations

import attrs

from llmedge.config import kinds
from llmedge.config.option import option
from llmedge.config.pem import Certificates
from llmedge.config.proxy import Proxy


@attrs.frozen
class Upstream:
    """Limits of each attempt at a vendor. All lie within the call's own deadline."""

    connect_timeout: float = option(
        kinds.number(0.01, 3600), 5.0, "Seconds to open a connection, TLS handshake included."
    )
    first_byte_timeout: float = option(
        kinds.number(0, 3600), 0.0, "Seconds from the request sent to the answer's headers; 0: the deadline alone."
    )
    first_token_timeout: float = option(
        kinds.number(0, 3600), 0.0, "Seconds from the request sent to a stream's first content; 0: the deadline alone."
    )
    idle_timeout: float = option(kinds.number(0.01, 3600), 30.0, "Seconds of silence within an answer that has begun.")
    max_response_size: int = option(kinds.integer(1024), 67108864, "Largest whole answer, in bytes.")
    max_event_size: int = option(kinds.integer(1024), 16777216, "Largest single event of a stream, in bytes.")
    max_connections: int = option(
        kinds.integer(1, 65536), 1024, "Connections to one vendor; more calls wait for one, connect_timeout at most."
    )
    keepalive: float = option(
        kinds.number(0, 3600), 30.0, "Seconds an idle connection is kept; below what vendors keep theirs."
    )
    models_refresh: float = option(
        kinds.number(0, 86400), 300.0, "Seconds after which a vendor's list of models is old; 0: they are never asked."
    )
    https_proxy: Proxy | None = option(
        kinds.proxy,
        None,
        "HTTP proxy through which https URLs are asked: vendors, token endpoints, the collector of traces.",
        fallback=("https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"),
    )
    http_proxy: Proxy | None = option(
        kinds.proxy,
        None,
        "The same for http URLs.",
        fallback=("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"),
    )
    no_proxy: tuple[str, ...] = option(
        kinds.hosts,
        (),
        "Hosts asked without a proxy: names with all below them, addresses, networks, each with a port or not, or *.",
        fallback=("no_proxy", "NO_PROXY"),
    )
    ca_file: Certificates | None = option(
        kinds.trusted,
        None,
        "Whom to trust in the place of the system's authorities: a PEM file of certificates, or a directory of them.",
        fallback=("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    )
    ca_dir: Certificates | None = option(
        kinds.directories,
        None,
        "Directories of certificates to trust likewise, named by openssl rehash.",
        fallback=("SSL_CERT_DIR",),
    )

"""``[server]``: where and how requests are taken."""

from __future__ import annotations

from ipaddress import IPv4Network, IPv6Network

import attrs

from llmedge.config import kinds
from llmedge.config.option import option


@attrs.frozen
class Server:
    """Where and how requests are taken."""

    address: str = option(
        kinds.string,
        "0.0.0.0:8080",
        "HOST:PORT to listen on where no endpoint is given; where that is not either, 0.0.0.0 and the variable PORT.",
        env="SERVER_ADDRESS",
    )
    listen: tuple[str, ...] = option(kinds.strings, (), "Twisted endpoint strings to listen on; stands in for address.")
    timeout: float = option(
        kinds.number(0.01, 86400),
        30.0,
        "Seconds a whole answer, or the first event of a stream, may take.",
        env="SERVER_TIMEOUT_SECONDS",
    )
    max_timeout: float = option(
        kinds.number(0.01, 86400),
        600.0,
        "Seconds that a client may ask for instead of timeout, at most; more where its model's timeout is longer.",
    )
    stream_timeout: float = option(
        kinds.number(0.01, 604800), 3600.0, "Seconds a whole stream may take, from first byte in to last byte out."
    )
    max_request_size: int = option(
        kinds.integer(1), 10485760, "Largest request body, in bytes.", env="MAX_REQUEST_SIZE"
    )
    max_upload_size: int = option(
        kinds.integer(1), 26214400, "Largest body of an endpoint that takes files (audio, images), in bytes."
    )
    upload_memory: int = option(
        kinds.integer(0),
        134217728,
        "Bytes in memory of all uploads together that wait for their model, or could be sent again.",
    )
    upload_disk: int = option(
        kinds.integer(0), 1073741824, "Bytes of them in temporary files, where upload_memory is full; 0: none."
    )
    max_held: int = option(
        kinds.integer(1048576),
        268435456,
        "Bytes held for clients, all together: bodies, WebSocket messages that wait, answers that nobody reads, where "
        "they are over 64 KiB. One caller may have half of it.",
    )
    header_timeout: float = option(
        kinds.number(0.01, 3600), 10.0, "Seconds a request's head may take, from its first byte to its last."
    )
    body_timeout: float = option(
        kinds.number(0.01, 3600), 60.0, "Seconds a request's body may take, from its first byte to its last."
    )
    idle_timeout: float = option(
        kinds.number(0.01, 86400),
        60.0,
        "Seconds a connection may be idle between requests, or silent while sending one.",
    )
    max_headers: int = option(kinds.integer(10, 500), 100, "Headers of one request.")
    max_header_size: int = option(kinds.integer(1024, 1048576), 16384, "Bytes of a request's line and headers.")
    max_url_length: int = option(kinds.integer(64, 1048576), 8192, "Bytes of a request's URL.")
    max_json_depth: int = option(kinds.integer(4, 500), 100, "How deeply a body's JSON may be nested.")
    max_items: int = option(
        kinds.integer(100),
        10000,
        "Objects and lists in the lists of a JSON body, all together: messages, their parts, tools. Ten times as many "
        "fields and 40 times as many values are taken.",
    )
    max_connections: int = option(kinds.integer(1), 10000, "Open connections, all clients together.")
    max_connections_per_address: int = option(
        kinds.integer(0), 2000, "Open connections from one address; 0 for no limit of its own."
    )
    max_requests: int = option(kinds.integer(1), 5000, "Requests under way, all clients together.")
    max_requests_per_address: int = option(
        kinds.integer(0), 0, "Requests under way from one address; 0 for no limit of its own."
    )
    http_parser: str = option(
        kinds.choice("llhttp", "twisted"),
        "llhttp",
        "Who parses HTTP/1.1: the quick one, or twisted.web's own, the reference it is tested against.",
    )
    max_streams: int = option(kinds.integer(1, 10000), 100, "Requests under way on one HTTP/2 connection.")
    trusted_proxies: tuple[IPv4Network | IPv6Network, ...] = option(
        kinds.networks,
        (),
        "Proxies in front of the gateway whose X-Forwarded-For is believed; needs keys, as any forwarded request.",
    )
    shutdown_grace: float = option(
        kinds.number(0, 3600), 30.0, "Seconds that calls in flight may take to finish when the service stops."
    )
    write_timeout: float = option(
        kinds.number(0.01, 86400), 60.0, "Seconds a client may take no byte of an answer that waits for it."
    )
    show_causes: bool = option(
        kinds.boolean, False, "Tell clients in x-llmedge-causes why each attempt in vain was one."
    )
    heartbeat: float = option(
        kinds.number(0, 3600),
        15.0,
        "Seconds of silence after which a stream gets a comment line; 0 turns heartbeats off.",
    )

"""What TLS costs the gateway: handshakes, full and resumed, and calls over HTTP/1.1 and HTTP/2.

The certificate is ECDSA P-256, made for the run.
"""

from __future__ import annotations

import datetime
import re
import socket
import ssl
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from benchmarks.gateway import KEY, Gateway, cpu_seconds, memory_mb, missing
from benchmarks.rows import CHAT, bench, body

HTTP2_CONNECTIONS = 4
HTTP2_STREAMS = 8
"""Calls under way on each of them."""


def certificate(folder: Path) -> tuple[str, str]:
    """Paths of a self-signed certificate for localhost and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    pem = serialization.Encoding.PEM
    paths[0].write_bytes(made.public_bytes(pem))
    paths[1].write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))
    return str(paths[0]), str(paths[1])


class Handshakes:
    """Connects, shakes hands and says goodbye, one connection at a time."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._context.check_hostname = False
        self._context.verify_mode = ssl.CERT_NONE
        self._context.set_alpn_protocols(["http/1.1"])

    def session(self) -> ssl.SSLSession | None:
        """One to resume: with TLS 1.3 its ticket comes after the handshake, so something is asked."""
        with self._connect(None) as connection:
            connection.sendall(b"GET /health HTTP/1.1\r\nhost: localhost\r\n\r\n")
            connection.recv(65536)
            return connection.session

    def run(self, pid: int, seconds: float, session: ssl.SSLSession | None) -> dict[str, Any]:
        """Handshakes for ``seconds``: CPU in us for each, from accept to close."""
        count = resumed = 0
        version: str | None = None
        before, began = cpu_seconds(pid), time.monotonic()
        while time.monotonic() < began + seconds:
            connection = self._connect(session)
            count += 1
            resumed += bool(connection.session_reused)
            version = connection.version()
            connection.unwrap().close()  # its goodbye comes when it has done everything
        took = time.monotonic() - began
        spent = cpu_seconds(pid) - before
        return {
            "per_second": round(count / took),
            "cpu_us": round(spent / count * 1e6, 1),
            "resumed": resumed,
            "of": count,
            "protocol": version,
            "rss_mb": round(memory_mb(pid), 1),
            "errors": count - resumed if session else resumed,
        }

    def _connect(self, session: ssl.SSLSession | None) -> ssl.SSLSocket:
        plain = socket.create_connection(("127.0.0.1", self._port), 10)
        return self._context.wrap_socket(plain, server_hostname="localhost", session=session)


def connections(url: str, pid: int, seconds: float) -> dict[str, Any]:
    """Connections without TLS that are opened and closed: what of a handshake's figure is not TLS."""
    host, _, port = url.removeprefix("http://").partition(":")
    count = 0
    before, began = cpu_seconds(pid), time.monotonic()
    while time.monotonic() < began + seconds:
        with socket.create_connection((host, int(port)), 10) as connection:
            connection.shutdown(socket.SHUT_WR)
            connection.recv(1)
        count += 1
    spent, took = cpu_seconds(pid) - before, time.monotonic() - began
    return {"per_second": round(count / took), "cpu_us": round(spent / count * 1e6, 1), "errors": 0}


def http2(url: str, pid: int, seconds: int) -> dict[str, Any]:
    """Proxied chats over HTTP/2, by h2load: so many of them as go into ``seconds``."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(body(model="proxied"))
        file.flush()
        command = ["h2load", f"-c{HTTP2_CONNECTIONS}", f"-m{HTTP2_STREAMS}", "-d", file.name]
        command += ["-H", "content-type: application/json", "-H", f"authorization: Bearer {KEY}"]

        def run(count: int) -> tuple[float, str]:
            ran = subprocess.run([*command, f"-n{count}", url + CHAT], capture_output=True, text=True, check=True)
            rate = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", ran.stdout)
            return float(rate[1]) if rate else 0.0, ran.stdout

        rate, _ = run(1000)  # warm up
        count = max(100, int(rate * seconds))
        before = cpu_seconds(pid)
        rate, text = run(count)
        spent = cpu_seconds(pid) - before
    done = re.search(r"status codes: (\d+) 2xx", text)
    protocol = re.search(r"Application protocol: (\S+)", text)
    return {
        "requests_per_second": round(rate),
        "cpu_us": round(spent / count * 1e6, 1),
        "protocol": protocol[1] if protocol else None,
        "rss_mb": round(memory_mb(pid), 1),
        "errors": count - int(done[1]) if done else count,
    }


def over_tls(gateway: Gateway, seconds: int, connected: int) -> dict[str, dict[str, Any]]:
    """All that is measured with TLS."""
    url, pid = f"https://127.0.0.1:{gateway.tls_port}", gateway.pid
    client = Handshakes(gateway.tls_port)
    session = client.session()
    found = {
        "connection without TLS": connections(gateway.url, pid, seconds / 2),
        "handshake, full": client.run(pid, seconds, None),
    }
    if session is not None:
        found["handshake, resumed"] = client.run(pid, seconds, session)
    else:
        found["handshake, resumed"] = {"not_measured": "the gateway gave no session to resume"}
    found["chat, HTTP/1.1 with TLS"] = bench(url, pid, "proxied chat", seconds, connected)
    if why := missing("h2load"):
        found["chat, HTTP/2 with TLS"] = {"not_measured": why}
    else:
        found["chat, HTTP/2 with TLS"] = http2(url, pid, seconds)
    return found

"""TLS with real clients: Python's own ssl, curl and openssl."""

from __future__ import annotations

import shutil
import socket
import ssl
from pathlib import Path
from typing import Any

from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase

from tests.e2e.certificates import Authority
from tests.e2e.client import Client
from tests.e2e.service import PATIENCE, TIMEOUT, Gateway, until
from tests.fakes import CHAT, request

reactor: Any = _reactor
HELLO = b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


class Tls(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        self.authority = Authority()
        self.cert, self.key = self.authority.issue("server", "localhost")

    async def begin(self, toml: str = "", port: str = "ssl:0:interface=127.0.0.1", **environ: str) -> Gateway:
        gateway = Gateway(toml, environ, ("--port", port))
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    def context(self, **kw: Any) -> ssl.SSLContext:
        return ssl.create_default_context(cafile=self.authority.path)

    async def ask(self, gateway: Gateway, context: ssl.SSLContext, name: str = "localhost") -> tuple[Any, bytes]:
        """The TLS connection's facts and the answer to one request."""

        def work() -> tuple[Any, bytes]:
            with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as sock:
                with context.wrap_socket(sock, server_hostname=name) as tls:
                    facts = (tls.version(), tls.cipher(), tls.selected_alpn_protocol(), tls.getpeercert())
                    tls.sendall(HELLO)
                    data = b""
                    while more := tls.recv(65536):
                        data += more
                    return facts, data

        return await deferToThread(work)

    async def test_versions_and_alpn(self) -> None:
        """TLS 1.2 and 1.3, nothing older; http/1.1 and h2 are negotiated. Certificates from the variables."""
        gateway = await self.begin(TLS_CERT_PATH=self.cert, TLS_KEY_PATH=self.key)
        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            context = self.context()
            context.minimum_version = context.maximum_version = version
            context.set_alpn_protocols(["http/1.1"])
            (name, cipher, alpn, _), data = await self.ask(gateway, context)
            self.assertEqual((name, alpn), (version.name.replace("_", "."), "http/1.1"))
            self.assertIn("GCM" if version == ssl.TLSVersion.TLSv1_2 else "TLS_", cipher[0])
            self.assertTrue(data.startswith(b"HTTP/1.1 200"))
        context = self.context()
        context.set_alpn_protocols(["h2", "http/1.1"])

        def negotiated() -> str | None:
            with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as sock:
                with context.wrap_socket(sock, server_hostname="localhost") as tls:
                    return tls.selected_alpn_protocol()

        self.assertEqual(await deferToThread(negotiated), "h2")
        old = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        old.check_hostname, old.verify_mode = False, ssl.CERT_NONE
        old.set_ciphers("ALL:@SECLEVEL=0")
        old.minimum_version = ssl.TLSVersion.TLSv1
        old.maximum_version = ssl.TLSVersion.TLSv1_1
        with self.assertRaises((ssl.SSLError, ConnectionError)):
            await self.ask(gateway, old)

    async def test_curl_speaks_http2(self) -> None:
        """A real client over h2: one answer, and a stream."""
        if shutil.which("curl") is None:
            self.skipTest("curl is not installed")
        port = f"ssl:0:interface=127.0.0.1:privateKey={self.key}:certKey={self.cert}"
        gateway = await self.begin(port=port)
        url = f"https://localhost:{gateway.port}/v1/chat/completions"
        body = '{"model":"m","stream":%s,"messages":[{"role":"user","content":"hi"}]}'
        for stream, end in (("true", b"data: [DONE]\n\n2 200"), ("false", b"}}2 200")):
            arguments = ["-sS", "--cacert", self.authority.path, "--http2", url, "-w", "%{http_version} %{http_code}"]
            arguments += ["-H", "content-type: application/json", "-d", body % stream]
            out, err, code = await getProcessOutputAndValue(shutil.which("curl"), arguments)
            self.assertEqual((code, err), (0, b""))
            self.assertTrue(out.endswith(end), out)

    async def test_certificates_by_name(self) -> None:
        """SNI: each name gets its certificate, wildcards too; an unknown one gets the default."""
        other = self.authority.issue("other", "other.example")
        wild = self.authority.issue("wild", "*.wild.example")
        toml = f'[tls]\ncert = "{self.cert}"\nkey = "{self.key}"\n'
        for cert, key in (other, wild):
            toml += f'[[tls.certificates]]\ncert = "{cert}"\nkey = "{key}"\n'
        gateway = await self.begin(toml)
        for name, expected in (
            ("localhost", "localhost"),
            ("other.example", "other.example"),
            ("a.wild.example", "*.wild.example"),
        ):
            (_, _, _, certificate), _ = await self.ask(gateway, self.context(), name)
            self.assertEqual(certificate["subjectAltName"], (("DNS", expected),))
        with self.assertRaises(ssl.SSLCertVerificationError):
            await self.ask(gateway, self.context(), "unknown.example")

    async def test_client_certificates(self) -> None:
        """A verified certificate is a credential; without one a key is, where that is allowed."""
        cert, key = self.authority.issue("client", "robot.example", client=True)
        stranger = Authority("stranger").issue("client", "robot.example", client=True)
        for auth in ("optional", "require"):
            toml = (
                f'[tls]\ncert = "{self.cert}"\nkey = "{self.key}"\n'
                f'client_ca = "{self.authority.path}"\nclient_auth = "{auth}"\n'
                '[[auth.keys]]\nname = "robot"\ncertificate = "robot.example"\nkey = "robot-key"\n'
            )
            gateway = await self.begin(toml)
            good = self.context()
            good.load_cert_chain(cert, key)
            _, data = await self.ask(gateway, good)
            self.assertTrue(data.startswith(b"HTTP/1.1 200"), data)
            await until(lambda g=gateway: '"caller":"robot"' in g.process.out, "the caller's name in the log")
            bad = self.context()
            bad.load_cert_chain(*stranger)
            with self.assertRaises((ssl.SSLError, ConnectionError)):
                _, refused = await self.ask(gateway, bad)
                if not refused:
                    raise ConnectionError
            if auth == "optional":
                _, data = await self.ask(gateway, self.context())
                self.assertTrue(data.startswith(b"HTTP/1.1 401"), data)
            else:
                with self.assertRaises((ssl.SSLError, ConnectionError)):
                    _, refused = await self.ask(gateway, self.context())
                    if not refused:
                        raise ConnectionError

    async def test_workloads(self) -> None:
        """A SPIFFE ID that the configuration lets in is a caller of that name. It is one only as the one URI of a
        certificate: whoever may have a common name, or two URIs, has none."""
        toml = (
            f'[tls]\ncert = "{self.cert}"\nkey = "{self.key}"\n'
            f'client_ca = "{self.authority.path}"\nclient_auth = "optional"\n'
            '[[auth.keys]]\nname = "batch"\ncertificate = "spiffe://example.org/batch"\n'
            '[[auth.spiffe]]\nid = "spiffe://example.org/ns/prod/*"\nmodels = ["mock-*"]\n'
        )
        gateway = await self.begin(toml)
        prod = "spiffe://example.org/ns/prod/sa/api"
        for number, (status, names) in enumerate(
            (
                (200, ("api", f"uri:{prod}")),
                (200, ("batch", "uri:spiffe://example.org/batch")),
                (401, ("api", "uri:spiffe://example.org/ns/test/sa/api")),
                (401, ("api", "uri:spiffe://example.com/ns/prod/sa/api")),
                (401, ("api", f"uri:{prod}", "uri:spiffe://example.org/ns/test/sa/api")),
                (401, ("api", f"uri:{prod}", "uri:https://example.org/")),
                (401, ("spiffe://example.org/ns/prod/a", "api")),
                (401, ("spiffe://example.org/batch", "api")),
            )
        ):
            context = self.context()
            context.load_cert_chain(*self.authority.issue(f"workload-{number}", *names, client=True))
            _, data = await self.ask(gateway, context)
            self.assertTrue(data.startswith(b"HTTP/1.1 %d" % status), (names, data))
        await until(lambda: f'"caller":"{prod}"' in gateway.process.out, "the workload's name in the log")
        await until(lambda: '"caller":"batch"' in gateway.process.out, "the key's name in the log")

    async def test_renewal(self) -> None:
        """A renewed certificate is picked up by itself, a broken one refused, and nobody is disconnected."""
        patient = "[server]\nheader_timeout = 60\n"
        gateway = await self.begin(patient, TLS_CERT_PATH=self.cert, TLS_KEY_PATH=self.key)

        async def serial() -> str:
            (_, _, _, certificate), _ = await self.ask(gateway, self.context())
            return certificate["serialNumber"]

        def connect() -> ssl.SSLSocket:
            sock = socket.create_connection(("127.0.0.1", gateway.port), PATIENCE)
            return self.context().wrap_socket(sock, server_hostname="localhost")

        held = await deferToThread(connect)
        self.addCleanup(held.close)
        before = await serial()
        good = Path(self.cert).read_bytes(), Path(self.key).read_bytes()
        Path(self.cert).write_text("broken")
        await until(lambda: "a certificate is refused" in gateway.process.out, "the refusal")
        self.assertEqual(await serial(), before)
        self.authority.issue("server", "localhost")
        await until(lambda: "a renewed certificate is in force" in gateway.process.out, "the renewal")
        self.assertNotEqual(await serial(), before)
        held.sendall(HELLO)
        self.assertTrue((await deferToThread(held.recv, 100)).startswith(b"HTTP/1.1 200"))
        Path(self.cert).write_bytes(good[0])
        Path(self.key).write_bytes(good[1])
        gateway.process.transport.signalProcess("HUP")  # type: ignore[union-attr]
        await until(lambda: "the configuration was read again" in gateway.process.out, "the reload")
        self.assertEqual(await serial(), before)

    async def test_vendors_are_verified(self) -> None:
        """A vendor whose certificate is not signed, or not for its name, is not talked to, and the error says so."""
        vendor = await self.begin(TLS_CERT_PATH=self.cert, TLS_KEY_PATH=self.key)
        for host, trusted, why in (
            ("localhost", True, ""),
            ("localhost", False, "unable to get local issuer certificate"),
            ("127.0.0.1", True, "hostname mismatch"),
        ):
            toml = f'[providers.v]\nbase_url = "https://{host}:{vendor.port}/v1"\nmodels = ["*"]\n'
            authority = self.authority.path if trusted else Authority("other").path
            gateway = await self.begin(toml, "tcp:0:interface=127.0.0.1", SSL_CERT_FILE=authority)
            client = await Client.connect(gateway.port)
            client.send(request(body=CHAT))
            response = await client.response()
            client.leave()
            self.assertEqual(response.status, 502 if why else 200, response)
            if why:
                self.assertIn(f"TLS failed: {why}", response.error["message"])
                await until(lambda gateway=gateway: gateway.access(), "the access line")
                self.assertIn(why, gateway.access()[-1]["attempts"][0]["error"])

    async def test_resumption(self) -> None:
        """A second connection resumes the first one's session, under TLS 1.2 and 1.3."""
        gateway = await self.begin(TLS_CERT_PATH=self.cert, TLS_KEY_PATH=self.key)

        def work(version: ssl.TLSVersion) -> bool | None:
            context = self.context()
            context.minimum_version = context.maximum_version = version
            session = None
            for _ in range(2):
                with socket.create_connection(("127.0.0.1", gateway.port), PATIENCE) as sock:
                    with context.wrap_socket(sock, server_hostname="localhost", session=session) as tls:
                        tls.sendall(HELLO)
                        while tls.recv(65536):
                            pass
                        session, reused = tls.session, tls.session_reused
            return reused

        for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
            self.assertTrue(await deferToThread(work, version), version)

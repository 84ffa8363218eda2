"""TLS, by openssl, sslscan and sslyze."""

from __future__ import annotations

import json
import re

from tests.e2e.service import Gateway
from tests.e2e.tools import Output
from tests.e2e.tools_of_others.edge import Edge


class Tls(Edge):
    async def client(self, gateway: Gateway, *arguments: str) -> Output:
        """One request by ``openssl s_client``, which reads to the end."""
        hello = b"GET /health HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        verify = ("-CAfile", self.authority.path, "-verify_return_error", "-servername", "localhost")
        at = ("-connect", f"127.0.0.1:{gateway.port}", "-ign_eof")
        return await self.program("openssl", "s_client", *at, *verify, *arguments, stdin=hello)

    async def test_versions_by_openssl(self) -> None:
        """TLS 1.2 and 1.3 are spoken; 1.1 and 1.0 are refused by name."""
        gateway = await self.begin_tls()
        for option, name in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
            result = await self.client(gateway, option)
            self.assertEqual(result.code, 0, result)
            self.assertIn(f"New, {name}, Cipher is ", result.out)
            self.assertIn("Verify return code: 0 (ok)", result.out)
            self.assertIn("HTTP/1.1 200 OK", result.out)
        for option in ("-tls1_1", "-tls1"):
            result = await self.client(gateway, option, "-cipher", "ALL:@SECLEVEL=0")
            self.assertNotEqual(result.code, 0)
            self.assertIn("alert protocol version", result.err)

    async def test_resumption_by_openssl(self) -> None:
        """A session that the client kept is resumed, under TLS 1.2 and 1.3."""
        gateway = await self.begin_tls()
        for option in ("-tls1_2", "-tls1_3"):
            first = await self.client(gateway, option, "-sess_out", "session")
            self.assertIn("New, TLSv1", first.out)
            second = await self.client(gateway, option, "-sess_in", "session")
            self.assertIn("Reused, TLSv1", second.out)
            self.assertIn("HTTP/1.1 200 OK", second.out)

    async def test_nothing_weak_by_sslscan(self) -> None:
        """No old version, no cipher without forward secrecy and AEAD, no compression, renegotiation or Heartbleed."""
        gateway = await self.begin_tls()
        result = await self.program("sslscan", "--no-colour", f"127.0.0.1:{gateway.port}")
        self.assertEqual(result.code, 0, result)
        versions = dict(re.findall(r"^((?:SSL|TLS)v[\d.]+) +(enabled|disabled)$", result.out, re.M))
        off = dict.fromkeys(("SSLv2", "SSLv3", "TLSv1.0", "TLSv1.1"), "disabled")
        self.assertEqual(versions, off | {"TLSv1.2": "enabled", "TLSv1.3": "enabled"})
        ciphers = re.findall(r"^(?:Accepted|Preferred) +\S+ +(\d+) bits +(\S+)", result.out, re.M)
        self.assertGreater(len(ciphers), 3)
        for bits, name in ciphers:  # no RSA key exchange either, so nothing for ROBOT
            self.assertGreaterEqual(int(bits), 128)
            self.assertRegex(name, r"^(TLS_|ECDHE-).*(GCM|POLY1305)")
        self.assertIn("Session renegotiation not supported", result.out)
        self.assertNotIn("Compression enabled", result.out)
        self.assertNotRegex(result.out, r"(?<!not )vulnerable")
        self.assertIn("not vulnerable to heartbleed", result.out)
        self.assertIn("Server supports TLS Fallback SCSV", result.out)
        for bits in re.findall(r"(\d+) bits +\S+ \(?NIST|Key Strength: +(\d+)", result.out):
            self.assertGreaterEqual(int(bits[0] or bits[1]), 112)

    async def test_no_finding_by_sslyze(self) -> None:
        """Every check of sslyze passes; what it tells beyond that (curves, staples) is information."""
        gateway = await self.begin_tls()
        result = await self.program("sslyze", "--json_out=sslyze.json", f"localhost:{gateway.port}")
        self.assertIn("SCANS COMPLETED", result.out, result)
        (server,) = json.loads((self.folder / "sslyze.json").read_text())["server_scan_results"]
        scan = {
            name: found["result"] for name, found in server["scan_result"].items() if found["status"] == "COMPLETED"
        }
        for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"):
            self.assertEqual(scan[f"{version}_cipher_suites"]["accepted_cipher_suites"], [], version)
        for version in ("tls_1_2", "tls_1_3"):
            accepted = [suite["cipher_suite"] for suite in scan[f"{version}_cipher_suites"]["accepted_cipher_suites"]]
            self.assertEqual(len(accepted), 3, accepted)
            self.assertFalse([suite for suite in accepted if suite["is_anonymous"] or suite["key_size"] < 128])
        self.assertFalse(scan["tls_compression"]["supports_compression"])
        self.assertFalse(scan["heartbleed"]["is_vulnerable_to_heartbleed"])
        self.assertFalse(scan["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"])
        self.assertIn("NOT_VULNERABLE", scan["robot"]["robot_result"])
        self.assertTrue(scan["tls_fallback_scsv"]["supports_fallback_scsv"])
        self.assertTrue(scan["session_renegotiation"]["supports_secure_renegotiation"])
        self.assertFalse(scan["session_renegotiation"]["is_vulnerable_to_client_renegotiation_dos"])
        self.assertTrue(scan["tls_extended_master_secret"]["supports_ems_extension"])

"""Certificates and keys that are named in the configuration."""

from __future__ import annotations

import warnings
from pathlib import Path

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from llmedge.banner import banner
from llmedge.config import ConfigError, Settings
from llmedge.config.diff import differences
from llmedge.upstream.trust import context_for
from tests.e2e.certificates import Authority
from tests.fakes import settings
from tests.folders import new_folder


def provider(**options: str) -> Settings:
    lines = "".join(f'{name} = "{value}"\n' for name, value in options.items())
    found: Settings = settings(f'[providers.p]\nbase_url = "https://v.example/v1"\n{lines}')
    return found


class Files(SynchronousTestCase):
    def setUp(self) -> None:
        self.authority = Authority()
        self.cert, self.key = self.authority.issue("a", "a.example", client=True)
        self.folder = new_folder()
        self.file("text.pem", "no certificate\n")
        self.file("broken.pem", Path(self.authority.path).read_text()[:200])
        self.file("half.pem", Path(self.authority.path).read_text() + Path(self.cert).read_text()[:200])
        self.file("locked.pem", "-----BEGIN ENCRYPTED PRIVATE KEY-----\nx\n-----END ENCRYPTED PRIVATE KEY-----\n")

    def file(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def refusal(self, **options: str) -> str:
        return str(self.assertRaises(ConfigError, provider, **options))

    def test_what_cannot_be_used(self) -> None:
        """Said at the start and by ``--check``, with the line and what to do."""
        gone = str(self.folder / "gone.pem")
        _, other = self.authority.issue("b", "b.example")
        both = {"client_cert": self.cert}
        for options, option, words in (
            (
                {"ca_file": gone},
                "ca_file",
                f"{gone}, which cannot be read: No such file or directory; correct the path",
            ),
            ({"ca_file": str(self.folder / "text.pem")}, "ca_file", "holds no certificate in PEM"),
            ({"ca_file": str(self.folder / "broken.pem")}, "ca_file", "a certificate is broken"),
            ({"ca_file": str(self.folder / "half.pem")}, "ca_file", "a certificate is broken"),
            (both | {"client_key": gone}, "client_key", "cannot be read"),
            (both | {"client_key": self.cert}, "client_key", "holds no private key in PEM"),
            (both | {"client_key": str(self.folder / "locked.pem")}, "client_key", "store it without a passphrase"),
            (both | {"client_key": other}, "client_key", "is not that of client_cert"),
            (both, "client_key", "is missing"),
            ({"client_key": self.key}, "client_key", "needs client_cert"),
            ({"client_cert": self.authority.hashed(), "client_key": self.key}, "client_cert", "Is a directory"),
        ):
            error = self.refusal(**options)
            self.assertIn(f"providers.p.{option} ", error)
            self.assertIn(words, error)
            self.assertNotIn("BEGIN EC", error)

    def test_variables(self) -> None:
        """Those that OpenSSL, Python's requests and curl have for it; what they name has to be there."""
        directory = self.authority.hashed()
        gone = str(self.folder / "gone")
        for environ, found in (
            ({}, (None, None)),
            ({"SSL_CERT_FILE": self.authority.path, "REQUESTS_CA_BUNDLE": gone}, (self.authority.path, None)),
            ({"REQUESTS_CA_BUNDLE": directory}, (directory, None)),
            ({"CURL_CA_BUNDLE": self.authority.path}, (self.authority.path, None)),
            ({"SSL_CERT_DIR": f"{gone}:{directory}"}, (None, f"{gone}:{directory}")),
        ):
            upstream = settings("", environ).upstream
            self.assertEqual(tuple(each and each.path for each in (upstream.ca_file, upstream.ca_dir)), found)
        for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
            error = str(self.assertRaises(ConfigError, settings, "", {name: gone}))
            self.assertIn(f"environment variable {name} refers to", error)
            self.assertIn("correct the path, or leave it out", error)

    def test_the_systems_own(self) -> None:
        """What OpenSSL takes is taken, odd serial numbers and all, without a word."""
        path = "/etc/ssl/certs/ca-certificates.crt"
        if not Path(path).exists():
            raise SkipTest(f"there is no {path} (Debian package ca-certificates)")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            found = settings("", {"SSL_CERT_FILE": path}).upstream.ca_file
            context_for([found])
        self.assertEqual(str(found), path)

    def test_what_the_start_says(self) -> None:
        lines = banner(settings("", {"SSL_CERT_FILE": self.authority.path}))
        self.assertIn(f"trusted in the place of the system's authorities: {self.authority.path}", lines)

    def test_a_renewed_file_is_a_change(self) -> None:
        """The next reload puts it in force, and the log names it, not what is in it."""
        options = {"ca_file": self.authority.path, "client_cert": self.cert, "client_key": self.key}
        old = provider(**options)
        self.assertEqual(provider(**options).providers, old.providers)
        self.authority.issue("a", "a.example", client=True)
        changes = "\n".join(differences(old, provider(**options)))
        self.assertIn("providers.p.client_key: changed", changes)
        self.assertIn("providers.p.client_cert", changes)
        self.assertNotIn("BEGIN", changes + repr(old))

"""Who is asked through which proxy."""

from __future__ import annotations

from collections.abc import Mapping

from twisted.trial.unittest import SynchronousTestCase

from llmedge.banner import banner
from llmedge.config import ConfigError, Settings
from llmedge.config.egress import proxy_for
from llmedge.config.kinds import hosts
from llmedge.config.origins import origin_of
from llmedge.config.proxy import excepted
from llmedge.config.renewal import renewed, secret_files
from tests.fakes import settings
from tests.folders import new_folder

SECURE, PLAIN = "https://api.vendor.example/v1", "http://vllm:8000/v1"


class Environment(SynchronousTestCase):
    def through(self, url: str, environ: Mapping[str, str], toml: str = "") -> str:
        return str(proxy_for(url, settings(toml, environ).upstream))

    def test_variables(self) -> None:
        """As curl has them: the scheme's own before those for all, small letters before capitals."""
        for environ, secure, plain in (
            ({}, "None", "None"),
            ({"HTTPS_PROXY": "http://s:1"}, "http://s:1", "None"),
            ({"https_proxy": "http://s:1", "HTTPS_PROXY": "http://other:1"}, "http://s:1", "None"),
            ({"HTTP_PROXY": "p:1"}, "None", "http://p:1"),
            ({"http_proxy": "p:1", "ALL_PROXY": "http://a:1"}, "http://a:1", "http://p:1"),
            ({"all_proxy": "https://a:1"}, "https://a:1", "https://a:1"),
            ({"ALL_PROXY": "http://a:1", "NO_PROXY": "vllm, .vendor.example"}, "None", "None"),
            ({"ALL_PROXY": "http://a:1", "no_proxy": "vllm"}, "http://a:1", "None"),
            ({"ALL_PROXY": "socks5://a:1", "HTTPS_PROXY": "s:1", "HTTP_PROXY": "p:1"}, "http://s:1", "http://p:1"),
            ({"HTTPS_PROXY": "off", "ALL_PROXY": "http://a:1"}, "None", "http://a:1"),
        ):
            self.assertEqual((self.through(SECURE, environ), self.through(PLAIN, environ)), (secure, plain), environ)

    def test_the_file(self) -> None:
        """It stands over the environment, and may say where a proxy is kept."""
        environ = {"HTTPS_PROXY": "http://s:1", "NO_PROXY": "*", "CORPORATE": "http://u:p@c:1"}
        toml = '[upstream]\nhttps_proxy = "env:CORPORATE"\nno_proxy = ["other.example"]\n'
        self.assertEqual(self.through(SECURE, environ, toml), "http://c:1")

    def test_a_login_that_is_renewed(self) -> None:
        """A proxy behind ``file:`` is one of the secrets that are read again."""
        file = new_folder() / "proxy"
        file.write_text("http://u:old@p:1")
        found = settings(f'[upstream]\nhttps_proxy = "file:{file}"\n')
        self.assertEqual(secret_files(found), [str(file)])
        file.write_text("http://u:new@p:1")
        proxy = renewed(found).upstream.https_proxy
        assert proxy is not None
        assert proxy.login is not None
        self.assertEqual((str(proxy), proxy.login.reveal()), ("http://p:1", "u:new"))
        file.write_text("http://u:new@p:port")
        self.assertNotIn("new", str(self.assertRaises(ValueError, renewed, found)))

    def test_mistakes(self) -> None:
        """Said without what may be a password."""
        for name, value, words in (
            ("HTTPS_PROXY", "ftp://user:canary@p:1", "must be the URL of an HTTP proxy"),
            ("HTTP_PROXY", "http://user:canary@p:port", "must be the URL of an HTTP proxy"),
            ("HTTPS_PROXY", "http://user:canary@p/path", "must be the URL of an HTTP proxy"),
            ("ALL_PROXY", "socks5h://user:canary@p:1080", "is a SOCKS proxy"),
            ("https_proxy", "http://user:can ary@p", "visible ASCII"),
            ("https_proxy", "http://user:${canary}@p", "holds ${canary}, and nothing replaces it"),
        ):
            error = str(self.assertRaises(ConfigError, settings, "", {name: value}))
            self.assertIn(f"environment variable {name} ", error)
            self.assertIn(words, error)
            self.assertNotIn("ary", error.replace("summary", "").replace("holds ${canary}", ""))


class Exceptions(SynchronousTestCase):
    def test_rules(self) -> None:
        for text, url, left_out in (
            ("*", SECURE, True),
            ("vendor.example", SECURE, True),
            (".vendor.example", SECURE, True),
            ("*.vendor.example", SECURE, True),
            ("API.Vendor.Example", SECURE, True),
            ("endor.example", SECURE, False),
            ("vendor.example.org", SECURE, False),
            ("api.vendor.example:443", SECURE, True),
            ("api.vendor.example:8443", SECURE, False),
            ("vllm:8000", PLAIN, True),
            ("vllm:80", PLAIN, False),
            ("a, b  vllm", PLAIN, True),
            ("10.0.0.0/8", "http://10.1.2.3/v1", True),
            ("10.0.0.0/8", "http://11.1.2.3/v1", False),
            ("10.1.2.3", "http://10.1.2.3:99/v1", True),
            ("10.1.2.3:99", "http://10.1.2.3:99/v1", True),
            ("10.1.2.3:98", "http://10.1.2.3:99/v1", False),
            ("::1", "http://[::1]:9/v1", True),
            ("[::1]:9", "http://[::1]:9/v1", True),
            ("[::1]:8", "http://[::1]:9/v1", False),
            ("fd00::/8", "http://[fd12::1]/v1", True),
            ("localhost", "http://127.0.0.1/v1", False),
            (". * ..", "http://a.example/", True),
            (".", "http://a.example/", False),
        ):
            self.assertEqual(excepted(origin_of(url), hosts.from_text(text, {})), left_out, (text, url))


class Providers(SynchronousTestCase):
    TOML = f"""
    [providers.usual]
    base_url = "{SECURE}"
    [providers.own]
    base_url = "{SECURE}"
    proxy = "http://user:canary-word@special:3128"
    [providers.straight]
    base_url = "{PLAIN}"
    proxy = "off"
    [providers.here]
    base_url = "http://127.0.0.1:11434/v1"
    [providers.socket]
    base_url = "unix:/run/vllm.sock:/v1"
    """

    def load(self, toml: str = TOML, **environ: str) -> Settings:
        found: Settings = settings(toml, {"ALL_PROXY": "http://user:canary-word@everybodys:3128"} | environ)
        return found

    def test_what_the_start_says(self) -> None:
        """Which way each goes, and no word of a login."""
        lines = banner(self.load(OTLP_ENDPOINT="http://c:4318", ENABLE_TRACING="true"))
        found = "\n".join(lines)
        for line in (
            f"provider usual: {SECURE} through the proxy http://everybodys:3128",
            f"provider own: {SECURE} through the proxy http://special:3128",
            f"provider straight: {PLAIN},",
            "provider here: http://127.0.0.1:11434/v1 through the proxy http://everybodys:3128 (it is on this machine:",
            "provider socket: unix:/run/vllm.sock:/v1,",
            "tracing: to http://c:4318 through the proxy http://everybodys:3128 (http)",
        ):
            self.assertIn(line, found)
        self.assertNotIn("canary", found)
        self.assertNotIn("canary", repr(self.load()))

    def test_mistakes(self) -> None:
        for value, words in (("socks5://p", "is a SOCKS proxy"), ("", "not empty"), ("env:GONE", "which is not set")):
            toml = f'[providers.p]\nbase_url = "{SECURE}"\nproxy = "{value}"\n'
            error = str(self.assertRaises(ConfigError, self.load, toml))
            self.assertIn("gateway.toml:3: providers.p.proxy ", error)
            self.assertIn(words, error)

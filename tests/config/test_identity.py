"""``[[auth.jwt]]`` and ``[[auth.spiffe]]``: what is taken, and what would let in more than it should."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from llmedge.banner import banner
from llmedge.config import ConfigError
from llmedge.config.sections.jwt import Claims
from llmedge.config.urls import in_the_clear
from tests.fakes import settings

JWT = '[[auth.jwt]]\nissuer = "https://login.example.com/"\naudience = "llm"\n'


def problems(toml: str) -> str:
    try:
        settings(toml)
    except ConfigError as error:
        return "\n".join(error.problems)
    return ""


class Issuers(SynchronousTestCase):
    def test_what_is_there(self) -> None:
        """Defaults, and everything said; an issuer's name stays as it is, to the letter."""
        (plain,) = settings(JWT).auth.jwt
        self.assertEqual((plain.issuer, plain.audience), ("https://login.example.com/", ("llm",)))
        self.assertEqual((plain.algorithms, plain.leeway, plain.typ), (("RS256", "ES256", "EdDSA"), 30.0, ""))
        self.assertEqual(plain.metadata_url, "https://login.example.com/.well-known/openid-configuration")
        (full,) = settings(
            '[[auth.jwt]]\nissuer = "kubernetes/serviceaccount"\naudience = ["a", "b"]\n'
            'jwks_url = "https://keys.example.com/v2/?p=policy"\nalgorithms = ["PS256"]\nleeway = 0\ntyp = "at+jwt"\n'
            'roles = []\nteam_map = {x = "red"}\nrole_map = {y = "team_admin:team/red"}\n'
            'claims = {user = "email", team = "groups", roles = "realm_access.roles", models = "llm"}\n'
        ).auth.jwt
        self.assertEqual((full.audience, full.jwks_url), (("a", "b"), "https://keys.example.com/v2/?p=policy"))
        self.assertEqual(full.claims, Claims("email", "groups", "realm_access.roles", "llm"))
        self.assertEqual((full.team_map, full.roles), ({"x": "red"}, ()))

    def test_what_is_not(self) -> None:
        for toml, words in (
            ("[[auth.jwt]]\n", "needs issuer"),
            ('[[auth.jwt]]\nissuer = "https://a"\n', "needs audience"),
            ('[[auth.jwt]]\nissuer = "https://a"\naudience = []\n', "must be a text, or a list of texts"),
            ('[[auth.jwt]]\nissuer = "a"\naudience = "b"\n', "is no URL"),
            ('[[auth.jwt]]\nissuer = "http://login.example.com"\naudience = "b"\n', "must be https"),
            (JWT + 'jwks_url = "http://10.0.0.1/keys"\n', "jwks_url must be https"),
            (JWT + 'discovery = "http://login.example.com/x"\n', "discovery must be https"),
            (JWT + 'jwks_url = "ftp://10.0.0.1/keys"\n', "http or https URL"),
            (JWT + 'jwks_url = "https://u:p@h/keys"\n', "must not carry a user name"),
            (JWT + 'jwks_url = "https://h/keys#x"\n', "fragment"),
            (JWT + 'jwks_url = "https://h/keys?a=\\r\\nx"\n', "visible ASCII"),
            (JWT + 'algorithms = ["HS256"]\n', "must be a list of some of RS256"),
            (JWT + 'algorithms = ["none"]\n', "must be a list of some of RS256"),
            (JWT + "algorithms = []\n", "must be a list of some of RS256"),
            (JWT + "leeway = 301\n", "must be a number from 0 to 300"),
            (JWT + 'claims = {users = "x"}\n', "did you mean 'user'?"),
            (JWT + "role_map = {a = 1}\n", "must be a table of texts"),
            (JWT + JWT, "is there twice"),
        ):
            self.assertIn(words, problems(toml), toml)

    def test_on_this_machine(self) -> None:
        for host in ("127.0.0.1:8081", "localhost", "[::1]:80", "127.9.9.9"):
            self.assertEqual(problems(JWT.replace("https://login.example.com/", f"http://{host}")), "", host)
        for url in (
            "http://localhost.evil.example",
            "HTTP://10.0.0.1",
            "http://[::2]",
            "http://[",
            "http://127.0.0.1.a",
        ):
            self.assertTrue(in_the_clear(url), url)

    def test_said_at_the_start(self) -> None:
        self.assertIn("authentication: on, 0 keys, tokens of https://login.example.com/", banner(settings(JWT)))


class Workloads(SynchronousTestCase):
    TLS = '[tls]\nenabled = true\ncert = "c"\nkey = "k"\nclient_ca = "ca"\nclient_auth = "optional"\n'

    def test_what_is_there(self) -> None:
        toml = self.TLS + '[[auth.spiffe]]\nid = "spiffe://example.org/ns/*"\nrpm = 5\nteam = "red"\n'
        (found,) = settings(toml).auth.spiffe
        self.assertEqual(
            (found.id, found.rpm, found.team, found.models), ("spiffe://example.org/ns/*", 5, "red", ("*",))
        )

    def test_what_is_not(self) -> None:
        for toml, words in (
            (self.TLS + "[[auth.spiffe]]\n", "needs id"),
            ('[[auth.spiffe]]\nid = "spiffe://a/b"\n', "none would be asked for"),
            *(
                (f'{self.TLS}[[auth.spiffe]]\nid = "{id}"\n', "must be a SPIFFE ID")
                for id in ("spiffe://*/x", "spiffe://example.org", "spiffe:///x", "*", "https://a/b", "spiffe://A/b")
            ),
        ):
            self.assertIn(words, problems(toml), toml)

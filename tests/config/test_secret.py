"""Secrets: how they are referred to, what looks like a reference and is none, and that none shows."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError
from llmedge.config.secret import Secret, reference_hint, resolve
from tests.fakes import load, settings
from tests.folders import new_folder

PROVIDER = '[providers.p]\nbase_url = "http://h/v1"\n'


class References(SynchronousTestCase):
    def test_of_other_programs(self) -> None:
        """Are none of ours: each is refused with ours, wherever a secret stands."""
        for text, name in {
            "${TEAM_KEY}": "TEAM_KEY",
            "${team_key:-none}": "team_key",
            "$TEAM_KEY": "TEAM_KEY",
            "%TEAM_KEY%": "TEAM_KEY",
            "os.environ/TEAM_KEY": "TEAM_KEY",
            "os.environ['TEAM_KEY']": "TEAM_KEY",
            "os.getenv('TEAM_KEY')": "TEAM_KEY",
            "process.env.TEAM_KEY": "TEAM_KEY",
            "{env:TEAM_KEY}": "TEAM_KEY",
            "{{ env `TEAM_KEY` }}".replace("`", ""): "TEAM_KEY",
            "{{ .Env.TEAM_KEY }}".replace("Env", "env"): "TEAM_KEY",
            "ENV:TEAM_KEY": "TEAM_KEY",
            "$env:TEAM_KEY": "TEAM_KEY",
        }.items():
            hint = f'looks like a reference to the variable {name}, and nothing replaces it: write "env:{name}"'
            for toml in (f"[[auth.keys]]\nname = 'a'\nkey = \"{text}\"\n", f'{PROVIDER}api_key = "{text}"\n'):
                error = self.assertRaises(ConfigError, settings, toml)
                self.assertIn(hint, str(error), text)
            error = self.assertRaises(ConfigError, load, {"API_KEYS": f"good-key-of-a-team,{text}"})
            self.assertIn(f"environment variable API_KEYS, key 2, {hint}", str(error))

    def test_keys_are_none(self) -> None:
        for key in (
            "sk-proj-abc_DEF-123",
            "AIzaSyD$x",
            "$2b$10$abcdefghijklmnopqrstuv",
            "gsk_${",
            "eyJhbGciOi.J9",
            "a/b+c==",
        ):
            self.assertEqual(reference_hint(key), "", key)
            self.assertEqual(resolve(key, {}), key)

    def test_what_a_variable_or_a_file_holds(self) -> None:
        """Docker's ``--env-file`` keeps quotes, and a template may not have been filled in."""
        file = new_folder() / "key"
        for value, words in {
            '"sk-canary-1"': "still has its quotes: leave them out",
            "'sk-canary-1'": "still has its quotes",
            "`sk-canary-1`": "still has its quotes",
            '"sk-canary-1': "still has its quotes",
            "${UPSTREAM}": "looks like a reference to the variable UPSTREAM",
        }.items():
            file.write_text(value)
            for reference in ("env:K", f"file:{file}"):
                error = self.assertRaises(ValueError, resolve, reference, {"K": value})
                self.assertIn(f"refers to {reference}, which {words}", str(error))
                self.assertNotIn("canary", str(error))
        self.assertIn("still has its quotes", str(self.assertRaises(ValueError, resolve, "'abc'", {})))

    def test_texts(self) -> None:
        """``env:`` is for any text, base URLs first; what is none of it is refused with the right spelling."""
        environ = {"BASE": "http://from.env/v1", "MODEL": "p/from-env", "TEAM": "team-env", "EP": "tcp:77"}
        toml = '[server]\nlisten = ["env:EP"]\n[providers.p]\nbase_url = "env:BASE"\n[models.m]\n'
        toml += 'targets = ["env:MODEL", {target = "p/x"}]\nfallbacks = ["env:MODEL"]\n'
        toml += '[[auth.keys]]\nname = "env:TEAM"\nkey = "0123456789abcdef"\n'
        found = settings(toml, environ)
        self.assertEqual(found.providers["p"].base_url, "http://from.env/v1")
        self.assertEqual([str(each) for each in found.models["m"].targets], ["p/from-env", "p/x"])
        self.assertEqual((found.models["m"].fallbacks, found.server.listen), (("p/from-env",), ("tcp:77",)))
        self.assertEqual(found.auth.keys[0].name, "team-env")
        environ |= {"CHAT": "/of/env", "CA": "/no/such.pem", "IMAGE": "p/painter"}
        toml = '[routing]\ndefault_models = {images = "env:IMAGE"}\n[providers.p]\nbase_url = "env:BASE"\n'
        toml += 'paths = {openai_chat = "env:CHAT"}\n'
        found = settings(toml, environ)
        self.assertEqual(found.routing.default_models, {"images": "p/painter"})
        self.assertEqual(found.providers["p"].paths, {"openai_chat": "/of/env"})
        for name, value, words in (
            ("ca_file", '"env:CA"', "refers to the file /no/such.pem"),
            ("client_cert", '"env:CA"', "refers to the file /no/such.pem"),
            ("client_key", '"env:NONE"', "refers to the environment variable NONE"),
            ("ca_file", '"${CA}"', 'write "env:CA"'),
            ("ca_file", '"${HOME}/ca.pem"', "holds ${HOME}, and nothing replaces it"),
            ("paths", '{openai_chat = "env:NONE"}', "has openai_chat, which refers to the environment variable NONE"),
            ("paths", '{openai_chat = "env:MODEL"}', "must hold paths that begin with /"),
        ):
            error = self.assertRaises(ConfigError, settings, f"{PROVIDER}{name} = {value}\n", environ)
            self.assertIn(f"providers.p.{name} ", str(error))
            self.assertIn(words, str(error))
        for value, words in {
            "env:NONE": "refers to the environment variable NONE, which is not set",
            "${BASE}": 'nothing replaces it: write "env:BASE"',
            "os.environ/BASE": 'write "env:BASE"',
            "https://${HOST}/v1": "holds ${HOST}, and nothing replaces it: have all of it in a variable",
            "env:MODEL": "must be an http or https URL",
        }.items():
            error = self.assertRaises(ConfigError, settings, f'[providers.p]\nbase_url = "{value}"\n', environ)
            self.assertIn(words, str(error))


class Headers(SynchronousTestCase):
    def headers(self, toml: str, **environ: str) -> Any:
        return {name: each.reveal() for name, each in settings(PROVIDER + toml, environ).providers["p"].headers.items()}

    def test_spaces_and_tabs_inside(self) -> None:
        """RFC 9110 section 5.5; outside they are left out."""
        toml = 'X-Title = "My App", authorization = "Basic dTpw", user-agent = "foo/1 (bar)", b = " a-1,\\tb-2 "'
        found = self.headers(f"headers = {{{toml}}}\n")
        self.assertEqual((found["x-title"], found["authorization"]), ("My App", "Basic dTpw"))
        self.assertEqual((found["user-agent"], found["b"]), ("foo/1 (bar)", "a-1,\tb-2"))
        self.assertEqual(self.headers('headers = {x = "env:X"}\n', X="two words"), {"x": "two words"})

    def test_what_no_header_holds(self) -> None:
        """Says which."""
        for value, words in {
            '"a\\r\\nx: 1"': "has x-a, which holds a character that no header may hold (only visible ASCII, spaces",
            '"é"': "has x-a, which holds a character",
            '""': "has x-a, which must not be empty",
            "5": "has x-a, which must be a text",
            '"Bearer ${TOKEN}"': 'write "env:TOKEN", and the whole value in the variable',
        }.items():
            error = self.assertRaises(ConfigError, settings, f"{PROVIDER}headers = {{x-a = {value}}}\n")
            self.assertIn(words, str(error))

    def test_keys_have_none(self) -> None:
        error = self.assertRaises(ConfigError, settings, f'{PROVIDER}api_key = "a b"\n')
        self.assertIn("holds a space or another character that no key has", str(error))


class Renewal(SynchronousTestCase):
    def test_of_a_file(self) -> None:
        file = new_folder() / "key"
        file.write_text("one")
        secret = settings(f'{PROVIDER}api_key = "file:{file}"\n').providers["p"].api_key
        self.assertEqual(secret.file, str(file))
        self.assertIs(secret.renewed(), secret)
        file.write_text("two\n")
        self.assertEqual((secret.renewed().reveal(), secret.reveal()), ("two", "one"))
        self.assertEqual(secret.renewed().renewed().file, str(file))
        file.write_text("")
        self.assertIn("which is empty", str(self.assertRaises(ValueError, secret.renewed)))

    def test_others_stay(self) -> None:
        for secret in (Secret("x"), settings(f'{PROVIDER}api_key = "env:K"\n', {"K": "x"}).providers["p"].api_key):
            self.assertIs(secret.renewed(), secret)
            self.assertEqual((secret.file, repr(secret)), ("", "Secret(***)"))

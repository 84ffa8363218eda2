"""The JSON Schema takes what the gateway takes, and refuses what editors should mark."""

import json
import tomllib
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

import llmedge.config
from llmedge.config.schema import schema
from llmedge.guards.registry import GuardTypes
from llmedge.providers.registry import OURS
from tests.fakes import settings

PROVIDER = '[providers.p]\nbase_url = "http://h"\n'
GUARD = '[[guardrails]]\nname = "g"\n'
MODEL = '[models.m]\ntargets = ["p/x"]\n'


class Schema(SynchronousTestCase):
    def setUp(self) -> None:
        self.document = json.loads(schema(OURS, GuardTypes()))
        self.validator = Draft202012Validator(self.document)

    def errors(self, toml: str) -> list[Any]:
        return list(self.validator.iter_errors(tomllib.loads(toml)))

    def test_the_file_is_what_the_code_makes(self) -> None:
        """Renewed by ``twist llmedge --schema > src/llmedge/config/llmedge.schema.json``."""
        kept = Path(llmedge.config.__file__).with_name("llmedge.schema.json").read_text()
        self.assertEqual(kept, schema(OURS, GuardTypes()))
        Draft202012Validator.check_schema(self.document)

    def test_what_is_good(self) -> None:
        """All that loads and has a form of its own."""
        for toml in (
            "",
            PROVIDER
            + 'api_key = "k"\n[providers.p.headers]\nx-team = "a"\n[providers.p.paths]\nrerank = "{origin}/r"\n',
            '[providers.bedrock]\nregion = "eu-central-1"\napi_key = "k"\n',
            '[providers.p]\ndialect = "mock"\nfault = "cut"\nlatency = 1\n',
            PROVIDER
            + '[models."gpt-*"]\ntargets = ["p/x", {target = "p/y", weight = 2, tags = ["eu"]}]\nhedge = {after = 1}\n',
            PROVIDER + MODEL + "[models.m.capabilities]\ncontext = 5\nvision = true\n",
            PROVIDER + '[prices."p/*"]\ninput = 0.1\noutput = "2"\n',
            '[providers.p]\nbase_url = "unix:/run/v.sock:/v1"\nproxy = "off"\n',
            '[providers.p]\nbase_url = "http+unix://%2Frun%2Fv.sock/v1"\n[upstream]\nno_proxy = ["10.0.0.0/8", "*"]\n',
            '[[auth.keys]]\nname = "a"\nkey = "b"\n[server]\ntimeout = 1\nlisten = ["tcp:1"]\n',
            '[routing]\nhedge = "off"\nretries = 0\nfallback_on = [400, 422]\n',
            PROVIDER + MODEL + '[routing]\ndefault_models = {images = "m", responses = "p/x"}\n',
            GUARD + 'type = "webhook"\nurl = "http://h"\nheaders = {x-a = "b"}\nparams = {n = 1, s = "x", t = true}\n',
            GUARD + 'type = "json_schema"\non = "post_call"\nschema = {type = "object"}\n',
            GUARD + 'type = "tools"\nallow = ["a*"]\non = ["tools", "response"]\nmode = "logging_only"\n',
        ):
            settings(toml)
            self.assertEqual(self.errors(toml), [], toml)

    def test_what_is_not(self) -> None:
        """Names, kinds, words and bounds, each in one place and with the setting's own words."""
        for toml, path in (
            ("[servr]\n", []),
            ("[server]\ntimeuot = 1\n", ["server"]),
            ("[server]\ntimeout = 0\n", ["server", "timeout"]),
            ('[server]\ntimeout = "1"\n', ["server", "timeout"]),
            ("[server]\nmax_headers = 501\n", ["server", "max_headers"]),
            ("[server]\nmax_headers = 10.5\n", ["server", "max_headers"]),
            ('[log]\nlevel = "loud"\n', ["log", "level"]),
            ('[cors]\norigins = "*"\n', ["cors", "origins"]),
            ('[[auth.keys]]\nnam = "a"\n', ["auth", "keys", 0]),
            ('[providers."a b"]\n', ["providers"]),
            (PROVIDER + "regoin = 1\n", ["providers", "p"]),
            ('[providers.p]\nbase_url = "ftp://h"\n', ["providers", "p", "base_url"]),
            (PROVIDER + "proxy = false\n", ["providers", "p", "proxy"]),
            ('[upstream]\nno_proxy = "h"\n', ["upstream", "no_proxy"]),
            (PROVIDER + "api_key = 1\n", ["providers", "p", "api_key"]),
            (PROVIDER + 'paths = {rerank = "x"}\n', ["providers", "p", "paths", "rerank"]),
            ("[models.m]\ntargets = []\n", ["models", "m", "targets"]),
            (GUARD + 'type = "tools"\ndeny = "run"\n', ["guardrails", 0, "deny"]),
            (GUARD + 'type = "azure"\nseverity = 9\n', ["guardrails", 0, "severity"]),
            (GUARD + 'type = "webhook"\nparams = {n = []}\n', ["guardrails", 0, "params", "n"]),
            ('[models.m]\ntargets = ["x"]\n', ["models", "m", "targets", 0]),
            (PROVIDER + MODEL + "hedge = 3\n", ["models", "m", "hedge"]),
            (PROVIDER + MODEL + "fallback_on = [200]\n", ["models", "m", "fallback_on", 0]),
            ('[routing]\ndefault_models = {audio = "m"}\n', ["routing", "default_models"]),
            ('[routing]\ndefault_models = {images = ""}\n', ["routing", "default_models", "images"]),
            ("[prices.m]\ninput = 1\n", ["prices"]),
        ):
            self.assertEqual([list(error.absolute_path) for error in self.errors(toml)], [path], toml)

    def test_what_it_tells(self) -> None:
        """Meaning and default, and whose an option is that not all providers have."""
        properties = self.document["properties"]
        timeout = properties["server"]["properties"]["timeout"]
        self.assertEqual((timeout["default"], timeout["minimum"], timeout["maximum"]), (30.0, 0.01, 86400))
        self.assertIn("Seconds a whole answer", timeout["description"])
        (provider,) = properties["providers"]["patternProperties"].values()
        self.assertTrue(provider["properties"]["region"]["description"].startswith("bedrock: "))
        self.assertFalse(provider["properties"]["models"]["description"].startswith("openai: "))
        vision = properties["models"]["patternProperties"]["."]["properties"]["capabilities"]["properties"]["vision"]
        self.assertIn("Not heeded yet.", vision["description"])

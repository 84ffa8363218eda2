"""Providers as the catalogue has them: two lines for a vendor it knows, four for one it does not."""

from collections.abc import Mapping
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config import ConfigError, kinds
from llmedge.config.catalogue import VENDORS
from llmedge.config.option import option
from llmedge.config.secret import Secret
from llmedge.config.sections.providers import Provider
from llmedge.config.vendors import base_variables, capabilities_at, paths_of, variables, vendor_of
from llmedge.providers.registry import OURS
from llmedge.providers.vendor import HttpVendor
from tests.fakes import load, settings
from tests.folders import new_folder


class Files(SynchronousTestCase):
    def provider(self, toml: str, name: str = "p") -> Any:
        return settings(toml).providers[name]

    def problems(self, toml: str) -> str:
        return "\n".join(self.assertRaises(ConfigError, settings, toml).problems)

    def test_two_lines_for_a_vendor_of_the_catalogue(self) -> None:
        """Its name and its key, nothing else, wherever the vendor's place is known."""
        for name, vendor in VENDORS.items():
            if not vendor.base_url:
                continue
            provider = settings(f'[providers.{name}]\napi_key = "k"\n').providers[name]
            self.assertEqual(provider.base_url, vendor.base_url)
            self.assertIs(vendor_of(provider), vendor)
            self.assertEqual(paths_of(provider), {**vendor.dialects, **vendor.passthrough})

    def test_four_lines_for_any_other(self) -> None:
        provider = settings(
            '[providers.new]\nbase_url = "https://api.new.example/v1"\napi_key = "k"\nmodels = ["new-*"]\n'
        ).providers["new"]
        self.assertEqual(provider.vendor, "openai-compatible")
        self.assertEqual(paths_of(provider)["openai_chat"], "/chat/completions")
        self.assertIn("no_developer_role", vendor_of(provider).quirks)

    def test_another_name_for_a_vendor(self) -> None:
        provider = self.provider('[providers.p]\nvendor = "groq"\napi_key = "k"\n')
        self.assertIs(vendor_of(provider), VENDORS["groq"])
        self.assertEqual(provider.base_url, "https://api.groq.com/openai/v1")

    def test_a_name_is_not_everything(self) -> None:
        """A dialect or another base URL says that it is another server, unless ``vendor`` says it is not."""
        at = 'base_url = "http://127.0.0.1:9/v1"\n'
        self.assertEqual(self.provider(f"[providers.openai]\n{at}", "openai").vendor, "openai-compatible")
        mine = self.provider(f'[providers.groq]\n{at}dialect = "openai"\n', "groq")
        self.assertEqual(mine.vendor, "openai-compatible")
        proxied = self.provider(f'[providers.openai]\nvendor = "openai"\n{at}', "openai")
        self.assertEqual((proxied.vendor, proxied.base_url), ("openai", "http://127.0.0.1:9/v1"))
        for name in ("ollama", "vllm", "llamacpp", "lmstudio"):
            self.assertEqual(self.provider(f"[providers.{name}]\n{at}", name).vendor, name)

    def test_dialects_of_servers_that_nobody_knows(self) -> None:
        for dialect, path in {
            "openai_responses": "/responses",
            "anthropic": "/v1/messages",
            "gemini": "/v1beta/models/{model}:generateContent",
        }.items():
            provider = self.provider(f'[providers.p]\ndialect = "{dialect}"\nbase_url = "http://h"\n')
            found = {name: path for name, path in paths_of(provider).items() if name == dialect}
            self.assertEqual(found, {dialect: path})
            self.assertNotIn("openai_chat", paths_of(provider))
        self.assertEqual(vendor_of(provider).auth, "x-goog-api-key")

    def test_one_dialect_of_a_vendor(self) -> None:
        provider = self.provider('[providers.p]\nvendor = "deepseek"\ndialect = "anthropic"\n')
        self.assertEqual(paths_of(provider), {"anthropic": "{origin}/anthropic/v1/messages"})
        text = self.problems('[providers.p]\nvendor = "groq"\ndialect = "gemini"\n')
        self.assertIn("providers.p.dialect is not spoken by groq, which speaks openai_chat, openai_responses", text)

    def test_azure_both_ways(self) -> None:
        """The v1 API by itself, deployments once there is an ``api_version``."""
        azure = '[providers.azure]\nbase_url = "https://r.openai.azure.com"\n'
        v1 = self.provider(azure, "azure")
        self.assertEqual(paths_of(v1)["openai_chat"], "/openai/v1/chat/completions")
        dated = self.provider(f'{azure}api_version = "2024-10-21"\n', "azure")
        self.assertIn(
            "/openai/deployments/{model}/chat/completions?api-version=",
            paths_of(dated, OURS["azure"].entry(dated))["openai_chat"],
        )
        self.assertIn("https://RESOURCE.openai.azure.com", self.problems('[providers.azure]\napi_key = "k"\n'))
        self.assertIn('for the vendor "azure" only', self.problems('[providers.groq]\napi_version = "1"\n'))

    def test_a_rehearsal(self) -> None:
        """With one line more, a vendor's own table is answered by the mock."""
        found = settings('[providers.bedrock]\nregion = "eu-west-1"\ndialect = "mock"\nlatency = 2\n').providers
        self.assertEqual((found["bedrock"].vendor, found["bedrock"].latency), ("mock", 2))

    def test_what_is_another_vendors(self) -> None:
        """A key that belongs to another vendor says whose it is; with a mistake in it too, and with its line."""
        for vendor in ("azure", "bedrock", "mock", "vertex"):
            fields = attrs.fields(OURS[vendor].settings)
            for name in [field.name for field in fields if not field.inherited]:
                text = self.problems(f'[providers.p]\nbase_url = "http://h"\n{name} = []\n')
                self.assertRegex(text, f'\\.toml:3: providers.p.{name} is for the vendor "{vendor}" only$')
                text = self.problems(f'[providers.p]\nvendor = "nobody"\n{name} = []\n')
                self.assertNotIn(f"providers.p.{name}", text)

    def test_a_table_of_a_plugins_own(self) -> None:
        """Any names, texts and numbers, true and false, and secrets; nothing deeper."""

        @attrs.frozen
        class Free(Provider):
            options: Mapping[str, Any] = option(kinds.option_table, attrs.Factory(dict), "Whatever it knows.")

        class Plugin(HttpVendor):
            name = "free"
            settings = Free

        def read(toml: str) -> Any:
            file = new_folder() / "free.toml"
            file.write_text(f'[providers.p]\nvendor = "free"\nbase_url = "http://h"\n{toml}')
            return load({"KEY": "k"}, str(file), vendors=OURS | {"free": Plugin()}).providers["p"].options

        found = read('[providers.p.options]\na = 1\nb = "env:KEY"\nc = "text"\nd = true\n')
        self.assertEqual(found, {"a": 1, "b": Secret("k"), "c": "text", "d": True})
        for line, words in {
            "a = [1]": "must hold texts, numbers",
            'a = "env:NONE"': "has a, which refers",
            'a = "$KEY"': "has a, which looks like a reference to the variable KEY",
        }.items():
            error = self.assertRaises(ConfigError, read, f"[providers.p.options]\n{line}\n")
            self.assertIn(f"free.toml:4: providers.p.options {words}", str(error))

    def test_paths_of_ones_own(self) -> None:
        toml = '[providers.groq]\n[providers.groq.paths]\nrerank = "/v9/rerank"\nopenai_chat = "{origin}/c"\n'
        paths = paths_of(self.provider(toml, "groq"))
        self.assertEqual((paths["rerank"], paths["openai_chat"]), ("/v9/rerank", "{origin}/c"))
        for line, words in {
            'rerunk = "/x"': "no dialect or operation; did you mean 'rerank'?",
            'rerank = "x"': "begin with / or {origin}/; rerank is none",
            'rerank = "/{modl}"': "rerank has {modl}",
            'rerank = "/{model"': "rerank has a brace",
            'rerank = "/a b"': "visible ASCII",
        }.items():
            self.assertIn(words, self.problems(f"[providers.groq.paths]\n{line}\n"))

    def test_an_unknown_vendor(self) -> None:
        text = self.problems('[providers.p]\nvendor = "grok"\n')
        said = "is not in the catalogue, and no plugin: 'grok'; did you mean 'groq'?"
        self.assertIn(f":2: providers.p.vendor {said}", text)
        both = '[providers.p]\ndialect = "mock"\nvendor = "groq"\n'
        self.assertIn("providers.p.dialect is not spoken by groq", self.problems(both))

    def test_what_a_vendor_refuses_is_not_asked(self) -> None:
        self.assertFalse(self.provider('[providers.mistral]\napi_key = "k"\n', "mistral").stream_usage)
        self.assertTrue(self.provider('[providers.groq]\napi_key = "k"\n', "groq").stream_usage)

    def test_models_know_better(self) -> None:
        """What the file says of a model goes over the catalogue."""
        loaded = settings(
            '[providers.groq]\non_unsupported = "drop"\n[models.m]\ntargets = ["groq/llama-3.3-70b-versatile"]\n'
            'on_unsupported = "refuse"\n[models.m.capabilities]\ncontext = 32768\nvision = true\n'
        )
        model, groq = loaded.models["m"], loaded.providers["groq"]
        self.assertEqual((model.on_unsupported, groq.on_unsupported), ("refuse", "drop"))
        found = capabilities_at(groq, "llama-3.3-70b-versatile", model)
        self.assertEqual((found.context, found.vision, found.tools), (32768, True, True))
        self.assertEqual(capabilities_at(groq, "llama-3.3-70b-versatile").context, 131_072)
        bad = '[providers.groq]\n[models.m]\ntargets = ["groq/x"]\n[models.m.capabilities]\nvison = true\n'
        self.assertIn("models.m.capabilities.vison is not a setting; did you mean 'vision'?", self.problems(bad))


class Patterns(SynchronousTestCase):
    def models(self, toml: str, name: str = "openai") -> Any:
        return settings(toml).providers[name].models

    def test_a_file_keeps_the_catalogues(self) -> None:
        """Of every vendor, with its key in a table as in a variable; ``models`` says otherwise, ``[]`` none."""
        for name, vendor in VENDORS.items():
            if vendor.base_url:
                self.assertEqual(self.models(f'[providers.{name}]\napi_key = "k"\n', name), vendor.models)
                self.assertEqual(self.models(f"[providers.{name}]\nmodels = []\n", name), ())
                self.assertEqual(self.models(f'[providers.{name}]\nmodels = ["x"]\n', name), ("x",))
                self.assertEqual(self.models(f'[providers.{name}]\ndialect = "mock"\n', name), vendor.models)

    def test_who_is_not_called_so(self) -> None:
        """Another name, or another server: nothing goes there that nobody has said."""
        self.assertEqual(self.models('[providers.fast]\nvendor = "openai"\n', "fast"), ())
        self.assertEqual(self.models('[providers.openai]\nbase_url = "http://h/v1"\n'), ())
        elsewhere = '[providers.openai]\nvendor = "openai"\nbase_url = "http://h/v1"\n'
        self.assertEqual(self.models(elsewhere), VENDORS["openai"].models)


class Environment(SynchronousTestCase):
    def test_where_a_vendor_is(self) -> None:
        """``NAME_BASE_URL`` beside its key, by every name that SDKs have: the vendor's own host is the vendor, another
        one a server that speaks its dialect."""
        for name, vendor in VENDORS.items():
            if not vendor.env or not vendor.base_url or vendor.anywhere:
                continue
            for variable in base_variables(vendor):
                key = {vendor.env[0]: "k"}
                found = load(key | {variable: " http://127.0.0.1:9/gw/v1/ "}).providers
                self.assertEqual(list(found), [name])
                (dialect, *_) = vendor.dialects
                self.assertIn(dialect, paths_of(found[name]), variable)
                self.assertNotIn(found[name].vendor, VENDORS)
                self.assertTrue(found[name].base_url.startswith("http://127.0.0.1:9/gw"), found[name].base_url)
                self.assertEqual((found[name].api_key.reveal(), found[name].models), ("k", vendor.models))
                same = load(key | {variable: f"{vendor.base_url}/"}).providers[name]
                self.assertEqual((same.vendor, same.base_url), (name, vendor.base_url))
        eu = load({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://eu.api.openai.com/v1"}).providers["openai"]
        self.assertEqual((eu.vendor, eu.base_url), ("openai", "https://eu.api.openai.com/v1"))
        evil = load({"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": "https://notopenai.com/v1"}).providers["openai"]
        self.assertEqual(evil.vendor, "openai-compatible")

    def test_a_base_url_that_is_none(self) -> None:
        error = self.assertRaises(ConfigError, load, {"GROQ_API_KEY": "k", "GROQ_BASE_URL": "h/v1"})
        self.assertIn("environment variable GROQ_BASE_URL must be an http or https URL", str(error))
        self.assertEqual(list(load({"GROQ_BASE_URL": "http://h/v1"}).providers), ["mock"])

    def test_every_key_switches_its_vendor_on(self) -> None:
        """All whose place is known without being told."""
        for name, vendor in VENDORS.items():
            for variable in vendor.env:
                found = load({variable: "key-of-it"}).providers
                if not vendor.base_url:
                    self.assertEqual(list(found), ["mock"], name)
                    continue
                self.assertEqual(list(found), [name])
                self.assertEqual(found[name].api_key.reveal(), "key-of-it")
                self.assertEqual(found[name].models, vendor.models)
                self.assertEqual(found[name].vendor, name)
                self.assertIn(variable, variables())

    def test_what_no_key_can_be(self) -> None:
        """The variable is named, not what it holds."""
        error = self.assertRaises(ConfigError, load, {"OPENAI_API_KEY": "canary key"})
        said = "providers.openai.api_key refers to env:OPENAI_API_KEY, which holds a space or another character"
        self.assertIn(said, str(error))
        self.assertNotIn("canary", str(error))
        error = self.assertRaises(ConfigError, load, {"OLLAMA_HOST": "http://a b"})
        self.assertIn("environment variable OLLAMA_HOST must be a URL", str(error))

    def test_native(self) -> None:
        found = load({"ANTHROPIC_API_KEY": "a", "GEMINI_API_KEY": "g"}).providers
        self.assertEqual(paths_of(found["anthropic"]), {"anthropic": "/v1/messages"})
        self.assertIn("gemini", paths_of(found["gemini"]))

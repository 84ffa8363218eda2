from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.catalogue import VENDORS
from llmedge.providers.registry import OURS
from llmedge.providers.spec import ProviderSpec, spec_of
from tests.fakes import settings, write_service_account


def spec(toml: str, name: str) -> ProviderSpec:
    provider = settings(toml).providers[name]
    return spec_of(provider, OURS[provider.vendor].entry(provider))


class Offers(SynchronousTestCase):
    def test_every_vendor(self) -> None:
        """Whole paths, nothing left to fill in but the model, and each keeps its preferred dialect in front."""
        for name, vendor in VENDORS.items():
            more = {
                "azure": 'base_url = "https://r.openai.azure.com"',
                "vllm": 'base_url = "http://127.0.0.1:8000/v1"',
                "bedrock": 'region = "eu-central-1"',
                "vertex": 'project = "p"\nlocation = "europe-west4"',
            }.get(name, "")
            key = f'credentials = "{write_service_account()}"' if name == "vertex" else 'api_key = "a-key"'
            found = spec(f"[providers.{name}]\n{key}\n{more}\n", name)
            self.assertEqual(set(found.variants), set(vendor.variants))
            for path in (*found.paths.values(), *found.stream_paths.values(), *found.passthrough.values()):
                self.assertRegex(path.replace("{model}", "m"), r"^/[A-Za-z0-9_/:.\-]+(\?[a-z\-]+=[a-z0-9\-]+)?$")
            if vendor.dialects:
                self.assertEqual(next(iter(found.paths), ""), next(iter(vendor.dialects)) if found.paths else "")

    def test_where_they_are(self) -> None:
        for name, dialect, path in (
            ("openai", "openai_chat", "/v1/chat/completions"),
            ("groq", "openai_chat", "/openai/v1/chat/completions"),
            ("anthropic", "anthropic", "/v1/messages"),
            ("gemini", "gemini", "/v1beta/models/{model}:generateContent"),
            ("gemini", "gemini_embeddings", "/v1beta/models/{model}:batchEmbedContents"),
            ("moonshot", "anthropic", "/anthropic/v1/messages"),
        ):
            self.assertEqual(spec(f'[providers.{name}]\napi_key = "k"\n', name).path(dialect, False), path)
        gemini = spec('[providers.gemini]\napi_key = "k"\n', "gemini")
        self.assertTrue(gemini.path("gemini", True).endswith(":streamGenerateContent?alt=sse"))

    def test_how_the_key_is_shown(self) -> None:
        for name, header, value in (
            ("openai", "authorization", "Bearer a-key"),
            ("anthropic", "x-api-key", "a-key"),
            ("gemini", "x-goog-api-key", "a-key"),
        ):
            found = spec(f'[providers.{name}]\napi_key = "a-key"\n', name)
            self.assertEqual({name: secret.reveal() for name, secret in found.headers.items()}, {header: value})
            self.assertNotIn("a-key", repr(found))

    def test_azure_both_ways(self) -> None:
        azure = '[providers.azure]\nbase_url = "https://r.openai.azure.com"\napi_key = "k"\n'
        self.assertEqual(spec(azure, "azure").paths["openai_chat"], "/openai/v1/chat/completions")
        self.assertEqual(
            spec(azure + 'api_version = "2024-10-21"\n', "azure").paths["openai_chat"],
            "/openai/deployments/{model}/chat/completions?api-version=2024-10-21",
        )

"""Base URLs as people have them lead to the path that the vendor has, or are refused with what to write."""

from typing import Any
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from llmedge.banner import banner
from llmedge.config import ConfigError
from llmedge.config.base_urls import of_catalogue, without_paths
from llmedge.config.catalogue import VENDORS
from llmedge.config.vendors import GENERIC
from llmedge.providers.registry import OURS
from tests.fakes import settings

OPENAI, CLAUDE, GEMINI = "openai_chat", "anthropic", "gemini"
GOOGLE = "https://generativelanguage.googleapis.com"
AZURE = "https://r.openai.azure.com"


def asked(name: str, toml: str, dialect: str) -> str:
    """The URL that a call in ``dialect`` goes to."""
    provider: Any = settings(f"[providers.{name}]\n{toml}").providers[name]
    spec = OURS[provider.vendor].spec(provider)
    return f"{spec.origin}{spec.path(dialect, stream=False)}"


class Understood(SynchronousTestCase):
    def test_what_portals_and_sdks_show(self) -> None:
        """Each with a slash behind it, and an empty query, too."""
        azure = f"{AZURE}/openai/v1/chat/completions"
        claude = "https://api.anthropic.com/v1/messages"
        gemini = f"{GOOGLE}/v1beta/models/{{model}}:generateContent"
        for name, base, more, dialect, url in (
            ("azure", f"{AZURE}/openai/v1", "", OPENAI, azure),
            ("azure", f"{AZURE}/openai", "", OPENAI, azure),
            ("azure", azure, "", OPENAI, azure),
            ("azure", f"{AZURE}/openai/v1/responses", "", "openai_responses", f"{AZURE}/openai/v1/responses"),
            ("azure", "https://r.services.ai.azure.com/anthropic", "", CLAUDE, "https://r.services.ai.azure.com/anthropic/v1/messages"),
            ("azure", f"{AZURE}/openai/deployments/prod/chat/completions", 'api_version = "2024-10-21"', OPENAI,
             f"{AZURE}/openai/deployments/{{model}}/chat/completions?api-version=2024-10-21"),
            ("anthropic", "https://api.anthropic.com/v1", "", CLAUDE, claude),
            ("anthropic", claude, "", CLAUDE, claude),
            ("a", "http://h/claude/v1", 'dialect = "anthropic"', CLAUDE, "http://h/claude/v1/messages"),
            ("gemini", f"{GOOGLE}/v1beta", "", GEMINI, gemini),
            ("gemini", f"{GOOGLE}/v1beta/models/gemini-2.5-pro:generateContent", "", GEMINI, gemini),
            ("g", "http://h/gw/v1beta/models", 'dialect = "gemini"', GEMINI, "http://h/gw/v1beta/models/{model}:generateContent"),
            ("gemini", f"{GOOGLE}/v1beta/openai", "", OPENAI, f"{GOOGLE}/v1beta/openai/chat/completions"),
            ("g", f"{GOOGLE}/v1beta/openai", 'vendor = "gemini"', GEMINI, gemini),
            ("g", f"{GOOGLE}/v1beta/openai/chat/completions", 'vendor = "gemini"', GEMINI, gemini),
            ("ollama", "http://h:11434", "", OPENAI, "http://h:11434/v1/chat/completions"),
            ("ollama", "http://h:11434/api/chat", "", OPENAI, "http://h:11434/v1/chat/completions"),
            ("o", "http://h:11434", 'vendor = "ollama"', CLAUDE, "http://h:11434/v1/messages"),
            ("vllm", "http://h:8000", "", OPENAI, "http://h:8000/v1/chat/completions"),
            ("eu", "https://eu.api.openai.com", 'vendor = "openai"', OPENAI, "https://eu.api.openai.com/v1/chat/completions"),
            ("cn", "https://api.moonshot.cn/v1", 'vendor = "moonshot"', OPENAI, "https://api.moonshot.cn/v1/chat/completions"),
            ("llamacpp", "http://h:1", "", OPENAI, "http://h:1/v1/chat/completions"),
            ("ollama", "http://h/ollama", "", OPENAI, "http://h/ollama/chat/completions"),
            ("openai", "https://api.openai.com", "", "openai_responses", "https://api.openai.com/v1/responses"),
            ("deepseek", "https://api.deepseek.com/anthropic", "", OPENAI, "https://api.deepseek.com/chat/completions"),
            ("p", "http://h/v1/chat/completions", "", OPENAI, "http://h/v1/chat/completions"),
            ("p", "http://h/v1/embeddings", "", OPENAI, "http://h/v1/chat/completions"),
            ("p", "http://h/v1/Chat/Completions", "", OPENAI, "http://h/v1/chat/completions"),
            ("p", "http://h/models", "", OPENAI, "http://h/models/chat/completions"),
            ("p", "http://h/api", "", OPENAI, "http://h/api/chat/completions"),
            ("p", "http://h/chat", "", OPENAI, "http://h/chat/chat/completions"),
            ("r", "http://h/v1/responses", 'dialect = "openai_responses"', "openai_responses", "http://h/v1/responses"),
        ):  # fmt: skip
            for end in ("", "/", "/?"):
                self.assertEqual(asked(name, f'base_url = "{base}{end}"\n{more}\n', dialect), url, (name, base, end))

    def test_clouds(self) -> None:
        """Vertex's version is in its paths."""
        at = "https://europe-west4-aiplatform.googleapis.com"
        self.assertEqual(without_paths(f"{at}/v1", VENDORS["vertex"]), at)
        for path in ("/model/x.y/converse", "/model", "/openai/v1", "/openai/v1/chat/completions"):
            base = without_paths(f"https://vpce-1.example{path}", VENDORS["bedrock"])
            self.assertEqual(base, "https://vpce-1.example", path)

    def test_what_is_right_stays(self) -> None:
        """Every vendor's own, as it is and with the whole path of each of its dialects."""
        for vendor in (*VENDORS.values(), *GENERIC.values()):
            base = vendor.base_url or "https://h.example/v9"
            self.assertEqual(without_paths(base, vendor), base, vendor.name)
            for template in vendor.dialects.values():
                whole = base + template.replace("{model}", "some-model")
                if template.startswith("/") and "{" not in template.replace("{model}", ""):
                    self.assertEqual(without_paths(whole, vendor), base, (vendor.name, template))
            self.assertEqual(of_catalogue(vendor.base_url, vendor), vendor.base_url)

    def test_the_vendors_host_is_the_vendor(self) -> None:
        for name, vendor in VENDORS.items():
            if not vendor.base_url or vendor.anywhere:
                continue
            parts = urlsplit(vendor.base_url)
            origin = f"{parts.scheme}://{parts.netloc}"
            self.assertEqual(of_catalogue(origin, vendor), vendor.base_url, name)
            self.assertEqual(of_catalogue(f"{origin}/elsewhere", vendor), f"{origin}/elsewhere", name)
            self.assertEqual(of_catalogue("https://h.example/v1", vendor), "https://h.example/v1", name)

    def test_paths_of_ones_own(self) -> None:
        """Whoever says paths knows what stands before them."""
        toml = 'base_url = "http://h/chat/completions"\npaths = {openai_chat = "/x"}\n'
        self.assertEqual(asked("p", toml, OPENAI), "http://h/chat/completions/x")

    def test_what_is_spoken_is_said(self) -> None:
        """A name alone does not tell it, where the base URL is another's."""
        toml = '[providers.gemini]\nbase_url = "http://proxy/gw"\n[providers.m]\ndialect = "mock"\n'
        text = "\n".join(banner(settings(toml)))
        self.assertIn("provider gemini: http://proxy/gw, speaks openai_chat, openai_text, openai_embeddings;", text)
        self.assertIn("provider m: answers by itself, no vendor is asked (mock);", text)


class Refused(SynchronousTestCase):
    def test_with_what_to_write(self) -> None:
        for toml, words in (
            (
                'base_url = "http://h/v1/messages"',
                'ends in /v1/messages, which the gateway adds itself: leave it out, and dialect = "anthropic"',
            ),
            ('base_url = "http://h/v1/responses"', "ends in /responses, which the gateway adds itself"),
            ('base_url = "http://h/v1/chat/completions"\ndialect = "anthropic"', "ends in /chat/completions"),
            ('base_url = "http://h/v1beta/models/m:streamGenerateContent"', "ends in :streamgeneratecontent"),
            ('base_url = "http://h:11434/api/generate"', 'ends in Ollama\'s own API: write vendor = "ollama"'),
            ('base_url = "https://r.services.ai.azure.com/models"\nvendor = "azure"', "ends in /models, which is not"),
            (
                'base_url = "http://h/v1?api-version=2025-01-01"',
                'must not have a query or a fragment: api_version = "2025-01-01" says that',
            ),
            ('base_url = "http://h/v1#x"', "must not have a query or a fragment"),
        ):
            error = self.assertRaises(ConfigError, settings, f"[providers.p]\n{toml}\n")
            self.assertEqual(len(error.problems), 1, error.problems)
            self.assertIn(f":2: providers.p.base_url {words}", error.problems[0])

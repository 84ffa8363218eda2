import re
from fnmatch import fnmatchcase
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.capabilities import MODEL_CAPABILITIES, Capabilities, plain
from llmedge.config.catalogue import DIALECTS, VENDORS, capabilities
from llmedge.config.vendor_entry import AUTHS, OPERATIONS, QUIRKS
from llmedge.providers.azure import AzureSettings
from llmedge.providers.registry import OURS

EXPECTED = """
    openai anthropic gemini azure ollama vllm llamacpp groq mistral deepseek together fireworks openrouter xai
    cerebras perplexity cohere nvidia huggingface sambanova moonshot dashscope zhipu lmstudio bedrock vertex
"""


class Catalogue(SynchronousTestCase):
    def test_every_vendor_is_there(self) -> None:
        self.assertEqual(sorted(VENDORS), sorted(EXPECTED.split()))
        for name, vendor in VENDORS.items():
            self.assertEqual(vendor.name, name)

    def test_every_vendor_has_a_source(self) -> None:
        """The page its entry was read from, a place of its own and not a base URL."""
        for vendor in VENDORS.values():
            parts = urlsplit(vendor.source)
            self.assertEqual(parts.scheme, "https", vendor.name)
            self.assertGreater(len(parts.path), 1, vendor.name)

    def test_base_urls(self) -> None:
        """Encrypted, but for servers on this machine; without an end slash; none where only the user knows."""
        for vendor in VENDORS.values():
            if not vendor.base_url:
                self.assertIn(vendor.name, ("azure", "vllm", "bedrock", "vertex"))
                continue
            parts = urlsplit(vendor.base_url)
            self.assertEqual(parts.scheme, "http" if parts.hostname == "127.0.0.1" else "https", vendor.name)
            self.assertFalse(vendor.base_url.endswith("/"), vendor.name)
            self.assertEqual(parts.query, "")

    def test_paths(self) -> None:
        """Each is for a dialect or operation there is, and begins where a path begins."""
        dated = OURS["azure"].entry(AzureSettings(vendor="azure", api_version="1"))
        for vendor in (*VENDORS.values(), dated):
            self.assertTrue(vendor.dialects, vendor.name)
            self.assertLessEqual(set(vendor.dialects), set(DIALECTS), vendor.name)
            self.assertLessEqual(set(vendor.stream_paths), set(vendor.dialects), vendor.name)
            self.assertLessEqual(set(vendor.passthrough), set(OPERATIONS), vendor.name)
            tables = (vendor.dialects, vendor.stream_paths, vendor.passthrough)
            paths = [path for table in tables for path in table.values()]
            for path in [*paths, *filter(None, (vendor.count_tokens, vendor.models_path))]:
                self.assertRegex(path, r"^(/|\{origin\}/)[\x21-\x7e]+$", vendor.name)
                self.assertNotIn("//", path.removeprefix("{origin}"))
                braces = set(re.findall(r"\{(\w+)\}", path))
                self.assertLessEqual(braces, {"origin", "model", "api_version", "project", "location"})

    def test_variables_are_one_vendors_own(self) -> None:
        names = [name for vendor in VENDORS.values() for name in vendor.env]
        self.assertEqual(len(names), len(set(names)))
        for name in names:
            self.assertRegex(name, r"^[A-Z][A-Z0-9_]+$")

    def test_words_are_those_with_a_meaning(self) -> None:
        """No quirk without an entry in the table, none in the table that nobody has."""
        self.assertEqual(set().union(*(vendor.quirks for vendor in VENDORS.values())), set(QUIRKS))
        for vendor in VENDORS.values():
            self.assertIn(vendor.auth, AUTHS)
            self.assertIn(vendor.models_shape, ("openai", "anthropic", "gemini", "cohere", "array"))

    def test_streams_elsewhere(self) -> None:
        for name, word in {"gemini": "streamGenerateContent?alt=sse", "bedrock": "converse-stream"}.items():
            self.assertIn(word, next(iter(VENDORS[name].stream_paths.values())))


class Models(SynchronousTestCase):
    def test_the_longest_pattern_has_the_last_word(self) -> None:
        """And shorter ones say what it leaves open."""
        mini = capabilities("openai", "gpt-5.4-mini-2026-03-17")
        self.assertEqual((mini.context, mini.max_output), (400_000, 128_000))
        self.assertTrue(mini.thinking)
        self.assertTrue(mini.json_schema)
        self.assertEqual(capabilities("openai", "gpt-5.4").context, 1_050_000)
        self.assertEqual(capabilities("openai", "gpt-4").context, 8_192)
        self.assertEqual(capabilities("openai", "gpt-4o-2024-11-20").max_output, 16_384)
        self.assertEqual(capabilities("openai", "gpt-4.1-nano").context, 1_047_576)
        self.assertFalse(capabilities("openai", "o3-mini").vision)
        self.assertTrue(capabilities("openai", "o3").vision)

    def test_claude(self) -> None:
        """Prefill ended with 4.6."""
        table = {
            "claude-3-haiku-20240307": (200_000, 4_096, True, False),
            "claude-3-5-sonnet-20241022": (200_000, 8_192, True, False),
            "claude-3-7-sonnet-latest": (200_000, 64_000, True, True),
            "claude-opus-4-20250514": (200_000, 32_000, True, True),
            "claude-opus-4-1-20250805": (200_000, 32_000, True, True),
            "claude-sonnet-4-5-20250929": (200_000, 64_000, True, True),
            "claude-haiku-4-5": (200_000, 64_000, True, True),
            "claude-opus-4-5-20251101": (200_000, 64_000, True, True),
            "claude-opus-4-6": (1_000_000, 128_000, False, True),
            "claude-sonnet-4-6": (1_000_000, 64_000, False, True),
            "claude-sonnet-5": (1_000_000, 128_000, False, True),
            "claude-opus-5-5": (1_000_000, 128_000, False, True),
        }
        for model, expected in table.items():
            found = capabilities("anthropic", model)
            self.assertEqual((found.context, found.max_output, found.prefill, found.thinking), expected, model)

    def test_publishers_are_left_out(self) -> None:
        """The same model is known at whoever serves it."""
        for vendor, model, context in (
            ("bedrock", "us.anthropic.claude-opus-4-6-v1", 1_000_000),
            ("bedrock", "anthropic.claude-3-5-sonnet-20241022-v2:0", 200_000),
            ("bedrock", "amazon.nova-lite-v1:0", 300_000),
            ("openrouter", "anthropic/claude-sonnet-4.5", 200_000),
            ("together", "meta-llama/Llama-3.3-70B-Instruct-Turbo", 131_072),
            ("fireworks", "accounts/fireworks/models/llama-v3p1-8b-instruct", 131_072),
            ("ollama", "llama3.2:3b", 131_072),
            ("groq", "openai/gpt-oss-120b", 131_072),
            ("gemini", "models/gemini-2.5-flash", 1_048_576),
        ):
            self.assertEqual(capabilities(vendor, model).context, context, model)
        self.assertEqual(plain("us-gov.anthropic.claude-x"), "claude-x")

    def test_embeddings(self) -> None:
        found = capabilities("openai", "text-embedding-3-large")
        self.assertTrue(found.embeddings)
        self.assertFalse(found.tools)
        self.assertEqual(capabilities("gemini", "gemini-embedding-2").context, 8_192)
        self.assertFalse(capabilities("openai", "gpt-4o").embeddings)

    def test_a_vendor_without_it_has_it_for_no_model(self) -> None:
        """``False`` at the vendor is about its API: groq's Mistral cannot do what Mistral's API can."""
        self.assertTrue(capabilities("mistral", "mistral-large-latest").prefill)
        self.assertFalse(capabilities("nvidia", "mistralai/mistral-large-latest").prefill)

    def test_the_unknown_stays_unknown(self) -> None:
        self.assertEqual(capabilities("my-server", "my-model"), Capabilities())
        self.assertIsNone(capabilities("ollama", "my-model").context)
        self.assertIsNone(capabilities("ollama", "my-model").vision)
        self.assertEqual(capabilities("my-server", "gpt-4o").context, 128_000)

    def test_overrides(self) -> None:
        base = Capabilities(context=1, vision=True)
        self.assertIs(Capabilities().over(base), base)
        self.assertEqual(Capabilities(vision=False).over(base), Capabilities(context=1, vision=False))

    def test_patterns_are_of_plain_names(self) -> None:
        """One that could never match would be a mistake."""
        for pattern in MODEL_CAPABILITIES:
            name = re.sub(r"\[(.)[^\]]*\]", r"\1", pattern).replace("*", "")
            self.assertTrue(fnmatchcase(plain(name), pattern), pattern)

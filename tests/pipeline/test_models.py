from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.providers import Provider
from llmedge.config.stars import entry_for
from llmedge.model import Target
from llmedge.pipeline.models import ModelIndex


class Index(SynchronousTestCase):
    def setUp(self) -> None:
        self.index = ModelIndex(
            {
                "gpt-4": Model((TargetEntry("local/tiny"), TargetEntry("openai/gpt-4o"))),
                "claude-*": Model((TargetEntry("anthropic/*"),)),
                "claude-3-*": Model((TargetEntry("anthropic/claude-3-latest"),)),
            },
            {"local": Provider(), "openai": Provider(models=("gpt-*",)), "anthropic": Provider()},
        )

    def targets(self, model: str) -> list[Target]:
        match = self.index.find(model)
        assert match is not None
        return list(match.targets)

    def test_lookup(self) -> None:
        """Exact name, PROVIDER/MODEL, longest pattern, vendor's pattern, in this order."""
        self.assertEqual(self.targets("gpt-4"), [Target("local", "tiny"), Target("openai", "gpt-4o")])
        self.assertEqual(self.targets("local/any/thing"), [Target("local", "any/thing")])
        self.assertEqual(self.targets("claude-2"), [Target("anthropic", "claude-2")])
        self.assertEqual(self.targets("claude-3-opus"), [Target("anthropic", "claude-3-latest")])
        self.assertEqual(self.targets("gpt-5"), [Target("openai", "gpt-5")])
        for unknown in ("llama", "nobody/llama", "local/", "/x", "http://169.254.169.254/latest"):
            self.assertIsNone(self.index.find(unknown), unknown)

    def test_labels_are_configured_words(self) -> None:
        """However many names clients invent, the labels stay few."""
        names = [f"gpt-{i}" for i in range(500)] + [f"local/{i}" for i in range(500)] + ["gpt-4", "local/tiny"]
        labels = {match.label for name in names if (match := self.index.find(name))}
        self.assertEqual(labels, {"gpt-*", "local/*", "gpt-4", "local/tiny"})

    def test_listing(self) -> None:
        self.assertEqual(self.index.names(), ["gpt-4"])
        self.assertEqual(self.index.find("gpt-4").candidates[0].target.provider, "local")

    def test_stars(self) -> None:
        """What a star stood for, all through: the vendor is asked for it, and limits and lists know it."""
        providers = {"one": Provider(), "together": Provider(models=("meta-llama/*",)), "ollama1": Provider()}
        models = {
            "srv1/*": Model((TargetEntry("ollama1/*"), TargetEntry("one/x-*"))),
            "gpt-*": Model((TargetEntry("one/*"), TargetEntry("together/openai/gpt-*-turbo"))),
            "*-fast": Model((TargetEntry("one/*"), TargetEntry("one/quick/*"))),
            "a/*/b": Model((TargetEntry("one/*"),)),
            "m": Model((TargetEntry("one/*"),)),
        }
        self.index = ModelIndex(models, providers)
        for asked, expected in {
            "srv1/gemma3:1b": [("ollama1", "gemma3:1b"), ("one", "x-gemma3:1b")],
            "srv1/org/gemma": [("ollama1", "org/gemma"), ("one", "x-org/gemma")],
            "gpt-4o": [("one", "gpt-4o"), ("together", "openai/gpt-4o-turbo")],
            "big-fast": [("one", "big-fast"), ("one", "quick/big")],
            "a/x/b": [("one", "a/x/b")],
            "m": [("one", "m")],
            "meta-llama/Llama-3": [("together", "meta-llama/Llama-3")],  # its own name, as its provider has it
            "one/gpt-*": [("one", "gpt-*")],  # a client's star is none
            "one/*": [("one", "*")],
        }.items():
            self.assertEqual([(each.provider, each.model) for each in self.targets(asked)], expected, asked)
            match = self.index.find(asked)
            assert match is not None
            self.assertEqual([each.entry.target for each in match.candidates], list(map("/".join, expected)))

    def test_lists_show_what_a_name_leads_to(self) -> None:
        models = {"srv1/*": Model((TargetEntry("ollama1/*"),)), "gpt-*": Model((TargetEntry("ollama1/*"),))}
        index = ModelIndex(models, {"ollama1": Provider()})
        self.assertTrue(index.leads_to("gpt-4", "ollama1"))
        self.assertFalse(index.leads_to("srv1/gemma", "ollama1"))  # which asks it for gemma

    def test_limits_of_starred_targets(self) -> None:
        entries = {"p/*": 1, "p/org/*": 2, "p/org/x": 3}
        found = [entry_for(each, entries) for each in ("p/a", "p/org/b", "p/org/x", "q/a")]
        self.assertEqual(found, [1, 2, 3, None])

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.models import Model, TargetEntry
from llmedge.config.sections.providers import Provider
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

import json
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import UpstreamMalformed
from llmedge.providers.listing import MOST, parse
from llmedge.providers.provider import ModelInfo


def read(shape: str, document: Any, vendor: str = "openai-compatible") -> list[ModelInfo]:
    return parse(shape, vendor, document if isinstance(document, bytes) else json.dumps(document).encode())


class Lists(SynchronousTestCase):
    def test_shapes(self) -> None:
        """The catalogue's five, each with the sizes its vendors tell."""
        told = ModelInfo("m-1", 4096, 1024)
        for shape, document in {
            "openai": {
                "object": "list",
                "data": [{"id": "m-1", "context_window": 4096, "max_completion_tokens": 1024}],
            },
            "anthropic": {"data": [{"id": "m-1", "max_input_tokens": 4096, "max_tokens": 1024}], "has_more": False},
            "gemini": {"models": [{"name": "models/m-1", "inputTokenLimit": 4096, "outputTokenLimit": 1024}]},
            "cohere": {"models": [{"name": "m-1", "context_length": 4096, "max_completion_tokens": 1024}]},
            "array": [{"id": "m-1", "context_length": 4096, "max_completion_tokens": 1024}],
        }.items():
            self.assertEqual(read(shape, document), [told], shape)

    def test_sizes_from_the_catalogue(self) -> None:
        (found,) = read("openai", {"data": [{"id": "gpt-4o", "context_window": True}]}, "openai")
        self.assertEqual(found, ModelInfo("gpt-4o", 128_000, 16_384))

    def test_bounds(self) -> None:
        """Sorted, each once, so many and no more; what is no name is left out."""
        names = ["b", "a", "b", "", "a b", "x\r\ny", "é", "m" * 257, 5, None]
        found = read("openai", {"data": [{"id": name} for name in names] + [7, {}]})
        self.assertEqual([model.id for model in found], ["a", "b"])
        many = read("array", [{"id": f"m{number}"} for number in range(MOST + 10)])
        self.assertEqual(len(many), MOST)

    def test_what_is_no_list(self) -> None:
        for document in (b"", b"<html>", {}, {"data": {}}, b"[" * 100_000, {"models": []}, b"5"):
            self.assertRaises(UpstreamMalformed, read, "openai", document)
        self.assertRaises(UpstreamMalformed, read, "array", {"data": []})

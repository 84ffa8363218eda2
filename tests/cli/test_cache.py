"""``llmedge cache``, as people type it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.semantic import embedder
from llmedge.cache.semantic.embedder import MiniLM
from llmedge.cli import client
from tests.cache.semantic.test_embedder import model
from tests.cache.semantic.test_guards import PAIRS
from tests.cli.test_main import Running

FILE = """\
{"a": "How do I renew my visa?", "b": "What are the steps to renew my visa?", "same": true}
{"a": "How do I renew my visa?", "b": "How do I renew my loan?", "same": false}
{"a": "How much is tea?", "b": "What is the price of tea?", "same": true, "kind": "paraphrase"}
{"a": "And then?", "b": "And then?", "before_a": "x", "before_b": "y", "same": false}
"""


class Trying(Running, SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(embedder, "MiniLM", model)

    def file(self, text: str = FILE) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return str(path)

    def test_labels(self) -> None:
        """What the file says is the judge: nothing is asked, no key is needed."""
        self.patch(os, "environ", {})
        shown = self.run_("cache", "test", self.file())
        self.assertRegex(shown, r"strict +4 +2 +1 +0 +0.50\n")
        self.assertRegex(shown, r"verified +4 +2 +2 +0 +1.00\n")
        document = json.loads(self.run_("cache", "test", str(PAIRS), "--json", "--missed"))
        self.assertEqual((document["strict"]["wrong"], document["verified"]["wrong"], document["wrong"]), (0, 0, []))
        self.assertEqual(len(document["missed"]), document["verified"]["same"] - document["verified"]["hits"])

    def test_missed(self) -> None:
        """What is not served that could be, and why."""
        shown = self.run_("cache", "test", self.file(), "--missed", "--threshold", "0.99")
        self.assertIn("missed (likeness): How much is tea? | What is the price of tea?", shown)

    def test_a_model_judges(self) -> None:
        """Through a gateway; it is asked of what no rule knows."""
        asked: list[Any] = []

        def ask(self: Any, method: str, path: str, body: Any = None, **kw: Any) -> Any:
            asked.append((method, path, body["model"]))
            return {"choices": [{"message": {"content": "Yes"}}]}

        self.patch(client.Client, "ask", ask)
        self.patch(os, "environ", {"LLMEDGE_KEY": "k"})
        shown = self.run_("cache", "test", self.file(), "--judge", "small", "--threshold", "0.5")
        self.assertRegex(shown, r"verified +4 +2 +3 +1 +1.00\n")
        self.assertIn("wrong hit: How do I renew my visa? | How do I renew my loan? (verified)", shown)
        self.assertEqual(asked, [("POST", "/v1/chat/completions", "small")] * 3)
        self.patch(client.Client, "ask", lambda *args, **kw: {"choices": []})
        self.assertIn("no answer of a chat", self.run_("cache", "test", self.file(), "--judge", "small", status=1))

    def test_how_it_stands(self) -> None:
        """With what is proven by meaning, where that is on."""
        audit = {"scope": "key:a", "model": "m", "rule": "strict", "right": 300, "wrong": 0, "wrong_at_most": 0.0099}
        semantic = {"mode": "strict", "served": 7, "audits": [audit | {"serving": True, "pauses": 0}]}
        self.patch(client.Client, "ask", lambda *args, **kw: {"object": "cache", "entries": 3, "semantic": semantic})
        self.patch(os, "environ", {"LLMEDGE_ADMIN_KEY": "k"})
        shown = self.run_("cache", "stats")
        self.assertRegex(shown, r"entries +3\n")
        self.assertRegex(shown, r"served +7\n")
        self.assertRegex(shown, r"key:a +m +strict +300 +0 +0.0099 +yes +0\n")
        self.patch(client.Client, "ask", lambda *args, **kw: {"object": "cache", "entries": 3, "semantic": None})
        self.assertNotIn("MEANING", self.run_("cache", "stats"))

    def test_mistakes(self) -> None:
        """One line each, that says what to do."""
        for arguments, words in (
            (["cache"], "give a command: stats, purge, warm, test"),
            (["cache", "test"], "give FILE"),
            (["cache", "test", "nowhere.jsonl"], "No such file"),
            (["cache", "test", self.file("{}\n")], "line 1: "),
        ):
            message = self.run_(*arguments, status=1)
            self.assertIn(words, message)
            self.assertEqual(message.count("\n"), 1)
        self.patch(os, "environ", {})
        self.assertIn("set LLMEDGE_KEY", self.run_("cache", "test", self.file(), "--judge", "small", status=1))
        self.patch(embedder, "MiniLM", MiniLM)
        self.patch(embedder, "find_spec", lambda name: None)
        self.assertIn("pip install 'llmedge[semantic]'", self.run_("cache", "test", self.file(), status=1))

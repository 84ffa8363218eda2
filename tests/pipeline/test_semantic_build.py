"""The cache by meaning in a whole gateway, in memory: what clients and operators see of it, and how it is changed."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

from twisted.internet.defer import Deferred

from llmedge.cache.semantic import embedder, state
from llmedge.pipeline import semantic_build
from llmedge.service import StartError
from tests.admin.administration import Administration
from tests.fakes import Edge, settings
from tests.observe.test_metrics import samples, value
from tests.pipeline.meaning import Aside, bag

CACHE = """
[cache]
enabled = true
[cache.semantic]
mode = "{mode}"
threshold = 0.5
{more}
"""
PROVIDER = '[providers.mock]\ndialect = "mock"\n'


def chat(question: str) -> dict[str, Any]:
    return {"model": "mock/x", "messages": [{"role": "user", "content": question}]}


class Gateway(Administration):
    toml = CACHE.format(mode="strict", more="audit = 0.001")

    def setUp(self) -> None:
        self.patch(semantic_build, "Worker", lambda reactor: Aside())
        self.patch(embedder, "MiniLM", lambda: bag)
        super().setUp()
        self.edge.service._process.random.random = lambda: 0.5  # type: ignore[method-assign]

    def put(self, question: str) -> Any:
        return self.edge.ask(body=chat(question), headers={"x-api-key": self.key})

    def test_a_day(self) -> None:
        """Compared, then served, with what it saved; state, metrics, ledger and log say so."""
        self.key = self.done("POST", "/admin/v1/keys", {"name": "app"})["key"]
        self.put("How do I feed a fox?")
        answer = self.put("What are the steps to feed a fox?")
        self.assertEqual(answer.headers["x-llmedge-cache"], "MISS")
        standing = self.edge.service._process._cache.standing()["semantic"]
        (audit,) = standing["audits"]
        self.assertEqual((audit["rule"], audit["model"], audit["wrong"]), ("strict", "mock/*", 1), "the mock echoes")
        metrics = samples(self.edge)
        self.assertEqual(value(metrics, "llm_cache_semantic_audit_total", verdict="wrong"), 1)
        self.assertEqual(value(metrics, "llm_cache_semantic_questions"), 2)
        known = self.edge.service._process._cache.semantic
        next(iter(known._audits.values())).audit.serving = True
        answer = self.put("Could you tell me how to feed a fox?")
        self.assertEqual((answer.status, answer.headers["x-llmedge-cache"]), (200, "SEMANTIC"))
        self.assertIn("hit", answer.headers["cache-status"])
        self.assertEqual(answer.headers["x-llmedge-cost-usd"], "0")
        self.assertGreater(float(answer.headers["x-llmedge-cache-saved-usd"]), 0)
        record = self.edge.records[-1]
        shown = {fact.name: said for fact, said in record.facts.items()}
        self.assertEqual((shown["cache"], shown["cache_rule"]), ("SEMANTIC", "strict"))
        self.assertLess(shown["cache_likeness"], 1.0)
        self.ship()
        call = self.done("GET", f"/admin/v1/calls/{answer.headers['x-request-id']}")
        self.assertEqual((call["cache"], call["cost_usd"]), ("SEMANTIC", "0"))

    def test_reloads(self) -> None:
        """What was learned stays where it still counts; with another judge all begins anew, and off is off."""
        self.key = self.done("POST", "/admin/v1/keys", {"name": "app"})["key"]
        self.put("How do I feed a fox?")
        cache = self.edge.service._process._cache
        before = cache.semantic
        for mode, more, same in (("shadow", "", True), ("shadow", 'judge = "mock/j"', False), ("off", "", False)):
            toml = PROVIDER + CACHE.format(mode=mode, more=more)
            self.edge.service._reload = lambda toml=toml: settings(toml, self.environ)
            self.assertTrue(self.successResultOf(Deferred.fromCoroutine(self.edge.service.reload())))
            self.assertEqual(cache.semantic is before, same)
        self.assertIsNone(cache.semantic)
        self.assertEqual(self.put("How do I feed a fox?").headers["x-llmedge-cache"], "HIT")


class Packages(Administration):
    def test_missing(self) -> None:
        """The start says what to install."""
        self.patch(state, "find_spec", lambda name: None)
        with self.assertRaises(StartError) as caught:
            Edge(PROVIDER + CACHE.format(mode="shadow", more=""))
        self.assertIn("pip install 'llmedge[semantic]'", str(caught.exception))

    def test_off(self) -> None:
        """Nothing of it is in memory, the exact cache being on, nor of what it needs."""
        text = PROVIDER + CACHE.format(mode="off", more="")
        code = (
            f"import sys\nfrom tests.fakes import Edge\nedge = Edge({text!r})\n"
            "assert edge.chat(model='mock/x').headers['x-llmedge-cache'] == 'MISS'\n"
            "there = [name for name in sys.modules if 'semantic' in name or name in ('numpy', 'onnxruntime')]\n"
            "assert there == ['llmedge.config.sections.semantic', 'llmedge.config.whole_semantic'], there\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)

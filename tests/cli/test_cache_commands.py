"""``llmedge cache stats``, ``purge`` and ``warm``, against a gateway in memory."""

from __future__ import annotations

import os
from pathlib import Path

from tests.cli.test_main import Against
from tests.fakes import CHAT

WARM = """\
{"model": "m", "messages": [{"role": "user", "content": "one"}]}

{"model": "m", "stream": true, "messages": [{"role": "user", "content": "two"}]}
{"path": "/v1/messages", "body": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "three"}]}}
"""


class Commands(Against):
    toml = '[cache]\nenabled = true\n[models.m]\ntargets = ["mock/x"]\n'

    def setUp(self) -> None:
        super().setUp()
        self.secret = self.key("app")["key"]
        os.environ["LLMEDGE_KEY"] = self.secret

    def file(self, text: str) -> str:
        path = Path(self.mktemp())
        path.write_text(text)
        return str(path)

    def found(self, text: str) -> str:
        body = CHAT | {"model": "m", "messages": [{"role": "user", "content": text}]}
        return self.edge.ask(body=body, headers={"x-api-key": self.secret}).headers["x-llmedge-cache"]

    def test_warm(self) -> None:
        """As any client would ask: for the scope of the key it is asked with."""
        self.assertEqual(self.run_("cache", "warm", self.file(WARM)), "3 questions were asked.\n")
        self.assertEqual([self.found("one"), self.found("four")], ["HIT", "MISS"])
        self.assertRegex(self.run_("cache", "stats"), r"entries +4\n")

    def test_what_cannot_be_asked(self) -> None:
        """Stops there, and says where; what went before is kept."""
        for text, problem in (
            (WARM + '{"model": "none", "messages": []}\n', r"line 4: .*does not exist.* \(3 of 4 were asked\)"),
            ("[]\n", "line 1 is no object"),
            ("{\n", "Expecting"),
        ):
            self.assertRegex(self.run_("cache", "warm", self.file(text), status=1), problem)
        self.assertIn("No such file", self.run_("cache", "warm", "not-there.jsonl", status=1))

    def test_purge(self) -> None:
        self.run_("cache", "warm", self.file(WARM))
        self.assertEqual(self.run_("cache", "purge", "--model", "other"), "model:other is forgotten.\n")
        self.assertEqual(self.found("one"), "HIT")
        self.assertEqual(self.run_("cache", "purge", "--key", "app")[:4], "scop")
        self.assertEqual(self.found("one"), "MISS")
        self.assertEqual(self.run_("cache", "purge", "--all"), "all is forgotten.\n")
        for said in ((), ("--all", "--model", "m")):
            self.assertIn("say what: --scope", self.run_("cache", "purge", *said, status=1))

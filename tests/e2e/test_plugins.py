"""The plugin of ``docs/plugins.rst``, as it stands there, in a real ``twist llmedge``."""

from __future__ import annotations

import hmac
import os
import re
import textwrap
from pathlib import Path
from typing import Any

import anthropic
import openai
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.e2e.service import PYTHONPATH, ROOT, TIMEOUT, Gateway
from tests.e2e.vendor import ANSWER, Asked, Vendor
from tests.folders import new_folder

SECRET = "canary-acme-secret"
ASK: dict[str, Any] = {"messages": [{"role": "user", "content": "hello"}], "max_tokens": 9}


def block(language: str) -> str:
    """The first block of ``language`` on the page."""
    page = (Path(ROOT) / "docs" / "plugins.rst").read_text()
    found = re.search(rf"\.\. code-block:: {language}\n\n((?: {{4}}.*\n|\n)+)", page)
    assert found is not None
    return textwrap.dedent(found[1])


def acme(asked: Asked) -> None:
    """Refuses what is not signed."""
    if asked.headers.get("x-acme-signature") == hmac.new(SECRET.encode(), asked.body, "sha256").hexdigest():
        asked.connection.answer(200, ANSWER)
    else:
        asked.connection.answer(400, {"error": {"message": f"not signed with {SECRET}"}})


class Plugins(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        folder = new_folder() / "llmedge" / "plugins"
        folder.mkdir(parents=True)
        (folder / "acme.py").write_text(block("python"))
        self.path = f"{folder.parent.parent}{os.pathsep}{PYTHONPATH}"

    async def check(self, toml: str) -> str:
        """What ``--check`` says of a configuration that is not good."""
        gateway = Gateway(toml, {"PYTHONPATH": self.path, "ACME_SECRET": SECRET}, arguments=("--check",))
        gateway.process.ready.addErrback(lambda failure: None)  # it never is
        gateway.launch()
        self.assertEqual(await gateway.process.ended, 1)
        self.assertNotIn("Traceback", gateway.process.err)
        return gateway.process.err

    async def test_the_example(self) -> None:
        """Each client is answered, each body signed."""
        vendor = Vendor(acme)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        toml = block("toml").replace("https://api.acme.example", f"http://127.0.0.1:{vendor.port}")
        gateway = Gateway(toml, {"PYTHONPATH": self.path, "ACME_SECRET": SECRET})
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        await gateway.start()

        def work() -> None:
            with openai.OpenAI(base_url=f"{gateway.url}/v1", api_key="x", max_retries=0) as client:
                answer = client.chat.completions.create(model="acme-1", **ASK)
                self.assertEqual(answer.choices[0].message.content, "hello")
            with anthropic.Anthropic(base_url=gateway.url, api_key="x", max_retries=0) as client:
                self.assertEqual(client.messages.create(model="acme/any", **ASK).content[0].text, "hello")

        await deferToThread(work)
        self.assertEqual(len(vendor.asked), 2)
        self.assertNotIn(SECRET, gateway.process.out)

    async def test_what_is_wrong(self) -> None:
        """The plugin's own words with the line of the file; a vendor nobody knows is told the plugins there are."""
        toml, line = block("toml"), 'secret = "env:ACME_SECRET"\n'
        self.assertIn(":1: providers.acme needs secret", await self.check(toml.replace(line, "")))
        self.assertIn(":5: providers.acme.secret must be a text", await self.check(toml.replace(line, "secret = 5\n")))
        text = await self.check(toml.replace("secret =", "secrets ="))
        self.assertIn(":5: providers.acme.secrets is not a setting; did you mean 'secret'?", text)
        text = await self.check('[providers.p]\nvendor = "acmee"\n')
        self.assertIn("is not in the catalogue, and no plugin: 'acmee'; did you mean 'acme'? (plugins: acme)", text)
        text = await self.check('[providers.p]\nvendor = "zzz"\n')
        self.assertIn("(plugins: acme)", text)
        text = await self.check('[providers.groq]\nsecret = "a"\n')
        self.assertIn(':2: providers.groq.secret is for the vendor "acme" only', text)

    async def test_one_that_cannot_be_imported(self) -> None:
        """Its own mistake is said, without a traceback, and nothing is written beside it; else, where it would be
        found."""
        folder = Path(self.path.partition(os.pathsep)[0]) / "llmedge" / "plugins"
        toml = '[providers.p]\nvendor = "acme"\nbase_url = "http://h/v1"\n'
        (folder / "acme.py").write_text("class Acme(:\n")
        text = await self.check(toml)
        self.assertIn("no plugin: 'acme'", text)
        self.assertRegex(text, r"; the plugin acme cannot be imported: SyntaxError: .*acme\.py, line 1")
        (folder / "acme.py").write_text("import nothing_like_that\n")
        text = await self.check(toml)
        self.assertIn("the plugin acme cannot be imported: ModuleNotFoundError: No module named 'nothing_like_", text)
        (folder / "acme.py").unlink()
        text = await self.check(toml)
        self.assertIn(f"looked for in llmedge/plugins of each directory on PYTHONPATH, which is {folder}", text)
        self.assertEqual([each.name for each in folder.iterdir() if each.name != "__pycache__"], [])

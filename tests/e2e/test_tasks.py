"""The pages by task, done as they say."""

from __future__ import annotations

import hashlib
import re
import shlex
import signal
import textwrap
from pathlib import Path
from typing import Any

import treq
import yaml
from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.service import ROOT, TIMEOUT, Gateway, until
from tests.e2e.tools import find, run
from tests.folders import new_folder

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n[prices."m/*"]\ninput = 1000\noutput = 1000\n'


def examples(page: str, language: str) -> list[str]:
    """The blocks of code of one language on a page."""
    text = (Path(ROOT) / "docs" / f"{page}.rst").read_text()
    return [
        textwrap.dedent(block) for block in re.findall(rf"\.\. code-block:: {language}\n\n((?:(?: {{4}}.*)?\n)+)", text)
    ]


class Task(TestCase):
    timeout = TIMEOUT

    async def begin(self, toml: str) -> Gateway:
        self.gateway = gateway = await Gateway(toml).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    async def ask(self, model: str = "x", key: str = "", **more: Any) -> Any:
        """The answer's status and headers, once its access line is written."""
        lines = len(self.gateway.access())
        body = {"model": model, "messages": [{"role": "user", "content": "Hello!"}]} | more
        headers = {"authorization": f"Bearer {key}"} if key else {}
        response = await treq.post(
            f"{self.gateway.url}/v1/chat/completions", json=body, headers=headers, persistent=False
        )
        text = await response.text()
        await until(lambda: len(self.gateway.access()) > lines, "the access line")
        return response.code, response.headers.getRawHeaders("x-llmedge-attempts", ["0"])[0], text

    async def reload(self, toml: str) -> None:
        """Changes the file and says so."""
        count = self.gateway.process.out.count("was read again")
        self.gateway.write(toml)
        self.gateway.process.transport.signalProcess(signal.SIGHUP)  # type: ignore[union-attr]
        await until(lambda: self.gateway.process.out.count("was read again") > count, "the reload")


class Keys(Task):
    def adapted(self, example: str) -> str:
        """The page's keys are those of this test, and the vendor is the mock."""
        for number, name in enumerate(dict.fromkeys(re.findall(r"sha256:[0-9a-f]{64}", example))):
            digest = hashlib.sha256(f"key-{number}".encode()).hexdigest()
            example = example.replace(name, f"sha256:{digest}")
        return example.partition("[providers")[0] + MOCK.replace('"*"]', '"*", "gpt-*"]', 1)

    async def test_rotate(self) -> None:
        """Both keys are good for a while; what is taken away is a 401 from then on."""
        give, rotate, _ = map(self.adapted, examples("keys", "toml"))
        await self.begin(give)
        self.assertEqual([(await self.ask("gpt-4o", f"key-{n}"))[0] for n in (0, 1)], [200, 401])
        self.assertEqual((await self.ask("other", "key-0"))[0], 403)
        await self.reload(rotate)
        self.assertIn("auth.keys: changed", self.gateway.process.out)
        self.assertEqual([(await self.ask("gpt-4o", f"key-{n}"))[0] for n in (0, 1)], [200, 200])
        first, second = re.findall(r"\[\[auth.keys\]\]\n[^\[]+", rotate)
        await self.reload(rotate.replace(first, ""))
        self.assertEqual([(await self.ask("gpt-4o", f"key-{n}"))[0] for n in (0, 1)], [401, 200])
        self.assertEqual([line["caller"] for line in self.gateway.access()][-1], "team-a.2")
        self.assertIn('name = "team-a.2"', second)

    async def test_a_file(self) -> None:
        """What is written into the file counts, without a signal."""
        file = new_folder() / "team-a"
        file.write_text("old")
        await self.begin(f'[[auth.keys]]\nname = "a"\nkey = "file:{file}"\n{MOCK}')
        self.assertEqual([(await self.ask(key=key))[0] for key in ("old", "new")], [200, 401])
        file.write_text("new")
        while (await self.ask(key="new"))[0] != 200:
            pass
        self.assertEqual((await self.ask(key="old"))[0], 401)


class Tls(Task):
    async def asked(self, gateway: Gateway, command: str, folder: Path) -> str:
        """What a page's curl says of ``gateway``."""
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        await gateway.start()
        output = await run(*shlex.split(command.replace("8443", str(gateway.port))), folder=folder)
        self.assertEqual(output.code, 0, output.err)
        return output.out

    async def test_a_certificate_of_ones_own(self) -> None:
        """It is made, served by flag and by variables, trusted by who has it, and HTTP/2 is agreed on."""
        find("openssl"), find("curl")
        make, serve, ask, variables, http2 = (text.replace("\\\n", " ").strip() for text in examples("tls", "shell"))
        folder = new_folder()
        self.assertEqual((await run(*shlex.split(make), folder=folder)).code, 0)
        port = serve.rpartition(" ")[2].replace("8443", "0").replace("=key", f"={folder}/key")
        flags = ("--port", port.replace("=cert", f"={folder}/cert"))
        self.assertIn('"object":"list"', await self.asked(Gateway(arguments=flags), ask, folder))
        environ = dict(re.findall(r"(\w+)=(\S+)", variables.replace("=cert", f"={folder}/cert").replace("8443", "0")))
        environ["TLS_KEY_PATH"] = f"{folder}/key.pem"
        self.assertEqual(await self.asked(Gateway(environ=environ, arguments=()), http2, folder), "2\n")


class Rehearsal(Task):
    async def test_an_error(self) -> None:
        """The next target answers, the failing one is left alone after five, and asked again when it is well."""
        toml, *_ = examples("rehearse", "toml")
        await self.begin(toml)
        seen = [(await self.ask("smart"))[:2] for _ in range(6)]
        self.assertEqual(seen, [(200, "2")] * 5 + [(200, "1")])
        response = await treq.get(f"{self.gateway.url}/metrics", persistent=False)
        self.assertIn('llm_deployment_state{deployment="first/gpt-4o"} 2.0', await response.text())
        self.assertIn("first/gpt-4o is left alone: 5 in a row failed", self.gateway.process.out)
        await self.reload(toml.replace('"status"', '"none"'))
        while "first/gpt-4o is asked again" not in self.gateway.process.out:
            self.assertEqual((await self.ask("smart"))[0], 200)

    async def test_a_stream_that_breaks(self) -> None:
        """It goes on at the next target; without one the client is told."""
        _, toml, _ = examples("rehearse", "toml")
        await self.begin(toml)
        _, _, whole = await self.ask("smart", stream=True)
        self.assertIn("data: [DONE]", whole)
        self.assertNotIn('"error"', whole)
        lines = len(self.gateway.access())
        response = await treq.post(
            f"{self.gateway.url}/v1/chat/completions",
            json={"model": "alone", "stream": True, "messages": [{"role": "user", "content": "Hello!"}]},
            persistent=False,
        )
        pieces: list[bytes] = []
        broken = treq.collect(response, pieces.append)
        await broken.addErrback(lambda failure: pieces.append(b"unfinished"))
        text = b"".join(pieces).decode()
        self.assertIn('"error"', text)
        self.assertIn("unfinished", text)
        self.assertNotIn("[DONE]", text)
        await until(lambda: len(self.gateway.access()) > lines, "the access line")


class Answers(Task):
    async def jq(self, script: str) -> list[str]:
        """What a command of a page says of this gateway's log."""
        arguments = re.match(r"journalctl .*? \| jq (-\w+)((?: --arg \w+ \w+)?) '(.*)'\n", script, re.S)
        assert arguments is not None, script
        options, more, program = arguments.groups()
        log = self.gateway.process.out.encode()
        output = await run("jq", options, *more.split(), program, stdin=log)
        self.assertEqual((output.err, output.code), ("", 0))
        return output.out.splitlines()

    async def test_spend(self) -> None:
        """The sums by caller and model, and by the vendor's model, are those of the answers."""
        find("jq")
        await self.begin(MOCK + '[models.smart]\ntargets = ["m/a"]\n[[auth.keys]]\nname = "team-a"\nkey = "k"\n')
        for model in ("smart", "smart", "m/b"):
            self.assertEqual((await self.ask(model, "k"))[0], 200)
        await self.ask("smart", "wrong")
        each = self.gateway.access()[0]["cost_usd"]
        by_caller, by_target = [await self.jq(script) for script in examples("spend", "shell")]
        for lines, expected in (
            (by_caller, {"team-a smart": 2 * each, "team-a m/b": each}),
            (by_target, {"m/a": 2 * each, "m/b": each}),
        ):
            found = {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines)}
            self.assertEqual(set(found), set(expected))
            for name, value in expected.items():
                self.assertAlmostEqual(found[name], value)

    async def test_why(self) -> None:
        """A call's line as a story: who was asked, what went wrong, and who was not asked."""
        find("jq")
        toml, *_ = examples("rehearse", "toml")
        await self.begin(toml)
        for _ in range(6):
            await self.ask("smart")
        ids = [line["request_id"] for line in self.gateway.logs() if line["target"] == "llmedge.access"]
        (script,) = examples("why", "shell")
        first, last = [await self.jq(script.replace("req_bd45", each)) for each in (ids[0], ids[-1])]
        self.assertRegex(
            first[0], r"^first/gpt-4o first status status_503 [\d.]+ ms The provider 'first' is not available"
        )
        self.assertRegex(first[1], r"^second/gpt-4o next ok  [\d.]+ ms ")
        self.assertEqual(last[0], "first/gpt-4o was not asked: breaker: 5 in a row failed")

    async def test_queries(self) -> None:
        """They are PromQL, on metrics that there are."""
        find("promtool")
        page = [line for name in ("spend", "why") for block in examples(name, "promql") for line in block.splitlines()]
        queries = [line for line in page if line]
        self.assertGreater(len(queries), 5)
        rules = [{"record": f"page:{number}", "expr": query} for number, query in enumerate(queries)]
        folder = new_folder()
        (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "pages", "rules": rules}]}))
        output = await run("promtool", "check", "rules", "rules.yml", folder=folder)
        self.assertEqual((output.code, output.err), (0, ""))
        await self.begin(MOCK)
        response = await treq.get(f"{self.gateway.url}/metrics", persistent=False)
        exposed = set(re.findall(r"# TYPE (\w+)", await response.text()))
        asked = {name for query in queries for name in re.findall(r"llm_\w+", query)}
        self.assertEqual(asked - exposed, set())

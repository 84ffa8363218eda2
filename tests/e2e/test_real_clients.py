"""Real clients, typed and strict → a real ``twist llmedge`` → vendors in each dialect (aimock), and our mock."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import SkipTest, TestCase

from tests.e2e.aimock import VENDORS, Aimock
from tests.e2e.service import CANARY_KEY, PYTHONPATH, ROOT, TIMEOUT, Gateway, LlamaServer
from tests.e2e.tools import find, node_module

MODELS = ("m-mock", *(f"m-{name}" for name in VENDORS if name not in ("azure", "ollama")))
"""One of each dialect."""
CLIENTS = Path(__file__).parent / "clients"
KEY = f'[[auth.keys]]\nname = "tests"\nkey = "{CANARY_KEY}"\n'
MOCK = '[providers.mock]\ndialect = "mock"\n[models.m-mock]\ntargets = ["mock/m"]\n'
CALM = "[routing]\nretries = 0\nbreaker_failures = 1000\nbreaker_rate = 2\nadaptive = false\n"
"""The rehearsed failures are the answers here, not a reason to leave the vendor alone."""


def llama(server: LlamaServer) -> str:
    """The server with all its dialects, with chat only, and with messages only."""
    at = f'vendor = "llamacpp"\nbase_url = "http://127.0.0.1:{server.port}/v1"\n'
    only = {"llama": "", "llama-chat": 'dialect = "openai"\n', "llama-messages": 'dialect = "anthropic"\n'}
    return "".join(
        f'[providers.{name}]\n{at}{dialect}[models.m-{name}]\ntargets = ["{name}/tiny"]\n'
        for name, dialect in only.items()
    )


class RealClients(TestCase):
    """Each client asks every model the same, whole and streamed, with tools: no unknown field, no warning."""

    timeout = TIMEOUT

    async def setUp(self) -> None:
        self.aimock = await Aimock().start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.aimock.stop()))
        self.llama = await LlamaServer().start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.llama.stop()))
        self.gateway = await Gateway(KEY + MOCK + llama(self.llama) + self.aimock.toml + CALM).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(self.gateway.stop()))

    async def client(self, program: str, *arguments: str, **environ: str) -> str:
        """Run a client to its end. It fails by itself; what it prints on stderr is a warning."""
        env: dict[str, Any] = {"PATH": os.environ.get("PATH", os.defpath), "PYTHONPATH": PYTHONPATH} | environ
        given = (*arguments, self.gateway.url, CANARY_KEY, *MODELS)
        out, err, code = await getProcessOutputAndValue(program, given, env=env, path=ROOT)
        self.assertFalse(err or code, err.decode())
        return str(out.decode().strip())

    async def python(self, script: str, **environ: str) -> str:
        return await self.client(sys.executable, "-m", f"tests.e2e.clients.{script}", **environ)

    async def test_openai(self) -> None:
        version = await self.python("openai_sdk")
        self.assertEqual(version.partition(".")[0], "3")

    async def test_openai_2(self) -> None:
        older = Path(ROOT) / ".venv" / "openai2"
        if not older.exists():
            raise SkipTest("openai 2.x is not in .venv/openai2: make test puts it there")
        version = await self.python("openai_sdk", PYTHONPATH=f"{older}{os.pathsep}{PYTHONPATH}")
        self.assertEqual(version.partition(".")[0], "2")

    async def test_anthropic(self) -> None:
        await self.python("anthropic_sdk")

    async def test_google_genai(self) -> None:
        await self.python("google_sdk")

    async def test_langchain_openai(self) -> None:
        await self.python("langchain_sdk")

    async def test_npm_openai(self) -> None:
        await self.node("openai")

    async def test_npm_anthropic(self) -> None:
        await self.node("@anthropic-ai/sdk")

    async def node(self, package: str) -> None:
        modules = node_module(package).removesuffix(f"/{package}")
        script = CLIENTS / f"{package.strip('@').partition('-')[0].partition('/')[0]}_sdk.mjs"
        await self.client(find("node"), str(script), modules)

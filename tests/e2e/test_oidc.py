"""Tokens of a real OpenID provider: npm's oidc-provider."""

from __future__ import annotations

import json
from base64 import b64encode
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from tests.e2e.client import Client
from tests.e2e.service import PATIENCE, TIMEOUT, Gateway, Process, free_port, until
from tests.e2e.tools import find, node_module
from tests.fakes import CHAT, Response, request
from tests.folders import new_folder

HERE = "https://llm.example.com"


@attrs.define
class Provider:
    """The process."""

    process: Process = attrs.field(factory=lambda: Process("listening"))
    port: int = attrs.field(factory=free_port)

    async def start(self) -> Provider:
        modules = str(Path(node_module("oidc-provider/package.json")).parents[2])
        script = str(Path(__file__).parent / "clients" / "oidc_provider.mjs")
        self.process.start([find("node"), script, modules, str(self.port)], {})
        await self.process.ready
        return self

    @property
    def issuer(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def token(self, algorithm: str, audience: str = HERE, client: str = "batch") -> str:
        """A token for ``audience``, by the client credentials grant (RFC 6749 section 4.4, RFC 8707)."""
        form = {"grant_type": "client_credentials", "scope": "chat", "resource": f"{audience}/{algorithm}"}
        login = b64encode(f"{client}:secret-of-{client}".encode()).decode()
        asking = Request(f"{self.issuer}/token", urlencode(form).encode(), {"authorization": f"Basic {login}"})

        def work() -> str:
            with urlopen(asking, timeout=PATIENCE) as answer:
                found: str = json.load(answer)["access_token"]
                return found

        return await deferToThread(work)


class OpenId(TestCase):
    timeout = TIMEOUT

    async def begin(self, toml: str, mapping: str = "") -> tuple[Provider, Gateway]:
        provider = Provider()
        await provider.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(provider.process.stop()))
        toml += f'[[auth.jwt]]\nissuer = "{provider.issuer}"\naudience = "{HERE}"\n{mapping}'
        gateway = Gateway(toml)
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        await until(lambda: "are here" in gateway.process.out, "the issuer's keys")
        return provider, gateway

    async def ask(self, gateway: Gateway, token: str = "", path: str = "", **more: Any) -> Response:
        client = await Client.connect(gateway.port)
        headers = {"authorization": f"Bearer {token}"} if token else {}
        client.send(request("GET", path, headers=headers) if path else request(body=CHAT, headers=headers))
        response = await client.response()
        client.leave()
        return response

    async def test_callers(self) -> None:
        """In each algorithm; the subject is the caller's name, and this machine is nobody by itself any more. What it
        signs for others is none, nor what was changed; and its tokens go on while it is away."""
        provider, gateway = await self.begin("")
        tokens = [await provider.token(algorithm) for algorithm in ("RS256", "ES256", "EdDSA")]
        for token in tokens:
            self.assertEqual((await self.ask(gateway, token)).status, 200)
        await until(lambda: gateway.process.out.count('"caller":"batch"') >= 3, "the caller's name in the log")
        self.assertEqual((await self.ask(gateway)).status, 401)
        refused = await self.ask(gateway, await provider.token("RS256", "https://other.example.com"))
        self.assertIn("audience", refused.error["message"])
        head, claims, signature = tokens[0].split(".")
        other = (await provider.token("RS256", client="root")).split(".")
        for token in (f"{head}.{other[1]}.{signature}", f"{head}.{claims}.{other[2]}", f"{head}.{claims}."):
            refused = await self.ask(gateway, token)
            self.assertIn("signature", refused.error["message"])
        late = await provider.token("ES256")
        await provider.process.stop()
        self.assertEqual((await self.ask(gateway, late)).status, 200)
        self.assertNotIn(signature, gateway.process.out + gateway.process.err)

    async def test_roles(self) -> None:
        """A role in the token may be one here: an administrator without a key."""
        store = f'[store]\nurl = "sqlite:{new_folder()}/llmedge.db"\n'
        mapping = 'claims = {team = "groups", roles = "groups"}\nrole_map = {platform = "admin"}\n'
        provider, gateway = await self.begin(store, mapping)
        root, batch = [await provider.token("ES256", client=each) for each in ("root", "batch")]
        self.assertEqual((await self.ask(gateway, root, "/admin/v1/teams")).status, 200)
        self.assertEqual((await self.ask(gateway, batch, "/admin/v1/teams")).status, 403)
        self.assertEqual((await self.ask(gateway, path="/admin/v1/teams")).status, 401)

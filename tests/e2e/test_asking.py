"""``--check --ask``: what vendors say to the gateway's key, path and connection, for operators."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.certificates import Authority
from tests.e2e.service import CANARY_VENDOR, TIMEOUT, Gateway
from tests.e2e.vendor import Asked, Vendor

MODELS: dict[str, Any] = {"object": "list", "data": [{"id": "one"}, {"id": "two"}]}


class Asking(TestCase):
    timeout = TIMEOUT

    async def check(self, toml: str) -> tuple[int, dict[str, str], str]:
        """Exit code, provider → what is said of it, and all that was written."""
        gateway = Gateway(toml, arguments=("--check", "--ask"))
        gateway.process.ready.addErrback(lambda failure: None)  # it never is
        gateway.launch()
        code = await gateway.process.ended
        lines = [line.removeprefix("asked ") for line in gateway.process.out.splitlines() if line.startswith("asked ")]
        return code, dict(line.split(": ", 1) for line in lines), gateway.process.out + gateway.process.err

    async def test_what_each_says(self) -> None:
        """One line each, in their order; the exit code is 1 where one could not be used."""

        def script(asked: Asked) -> None:
            path = asked.line.split()[1]
            if path == "/v1/models" and CANARY_VENDOR in asked.headers.get("authorization", ""):
                asked.connection.answer(200, MODELS)
            elif path == "/v1/models":
                asked.connection.answer(401, {"error": {"message": f"wrong: {asked.headers.get('authorization')}"}})
            elif path == "/busy/models":
                asked.connection.answer(503, {})
            elif path == "/strange/models":
                asked.connection.answer(200, {"hello": 1})
            else:
                asked.connection.answer(404, {"detail": "Not Found"})

        vendor = Vendor(script)
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        at = f"http://127.0.0.1:{vendor.port}"
        rows = {
            "good": (
                f'base_url = "{at}/v1"\napi_key = "{CANARY_VENDOR}"',
                "reachable, 2 models; not in its list:",
            ),
            "bad": (f'base_url = "{at}/v1"\napi_key = "canary-bad"', "reachable, key refused (status 401)"),
            "none": (f'base_url = "{at}/v1"', "reachable, and wants a key (status 401): it has no api_key"),
            "path": (f'base_url = "{at}/v2"', "reachable, path wrong: no list of models there (status 404); check its"),
            "busy": (f'base_url = "{at}/busy"', "reachable, but it answers with status 503"),
            "strange": (f'base_url = "{at}/strange"', "sent something else than a list of models"),
            "refused": ('base_url = "http://127.0.0.1:1/v1"', "could not be reached: connection refused"),
            "azure": (f'base_url = "{at}"\napi_key = "k"', "reachable (status 404); it has no list of models"),
            "rehearsal": ('dialect = "mock"', "answers by itself, nobody is asked"),
        }
        toml = "".join(f"[providers.{name}]\n{lines}\n" for name, (lines, _) in rows.items())
        models = '[models.m]\ntargets = ["good/one", "good/three", "bad/*"]\n'
        code, said, out = await self.check(toml + models)
        self.assertEqual((code, list(said)), (1, list(rows)), out)
        for name, (_, words) in rows.items():
            self.assertTrue(said[name].startswith(words), (name, said[name]))
        self.assertNotIn("canary", out)

    async def test_all_is_well(self) -> None:
        vendor = Vendor(lambda asked: asked.connection.answer(200, MODELS))
        self.addCleanup(lambda: Deferred.fromCoroutine(vendor.stop()))
        code, said, out = await self.check(f'[providers.v]\nbase_url = "http://127.0.0.1:{vendor.port}/v1"\n')
        self.assertEqual((code, said), (0, {"v": "reachable, 2 models"}), out)

    async def test_tls(self) -> None:
        """A certificate of nobody's; and http to a port that speaks TLS."""
        cert, key = Authority().issue("server", "localhost")
        keys = f"privateKey={key}:certKey={cert}"
        other = await Gateway("", arguments=("--port", f"ssl:0:interface=127.0.0.1:{keys}")).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(other.stop()))
        row = '[providers.{}]\nbase_url = "{}://localhost:{}/v1"\n'.format
        code, said, out = await self.check(row("v", "https", other.port) + row("plain", "http", other.port))
        self.assertEqual(code, 1, out)
        self.assertIn("could not be reached: TLS failed", said["v"])
        self.assertIn("ca_file", said["v"])
        self.assertTrue(said["plain"].endswith("; is it https there?"), said["plain"])

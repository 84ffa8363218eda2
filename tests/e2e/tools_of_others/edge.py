"""A gateway for programs that others wrote."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.e2e.certificates import Authority
from tests.e2e.service import PATIENCE, TIMEOUT, Gateway
from tests.e2e.tools import Output, run
from tests.folders import new_folder

MOCK = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
BODY = '{"model":"m","messages":[{"role":"user","content":"hi"}]}'
CHAT = ("-H", "content-type: application/json", "-d", BODY)
PATH = "/v1/chat/completions"


class Edge(TestCase):
    timeout = TIMEOUT

    def setUp(self) -> None:
        self.folder = new_folder()

    async def program(self, name: str, *arguments: str, stdin: bytes = b"") -> Output:
        """Run a program in the test's folder."""
        return await run(name, *arguments, stdin=stdin, folder=self.folder)

    async def begin(self, toml: str = MOCK, port: str = "tcp:0:interface=127.0.0.1", **environ: str) -> Gateway:
        gateway = Gateway(toml, environ, ("--port", port))
        await gateway.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))
        return gateway

    async def begin_tls(self) -> Gateway:
        self.authority = Authority()
        cert, key = self.authority.issue("server", "localhost")
        return await self.begin(port="ssl:0:interface=127.0.0.1", TLS_CERT_PATH=cert, TLS_KEY_PATH=key)

    async def curl(self, *arguments: str, cut: bool = False) -> tuple[int, dict[str, str], str]:
        """Status, headers and body of the last answer, whatever its status. With ``cut`` the body may be cut short."""
        result = await self.program("curl", "-sS", "--max-time", str(PATIENCE), "-D", "headers", *arguments)
        if not (cut and result.code == 18):
            self.assertEqual((result.code, result.err), (0, ""))
        top = (self.folder / "headers").read_text().strip().replace("\r\n", "\n").split("\n\n")[-1]
        line, *fields = top.split("\n")
        headers = {name.lower(): value for name, _, value in (field.partition(": ") for field in fields)}
        return int(line.split(" ")[1]), headers, result.out

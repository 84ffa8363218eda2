"""Starting, checking and stopping, as an operator does it."""

from __future__ import annotations

import json
import os
import signal
import socket
from typing import Any

import treq
from twisted.internet.defer import Deferred, gatherResults
from twisted.trial.unittest import TestCase

from llmedge import __version__
from tests.e2e.certificates import Authority
from tests.e2e.service import PYTHONPATH, ROOT, TIMEOUT, Gateway, Process, command, until
from tests.fakes import request
from tests.folders import new_folder


class CommandLine(TestCase):
    timeout = TIMEOUT

    async def run_it(
        self, *arguments: str, runner: tuple[str, ...] = ("twist",), **environ: str
    ) -> tuple[int, str, str]:
        process = Process(None)
        process.ready.addErrback(lambda _: None)
        process.start(
            [command(runner[0]), *runner[1:], "llmedge", *arguments], {"PYTHONPATH": PYTHONPATH} | environ, ROOT
        )
        return await process.ended, process.out, process.err

    async def refused(self, words: str, *arguments: str, **environ: str) -> None:
        """Exits with 1, one clear message, no traceback."""
        runners = (("twist",), ("twistd", "-n", "--pidfile="))
        runs = [Deferred.fromCoroutine(self.run_it(*arguments, runner=runner, **environ)) for runner in runners]
        for code, out, err in await gatherResults(runs):
            self.assertEqual(code, 1, err + out)
            self.assertTrue(err.startswith("llmedge: "), err)
            self.assertIn(words, err)
            self.assertNotIn("Traceback", err + out)

    async def daemon_refused(self, words: str, endpoint: str) -> None:
        """Found out after the fork: the command ends with 1 and the message all the same, and leaves no pidfile."""
        for options in ((), ("-n",)):
            folder = new_folder()
            log, pid = folder / "d.log", folder / "d.pid"
            runner = ("twistd", *options, f"--pidfile={pid}", f"--logfile={log}")
            code, out, err = await self.run_it("--port", endpoint, runner=runner)
            self.assertEqual((code, pid.exists()), (1, False), err + out)
            self.assertIn(f"llmedge: cannot listen on {endpoint}: ", err)
            self.assertIn(words, err if options else log.read_text())
            self.assertNotIn("Traceback", err + out + log.read_text())

    async def test_what_cannot_run(self) -> None:
        with socket.socket() as busy:
            busy.bind(("127.0.0.1", 0))
            busy.listen()
            port = busy.getsockname()[1]
            await self.refused("Address already in use", "--port", f"tcp:{port}:interface=127.0.0.1")
            await self.daemon_refused("Address already in use", f"tcp:{port}:interface=127.0.0.1")
        await self.daemon_refused("the directory /nowhere does not exist", "unix:/nowhere/llmedge.sock")
        await self.refused("is not an endpoint", "--port", "nonsense:1")
        await self.refused("TLS_CERT_PATH", "--port", "ssl:0")
        await self.refused("cannot be read", "--port", "ssl:0:privateKey=/nowhere.pem:certKey=/nowhere.pem")
        await self.refused("cannot be read: No such file", "--config", "/nowhere.toml")
        await self.refused("environment variable RATE_LIMIT_RPM must be", RATE_LIMIT_RPM="x")
        await self.refused("there is no argument 'serve'", "serve")
        await self.refused("option --prot not recognized; twist llmedge --help says what there is", "--prot", "80")
        await self.refused("option --port requires argument", "--port")
        await self.refused("--ask goes with --check", "--ask")

    async def test_bad_certificate(self) -> None:
        file = new_folder() / "bad.pem"
        file.write_text("not a certificate")
        bad = str(file)
        await self.refused("not good PEM", "--port", "ssl:0", TLS_CERT_PATH=bad, TLS_KEY_PATH=bad)

    async def test_a_key_of_another_certificate(self) -> None:
        authority = Authority()
        (cert, _), (_, key) = authority.issue("one", "localhost"), authority.issue("two", "localhost")
        said = f"{key} is not the key of {cert}"
        await self.refused(said, "--port", f"ssl:0:privateKey={key}:certKey={cert}")

    async def test_warnings(self) -> None:
        """What is hardly meant is told by ``--check``, at the start and after a reload; it stops nobody."""
        doubtful = '[[auth.keys]]\nname = "a"\nkey = "canary"\n'
        file = new_folder() / "doubtful.toml"
        file.write_text(doubtful)
        code, out, err = await self.run_it("--check", "--config", str(file), OPENAI_KEY="canary-2")
        self.assertEqual((code, err), (0, ""))
        self.assertIn("\nwarning: the variable OPENAI_KEY is set, and nothing reads it: did you mean OPENAI_", out)
        self.assertIn("\nwarning: only the mock provider is on, and answers every model", out)
        self.assertIn(f"\nwarning: {file}:3: auth.keys[0].key is 6 characters long", out)
        self.assertIn("\nconfiguration: good, with 3 warnings\n", out)
        self.assertNotIn("canary", out)
        gateway = await Gateway(doubtful).start()
        self.addCleanup(lambda: Deferred.fromCoroutine(gateway.stop()))

        def warnings() -> list[str]:
            return [line["fields"]["message"] for line in gateway.logs() if line["level"] == "WARN"]

        self.assertEqual(len(warnings()), 2, warnings())
        self.assertEqual([[*line["fields"]] for line in gateway.logs() if line["level"] == "WARN"], [["message"]] * 2)
        gateway.config.write_text(doubtful + "[server]\ntimeout = 9\n")
        os.kill(gateway.process.pid, signal.SIGHUP)
        await until(lambda: "the configuration was read again" in gateway.process.out, "a reload")
        self.assertEqual(len(warnings()), 4, warnings())

    async def test_check(self) -> None:
        """Says what would run, and whether the configuration is good, without listening."""
        good, bad = (new_folder() / name for name in ("good.toml", "bad.toml"))
        good.write_text('[providers.p]\ndialect = "mock"\n[models.m]\ntargets = ["p/x"]\n[cors]\norigins = ["*"]\n')
        code, out, _ = await self.run_it("--check", "--config", str(good), API_KEYS="canary-check")
        self.assertEqual(code, 0)
        for words in ("model m: p/x", "authentication: on, 1 key", "would listen on tcp:8080", "configuration: good"):
            self.assertIn(words, out)
        self.assertNotIn("canary", out)
        order = "compress → access record → cors → authenticate → rate limit → limit concurrency → "
        self.assertIn(f"http: {order}enforce deadline\n", out)
        self.assertIn("call: settle → admit → count tokens → route\n", out)
        _, out, _ = await self.run_it("--check", "--port", "[::1]:8080", "--admin-port", "127.0.0.1:1")
        self.assertIn("would listen on tcp:8080:interface=\\:\\:1\n", out)
        self.assertIn("would listen for operators on tcp:1:interface=127.0.0.1\n", out)
        _, out, _ = await self.run_it("--check", RATE_LIMIT_ENABLED="false")
        self.assertIn("access record → authenticate → limit concurrency", out)
        bad.write_text("[serv]\n[server]\ntimeout = 0\n")
        code, out, err = await self.run_it("--check", "--config", str(bad))
        self.assertEqual(code, 1)
        self.assertIn("bad.toml:1: serv is not a setting; did you mean 'server'?", err)
        self.assertIn("bad.toml:3: server.timeout must be", err)

    async def test_check_shows_keys(self) -> None:
        """By name, with models and limits, and none of them itself."""
        file = new_folder() / "keys.toml"
        key = '[[auth.keys]]\nname = "{}"\nkey = "canary-0123456789-{}"\n'.format
        file.write_text(key("a", 1) + 'models = ["gpt-*", "m/*"]\nrpm = 60\nburst = 5\n' + key("b", 2))
        _, out, _ = await self.run_it("--check", "--config", str(file))
        self.assertIn("\nkey a: models gpt-*, m/*; 60 requests a minute, 5 at once\n", out)
        self.assertIn("\nkey b: models *; no limit of its own\n", out)
        self.assertNotIn("canary", out)

    async def test_schema(self) -> None:
        """Printed without a look at any configuration."""
        code, out, _ = await self.run_it("--schema", LLMEDGE_CONFIG="/nowhere.toml")
        self.assertEqual((code, json.loads(out)["title"]), (0, "llmedge.toml"))

    async def test_migrate(self) -> None:
        """Says what was done, then that nothing is to be; without a store, or where it cannot be, that."""
        url = f"sqlite:{new_folder() / 'llmedge.db'}"
        for words in ("migration 0001 (ledger) is done", "the database is of this release"):
            code, out, err = await self.run_it("--migrate", LLMEDGE_STORE=url)
            self.assertEqual((code, err), (0, ""))
            self.assertIn(words, out)
        await self.refused("there is no store", "--migrate")
        away = "postgresql://anna:s3cret@127.0.0.1:1/x"
        await self.refused("Connection refused", "--migrate", LLMEDGE_STORE=away)
        code, out, err = await self.run_it("--migrate", DATABASE_URL=away)
        self.assertEqual((code, "s3cret" in out + err, "Connection refused" in err), (1, False, True))

    async def test_version_and_help(self) -> None:
        code, out, _ = await self.run_it("--version")
        self.assertEqual((code, out), (0, f"llmedge {__version__}\n"))
        code, out, _ = await self.run_it("--help")
        self.assertEqual(code, 0)
        self.assertIn("--check", out)

    async def test_banner(self) -> None:
        """The log's first lines say what runs and why nobody else is let in."""
        gateway = await Gateway().start()
        messages = [line["fields"]["message"] for line in gateway.logs()]
        await gateway.stop()
        text = "\n".join(messages)
        for words in (f"llmedge {__version__}", "only the mock provider is on", "no keys configured", "listening on"):
            self.assertIn(words, text)
        self.assertNotIn("\x1e", gateway.process.out)

    async def test_several_ports(self) -> None:
        path = new_folder() / "edge.sock"
        gateway = await Gateway(arguments=("--port", "tcp:0:interface=127.0.0.1", "-p", f"unix:{path}")).start()
        self.assertTrue(path.exists())
        await gateway.stop()

    async def test_twistd(self) -> None:
        """``twistd -n llmedge`` serves and logs the same JSON lines."""
        gateway = await Gateway(runner=("twistd", "-n", "--pidfile=")).start()
        response = await treq.get(f"{gateway.url}/health", persistent=False)
        self.assertEqual(response.code, 200)
        await response.text()
        self.assertEqual(gateway.logs()[0]["level"], "INFO")
        await gateway.stop()

    async def test_debug_namespaces(self) -> None:
        """LOG_FILTER changes what is logged: health checks only at debug."""
        for level, count in (("debug", 1), ("info", 0)):
            gateway = await Gateway(environ={"LOG_LEVEL": "info", "LOG_FILTER": f"llmedge.access={level}"}).start()
            await treq.content(await treq.get(f"{gateway.url}/health", persistent=False))
            await gateway.stop()
            lines = [line for line in gateway.logs() if line["target"] == "llmedge.access"]
            self.assertEqual(len(lines), count)

    async def test_daemon(self) -> None:
        """As a daemon it still logs, and writes calls down: their threads start after the fork."""
        folder = new_folder()
        store = folder / "llmedge.db"
        log, pid = folder / "d.log", folder / "d.pid"
        code, _, err = await self.run_it(
            "--port",
            f"unix:{folder / 'daemon.sock'}",
            runner=("twistd", f"--pidfile={pid}", f"--logfile={log}"),
            LLMEDGE_STORE=f"sqlite:{store}",
        )
        self.assertEqual(code, 0, err)
        await until(lambda: log.exists() and '"message":"listening on' in log.read_text(), "a JSON log line")
        await until(lambda: "migration 0001" in log.read_text(), "the store")
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(folder / "daemon.sock"))
            client.sendall(request(body={"model": "mock/mock", "messages": [{"role": "user", "content": "hi"}]}))
            self.assertIn(b" 200 ", client.recv(100))
        await until(lambda: [*folder.glob("llmedge-*.db")], "the month of the row")
        os.kill(int(pid.read_text()), signal.SIGTERM)
        await until(lambda: not pid.exists(), "the end of the daemon")


class Stop(TestCase):
    async def test_sigterm(self) -> None:
        gateway = await Gateway().start()
        gateway.process.transport.signalProcess(signal.SIGTERM)  # type: ignore[union-attr]
        ended: Deferred[Any] = gateway.process.ended
        await ended

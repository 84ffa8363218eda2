"""The command, as people type it, against the admin API in memory."""

from __future__ import annotations

import contextlib
import io
import json
import os
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.error import HTTPError

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cli import client, main
from tests.admin.administration import ADMIN, Administration

FILE = """
[teams.red]
rpm = 100
budgets = [{amount = 5, period = "month"}]
[keys.app]
team = "red"
models = ["mock/*"]
expires = 2099-01-01T00:00:00Z
[roles.clerk]
permissions = ["keys:read"]
"""


class Running:
    """Runs the command."""

    def run_(self, *arguments: str, status: int = 0) -> str:
        """What a command prints, or where it fails, its message."""
        out, errors = io.StringIO(), io.StringIO()
        with contextlib.redirect_stderr(errors):
            found = main.main(arguments, out)
        assert found == status, errors.getvalue()
        return errors.getvalue() if status else out.getvalue()


class Against(Running, Administration):
    """A gateway in memory."""

    def setUp(self) -> None:
        super().setUp()
        self.patch(client, "build_opener", lambda *handlers: self)
        self.patch(os, "environ", {**os.environ, "LLMEDGE_ADMIN_KEY": ADMIN, "LLMEDGE_URL": "http://gw:1"})

    def open(self, request: Any, timeout: float) -> Any:
        """What urllib's opener does, without a network."""
        path = request.full_url.removeprefix("http://gw:1")
        headers = {name.lower(): value for name, value in request.header_items()}
        body = None if request.data is None else json.loads(request.data)
        answer = self.edge.ask(request.get_method(), path, body, headers=headers)
        if answer.status >= 400:
            raise HTTPError(path, answer.status, "", {}, io.BytesIO(answer.body))  # type: ignore[arg-type]
        return contextlib.closing(io.BytesIO(answer.body))


class Command(Against):
    def test_a_keys_life(self) -> None:
        options = ["--models", "mock/*", "--rpm", "50", "--budget", "5/day", "--tags", "a,b"]
        made = self.run_("key", "create", "app", *options)
        secret = made.splitlines()[0]
        self.assertEqual(self.chat(secret).status, 200)
        self.assertRegex(self.run_("key", "list"), r"app +key_\w+ +- +active +mock/\* +50 +- +5/day")
        shown = self.run_("key", "show", "app")
        self.assertIn('tags        ["a", "b"]', shown)
        self.assertNotIn(secret, shown)
        rotated = self.run_("key", "rotate", "app", "--grace", "0").splitlines()[0]
        self.assertEqual(self.chat(rotated).status, 200)
        self.run_("key", "disable", "app")
        self.assertEqual(self.chat(rotated).status, 403)
        self.run_("key", "enable", "app")
        self.assertEqual(self.chat(rotated).status, 200)
        self.assertIn("is deleted", self.run_("key", "delete", "app"))
        self.assertEqual(self.chat(rotated).status, 401)
        guarded = self.run_("key", "create", "guarded", "--guardrails", "pii").splitlines()[0]
        self.assertEqual(self.chat(guarded).status, 503)  # there is none of that name

    def test_spend_and_calls(self) -> None:
        secret = self.run_("key", "create", "app").splitlines()[0]
        answer = self.chat(secret)
        spent = self.run_("spend", "--by", "key,model", "--from", "2023-11-01", "--to", "2023-12-01")
        self.assertRegex(spent, r"app +mock/x +1 +1 +7 +0.000071 +0\ntotal +- +1")
        document = json.loads(self.run_("spend", "--from", "2023-11-01", "--to", "2023-12-01", "--json"))
        self.assertEqual(document["total"]["cost_usd"], "0.000071")
        shown = self.run_("call", answer.headers["x-request-id"])
        self.assertRegex(shown, r"cost_usd +0.000071\n")
        self.assertRegex(shown, r"mock/x +first +ok")

    def test_apply(self) -> None:
        """Twice is once; a dry run does nothing; what the file no longer says is taken away."""
        path = Path(self.mktemp())
        path.write_text(FILE)
        dry = self.run_("apply", "--dry-run", str(path))
        self.assertIn("3 of 3 would be changed", dry)
        self.assertEqual(self.done("GET", "/admin/v1/keys")["data"], [])
        made = self.run_("apply", str(path))
        self.assertRegex(made, r"its secret, shown this once: sk-le-\S+\n3 of 3 changed")
        self.assertEqual(self.run_("apply", str(path)), "0 of 3 changed\n")
        path.write_text(FILE.replace("rpm = 100\n", "").replace('["mock/*"]', '["mock/x"]'))
        changed = self.run_("apply", str(path))
        self.assertIn("change team red\n    - rpm = 100\n", changed)
        self.assertIn("    - models = ['mock/*']\n    + models = ['mock/x']\n2 of 3 changed", changed)
        self.assertNotIn("rpm", self.done("GET", "/admin/v1/teams")["data"][0])

    def test_mistakes(self) -> None:
        """One line each, that says what to do."""
        path = Path(self.mktemp())
        path.write_text("[key.a]\n")
        for arguments, words in (
            (["apply", str(path)], "[key] is not known; there are [roles]"),
            (["apply", "nowhere.toml"], "No such file"),
            (["key", "show", "nobody"], "llmedge key list"),
            (["key", "create", "two words"], "must be short"),
            (["key"], "give a command: create"),
            (["kye", "list"], "Unknown command: kye"),
            (["key", "create"], "give NAME"),
            (["spend", "--by", "colour"], "knows key, team"),
            (["call", "nothing"], "no call with the request id"),
            (["key", "list", "--url", "gopher://x"], "--url must be"),
        ):
            message = self.run_(*arguments, status=1)
            self.assertIn(words, message)
            self.assertEqual(message.count("\n"), 1)
        self.patch(os, "environ", {})
        self.assertIn("set LLMEDGE_ADMIN_KEY", self.run_("key", "list", status=1))

    def test_a_key_that_nobody_has(self) -> None:
        """It is said which one that is, and who says so: there are two variables, and two sides to be wrong."""
        self.patch(os, "environ", {**os.environ, "LLMEDGE_ADMIN_KEY": "another"})
        self.assertIn(" (LLMEDGE_ADMIN_KEY at http://gw:1)", self.run_("key", "list", status=1))

    def test_the_rest_is_twists(self) -> None:
        """``run``, ``check``, ``schema`` and ``migrate`` become it, with their options."""
        became: list[list[str]] = []

        def execv(program: str, arguments: list[str]) -> None:
            became.append(arguments[1:])
            raise SystemExit(0)

        self.patch(os, "execv", execv)
        for arguments in (["run", "--port", "tcp:1"], ["check", "--config", "x.toml"], ["schema"], ["migrate"]):
            self.assertRaises(SystemExit, main.main, arguments)
        self.assertEqual(
            became,
            [
                ["-m", "twisted", "llmedge", "--port", "tcp:1"],
                ["-m", "twisted", "llmedge", "--check", "--config", "x.toml"],
                ["-m", "twisted", "llmedge", "--schema"],
                ["-m", "twisted", "llmedge", "--migrate"],
            ],
        )


class Sent(SynchronousTestCase):
    def test_no_key_goes_elsewhere(self) -> None:
        """A redirection is a failure, not a place to show the key to."""
        asked: list[str] = []

        class Moved(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                self.send_response(302)
                self.send_header("location", "/elsewhere")
                self.end_headers()

            def log_message(self, *args: Any) -> None: ...

        with HTTPServer(("127.0.0.1", 0), Moved) as server:
            thread = Thread(target=server.serve_forever, daemon=True)
            thread.start()
            self.addCleanup(thread.join)
            with self.assertRaises(client.Problem):
                client.Client(f"http://127.0.0.1:{server.server_port}", "secret").ask("GET", "/admin/v1/keys")
            server.shutdown()
        self.assertEqual(asked, ["/admin/v1/keys"])

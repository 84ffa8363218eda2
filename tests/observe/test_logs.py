import io
import json
from typing import Any

from twisted.logger import FilteringLogObserver, Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.sections.log import Log
from llmedge.model import Target
from llmedge.observe import access
from llmedge.observe.logs import JsonLog, Levels
from llmedge.observe.writer import LIMIT, LineWriter
from llmedge.record import DROPPED, Attempt, Record
from tests.fakes import CHAT, Edge


class Capture:
    """A JSON log over a publisher of its own."""

    def __init__(self, **settings: str) -> None:
        self.out = io.StringIO()
        self.observer = JsonLog(self.out, Levels(Log(**settings)))
        self.publisher = LogPublisher(self.observer)

    def logger(self, namespace: str) -> Logger:
        return Logger(namespace, observer=self.publisher)

    def lines(self) -> list[dict[str, Any]]:
        assert self.observer.writer.flush(600)
        return [json.loads(line) for line in self.out.getvalue().splitlines()]


class Json(SynchronousTestCase):
    def test_shape(self) -> None:
        """The keys of Layer 1, one object a line, no record separator."""
        capture = Capture()
        capture.logger("llmedge.x").info("hello {who}", who="world", span="chat", request_id="req_1", model="m")
        self.assertFalse(capture.out.getvalue().startswith("\x1e"))
        (line,) = capture.lines()
        self.assertRegex(line["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$")
        self.assertEqual(line["level"], "INFO")
        self.assertEqual(line["fields"], {"message": "hello world", "who": "world", "model": "m"})
        self.assertEqual((line["target"], line["span"], line["request_id"]), ("llmedge.x", {"name": "chat"}, "req_1"))
        self.assertEqual(line["filename"], "tests/observe/test_logs.py")
        self.assertIsInstance(line["line_number"], int)
        self.assertIsInstance(line["threadId"], int)

    def test_failures(self) -> None:
        capture = Capture()
        try:
            raise ValueError("boom")
        except ValueError:
            capture.logger("llmedge.x").failure("it failed")
        (line,) = capture.lines()
        self.assertEqual((line["level"], line["fields"]["error"]), ("ERROR", "ValueError: boom"))
        self.assertIn("Traceback", line["fields"]["traceback"])

    def test_what_cannot_be_json(self) -> None:
        """A strange value is shown as text, a broken format is no error."""
        capture = Capture()
        capture.logger("llmedge.x").info("x", value=object, half="\ud800")
        capture.logger("llmedge.x").info("{missing}")
        self.assertEqual(len(capture.lines()), 2)

    def test_an_access_line_that_cannot_be_utf8(self) -> None:
        """Half a surrogate pair in a model's name is escaped, whatever the stages said of the call."""
        record = Record("r", "POST", "/v1/chat/completions", "peer", 0.0, model="\ud800")
        for facts in ({}, {DROPPED: ["seed"]}):
            record.facts |= facts
            fields = json.loads(access.access_line(record, 0.0))["fields"]
            self.assertEqual((fields["model"], fields.get(DROPPED.name)), ("\ud800", facts.get(DROPPED)))

    def test_other_packages_show_their_message_only(self) -> None:
        capture = Capture()
        capture.logger("treq.x").info("hello {a}", a=1, secret="s")
        self.assertEqual(capture.lines()[0]["fields"], {"message": "hello 1"})


class Filters(SynchronousTestCase):
    def test_levels_by_namespace(self) -> None:
        """The longest matching name decides; LOG_LEVEL decides the rest."""
        capture = Capture(level="warn", filter="llmedge=debug,llmedge.web=error,twisted=off")
        for namespace in ("llmedge", "llmedge.tap", "llmedge.web.api", "llmedgex", "twisted.web", "other"):
            log = capture.logger(namespace)
            log.debug(f"{namespace} debug")
            log.warn(f"{namespace} warn")
            log.error(f"{namespace} error")
        self.assertEqual(
            [line["fields"]["message"] for line in capture.lines()],
            [
                *(f"llmedge {x}" for x in ("debug", "warn", "error")),
                *(f"llmedge.tap {x}" for x in ("debug", "warn", "error")),
                "llmedge.web.api error",
                "llmedgex warn",
                "llmedgex error",
                "other warn",
                "other error",
            ],
        )

    def test_what_twisted_says_of_itself(self) -> None:
        """Where its reactor starts and its ports close: said only to who asks, warnings and errors to all."""
        for settings, shown in (
            ({}, []),
            ({"filter": "llmedge=debug"}, []),
            ({"level": "debug"}, ["twisted.internet.base", "log_legacy"]),
            ({"filter": "debug"}, ["twisted.internet.base", "log_legacy"]),
            ({"filter": "twisted=info"}, ["twisted.internet.base"]),
            ({"filter": "log_legacy=info"}, ["log_legacy"]),
        ):
            capture = Capture(**settings)
            for namespace in ("twisted.internet.base", "log_legacy"):
                capture.logger(namespace).info("starting")
                capture.logger(namespace).warn("trouble")
            lines = capture.lines()
            self.assertEqual([line["target"] for line in lines if line["level"] == "INFO"], shown, settings)
            self.assertEqual(len([line for line in lines if line["level"] == "WARN"]), 2)

    def test_the_text_log_is_filtered_too(self) -> None:
        seen: list[Any] = []
        publisher = LogPublisher(FilteringLogObserver(seen.append, [Levels(Log(level="error"))]))
        Logger("a", observer=publisher).info("x")
        Logger("a", observer=publisher).error("y")
        self.assertEqual(len(seen), 1)


class Stuck(io.StringIO):
    """A pipe that nobody reads."""

    def __init__(self) -> None:
        super().__init__()
        import threading

        self.open = threading.Event()

    def write(self, text: str) -> int:
        self.open.wait(600)
        return super().write(text)


class Writer(SynchronousTestCase):
    def test_a_stuck_pipe_does_not_hold_us_up(self) -> None:
        """Lines are held up to the limit, the rest is dropped and counted."""
        out = Stuck()
        writer = LineWriter(out)
        for number in range(LIMIT + 1000):
            writer.write(f"{number}\n")
        out.open.set()
        self.assertTrue(writer.flush(600))
        writer.write("last\n")
        self.assertTrue(writer.flush(600))
        text = out.getvalue()
        self.assertIn("log lines dropped", text)
        self.assertTrue(text.startswith("0\n1\n2\n"))
        self.assertIn("last\n", text)


class Access(SynchronousTestCase):
    def line(self, edge: Edge, **fields: Any) -> dict[str, Any]:
        capture = Capture()
        self.patch(access, "globalLogPublisher", capture.publisher)
        edge.ask(body=CHAT | fields, headers={"x-request-id": "r-1"})
        return capture.lines()[-1]

    def test_fields(self) -> None:
        """One line tells what was asked, what happened where, what it cost in time and tokens."""
        line = self.line(Edge(), stream=True)
        self.assertEqual(
            (line["target"], line["span"], line["request_id"]), ("llmedge.access", {"name": "chat"}, "r-1")
        )
        fields = line["fields"]
        for name, value in {
            "model": "mock-model",
            "message_count": 1,
            "stream": True,
            "status": 200,
            "outcome": "ok",
            "caller": "anonymous",
            "peer": "127.0.0.1",
            "input_tokens": 3,
            "output_tokens": 9,
        }.items():
            self.assertEqual(fields[name], value, name)
        self.assertEqual(fields["attempts"][0]["target"], "mock/mock-model")

    def test_costs(self) -> None:
        """A number, in USD, or null where nobody knows, 0 where nobody is paid; every kind of token has its field."""
        priced = '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n[prices."m/*"]\ninput = 1\noutput = 2\n'
        fields = self.line(Edge(priced))["fields"]
        self.assertEqual((fields["cost_usd"], fields["tokens_estimated"]), (0.000021, False))
        for kind in ("cached", "cache_write", "reasoning", "audio_input", "audio_output"):
            self.assertEqual(fields[f"{kind}_tokens"], 0)
        self.assertEqual(self.line(Edge())["fields"]["cost_usd"], 0)
        self.assertIsNone(self.line(Edge(priced.replace("input = 1\noutput = 2", "image = 1")))["fields"]["cost_usd"])

    def test_a_call_that_waited(self) -> None:
        """Its attempt says how long and for what; others do not."""
        record = Record("id", "POST", "/", "peer", 0.0)
        target = Target("m", "x")
        record.routing.attempts = [Attempt(target, 2.0, queued=1.5, queued_for="limit 4"), Attempt(target, 2.0)]
        waited, other = json.loads(access.access_line(record, 0.0))["fields"]["attempts"]
        self.assertEqual((waited["queued_ms"], waited["queued_for"]), (1500.0, "limit 4"))
        self.assertNotIn("queued_for", other)

    def test_errors(self) -> None:
        line = self.line(Edge('[providers.m]\ndialect = "mock"\nmodels = ["*"]\nfault = "cut"\n'))
        self.assertEqual((line["fields"]["error_code"], line["fields"]["status"]), ("UPSTREAM_ERROR", 502))

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import CHAT, Edge, request

STREAM = CHAT | {"stream": True}


def mock(server: str = "", upstream: str = "", **options: object) -> Edge:
    """A service with one mock vendor of these options."""
    lines = [f"{name} = {json.dumps(value)}" for name, value in options.items()]
    return Edge(
        f'[server]\n{server}\n[upstream]\n{upstream}\n[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
        + "\n".join(lines)
    )


class Faults(SynchronousTestCase):
    def test_a_cut_stream_never_ends_cleanly(self) -> None:
        """An error event, no [DONE], and the response visibly unfinished: never a clean end after a cut."""
        for fault, code in (("cut", "UPSTREAM_ERROR"), ("malformed", "UPSTREAM_ERROR"), ("stall", "TIMEOUT_ERROR")):
            edge = mock(fault=fault, fault_after=4)
            wire = edge.wire()
            wire.send(request(body=STREAM))
            edge.reactor.advance(31)
            response = wire.response()
            self.assertEqual(response.status, 200)
            self.assertFalse(response.complete, fault)
            self.assertTrue(wire.transport.gone)
            events = response.events()
            self.assertNotIn("[DONE]", events)
            self.assertEqual(json.loads(events[-1])["error"]["code"], code)
            self.assertIn("The provider 'm'", json.loads(events[-1])["error"]["message"])
            (record,) = edge.records
            self.assertEqual((record.status, record.error_code), (200, code))
            self.assertEqual(record.outcome, {"stall": "timeout"}.get(fault, fault))

    def test_all_that_was_written_is_on_record(self) -> None:
        """Every piece of a stream counts, the first, those after it and the last; also where it was cut."""
        for fault in ("none", "cut"):
            edge = mock(fault=fault, fault_after=4, chunk_interval=1)
            wire = edge.wire()
            wire.send(request(body=STREAM))
            edge.reactor.pump([1.0] * 31)
            response = wire.response()
            self.assertGreater(len(response.events()), 3)
            self.assertEqual(edge.records[0].bytes_out, len(response.body))

    def test_a_failure_before_the_first_content_is_a_status(self) -> None:
        """A role frame is no answer yet: the client gets a real HTTP error."""
        for options, status in (
            ({"fault": "status", "fault_status": 503}, 503),
            ({"fault": "status", "fault_status": 500}, 502),
            ({"fault": "cut", "fault_after": 1}, 502),
            ({"fault": "malformed", "fault_after": 0}, 502),
        ):
            for body in (STREAM, CHAT):
                response = mock(**options).ask(body=body)
                self.assertEqual(response.status, status, options)
                self.assertTrue(response.complete)
                self.assertIn("message", response.error)

    def test_rate_of_faults(self) -> None:
        edge = mock(fault="status", fault_rate=0.25)
        self.assertEqual([edge.chat().status for _ in range(8)], [200, 200, 200, 503] * 2)


class Deadlines(SynchronousTestCase):
    def test_a_whole_answer(self) -> None:
        """server.timeout is the limit of the whole call: 504, and nothing is left running."""
        edge = mock("timeout = 5", latency=60)
        wire = edge.wire()
        wire.send(request(body=CHAT))
        edge.reactor.advance(4.9)
        self.assertEqual(wire.received(), b"")
        edge.reactor.advance(0.2)
        response = wire.response()
        self.assertEqual((response.status, response.error["code"]), (504, "TIMEOUT_ERROR"))
        self.assertIn("5 s", response.error["message"])
        self.assertEqual(edge.records[0].outcome, "timeout")
        self.assertEqual(edge.records[0].routing.attempts[0].outcome, "aborted")

    def test_the_first_event_of_a_stream(self) -> None:
        edge = mock("timeout = 5\nheartbeat = 0", latency=60)
        wire = edge.wire()
        wire.send(request(body=STREAM))
        edge.reactor.advance(5.1)
        self.assertEqual(wire.response().status, 504)

    def test_a_running_stream_has_its_own_limit(self) -> None:
        """After the first event server.timeout no longer counts; server.stream_timeout does."""
        edge = mock("timeout = 2\nstream_timeout = 10", chunk_interval=1.5)
        wire = edge.wire()
        wire.send(request(body=CHAT | {"stream": True, "messages": [{"role": "user", "content": "w " * 50}]}))
        edge.reactor.pump([0.5] * 18)
        self.assertFalse(wire.transport.gone)
        edge.reactor.pump([0.5] * 3)
        response = wire.response()
        self.assertFalse(response.complete)
        self.assertEqual(json.loads(response.events()[-1])["error"]["code"], "TIMEOUT_ERROR")

    def test_what_such_a_stream_cost(self) -> None:
        """Whoever reads its record at its end finds it there."""
        edge = Edge(
            '[server]\nstream_timeout = 10\n[providers.m]\ndialect = "mock"\nmodels = ["*"]\nchunk_interval = 0.5\n'
            '[prices."m/*"]\ninput = 1\noutput = 10\n'
        )
        found: list[int | None] = []
        access = edge.site.edge.resource.inner
        access._observers = (*access._observers, lambda record: found.append(record.accounting.cost))
        said = "w " * 50
        messages = {"messages": [{"role": "user", "content": said}], "max_tokens": 100}
        for path, document in (
            ("/v1/chat/completions", messages),
            ("/v1/messages", messages),
            ("/v1/responses", {"input": said}),
        ):
            wire = edge.wire()
            wire.send(request(path=path, body=document | {"model": "x", "stream": True}))
            edge.reactor.pump([0.5] * 24)
            self.assertIn(b"longer than 10 s", wire.received())
            self.assertTrue(found[-1], path)

    def test_nothing_is_left_on_the_clock(self) -> None:
        """Every timer of a request ends with it."""
        edge = mock()
        before = len(edge.reactor.pending())
        for body in (CHAT, STREAM):
            wire = edge.wire()
            wire.send(request(body=body))
            wire.leave()
        self.assertEqual(len(edge.reactor.pending()), before)


class Heartbeats(SynchronousTestCase):
    def test_before_the_first_token(self) -> None:
        """A thinking vendor's stream is kept alive by comments; after that a failure is an error event."""
        edge = mock("heartbeat = 5\ntimeout = 60", latency=12)
        wire = edge.wire()
        wire.send(request(body=STREAM))
        edge.reactor.pump([1.0] * 11)
        self.assertEqual(wire.received().count(b": ping\n\n"), 2)
        edge.reactor.pump([1.0] * 2)
        response = wire.response()
        self.assertTrue(response.complete)
        self.assertEqual(response.events()[-1], "[DONE]")

    def test_late_failure(self) -> None:
        edge = mock("heartbeat = 5\ntimeout = 60", latency=12, fault="status")
        wire = edge.wire()
        wire.send(request(body=STREAM))
        edge.reactor.pump([1.0] * 13)
        response = wire.response()
        self.assertEqual((response.status, response.complete), (200, False))
        self.assertEqual(json.loads(response.events()[-1])["error"]["code"], "UNAVAILABLE")

    def test_while_nobody_is_asked(self) -> None:
        """There is none, so that a stream that waits for a place in vain gets a real status."""
        edge = Edge(
            "[server]\nheartbeat = 5\ntimeout = 60\n[routing]\nqueue_wait = 12\n"
            '[providers.m]\ndialect = "mock"\nmodels = ["*"]\nlatency = 40\n'
            f'[models.{CHAT["model"]}]\ntargets = [{{target = "m/x", max_concurrency = 1}}]\n'
        )
        first, wire = edge.wire(), edge.wire()
        first.send(request(body=STREAM))
        wire.send(request(body=STREAM))
        edge.reactor.pump([1.0] * 11)
        self.assertEqual((first.received().count(b": ping"), wire.received()), (2, b""))
        edge.reactor.pump([1.0] * 2)
        response = wire.response()
        self.assertEqual((response.status, response.error["code"]), (503, "UNAVAILABLE"))
        first.leave()

    def test_between_events(self) -> None:
        edge = mock("heartbeat = 5", chunk_interval=12)
        wire = edge.wire()
        wire.send(request(body=STREAM))
        edge.reactor.pump([1.0] * 36)
        self.assertEqual(wire.received().count(b": ping\n\n"), 6)
        wire.leave()

    def test_off_and_quick(self) -> None:
        """No heartbeat where none is due."""
        for server in ("heartbeat = 0\ntimeout = 60", "heartbeat = 15\ntimeout = 60"):
            edge = mock(server, latency=12)
            wire = edge.wire()
            wire.send(request(body=STREAM))
            edge.reactor.pump([1.0] * 13)
            self.assertNotIn(b": ping", wire.received())


class Leaving(SynchronousTestCase):
    def test_in_each_phase(self) -> None:
        """The work stops at once and the record is settled, nothing leaks, whatever was under way."""
        for options, body, seconds in (
            ({"latency": 9}, CHAT, 1),
            ({"latency": 9}, STREAM, 1),
            ({"chunk_interval": 9}, STREAM, 30),
        ):
            edge = mock("heartbeat = 0", **options)
            idle = len(edge.reactor.pending())
            settled: list[str] = []
            access = edge.site.edge.resource.inner
            access._observers = (
                *access._observers,
                lambda r, s=settled: s.extend(a.outcome for a in r.routing.attempts),
            )
            wire = edge.wire()
            wire.send(request(body=body))
            edge.reactor.pump([1.0] * seconds)
            wire.leave()
            (record,) = edge.records
            self.assertEqual(record.outcome, "client_closed")
            self.assertEqual(settled, ["aborted"])
            self.assertEqual(len(edge.reactor.pending()), idle)
            metrics = edge.ask("GET", "/metrics").body.decode()
            self.assertIn("llm_requests_in_flight 0.0", metrics)


class SlowReader(SynchronousTestCase):
    def test_backpressure(self) -> None:
        """While the client's socket takes nothing, nothing more is asked of the vendor."""
        edge = mock(chunk_interval=1)
        wire = edge.wire()
        wire.send(request(body=STREAM))
        edge.reactor.advance(1)
        wire.protocol.channel.pauseProducing()
        edge.reactor.pump([1.0] * 20)
        held = wire.received().count(b"data: ")
        self.assertLessEqual(held, 3)
        wire.protocol.channel.resumeProducing()
        edge.reactor.pump([1.0] * 20)
        self.assertEqual(wire.response().events()[-1], "[DONE]")

    def test_a_long_answer_goes_out_at_the_clients_pace(self) -> None:
        """It is written as its socket takes it, and is not cut by the idle limit of the connection."""
        edge = mock("idle_timeout = 2\nwrite_timeout = 5\nmax_request_size = 10000000")
        wire = edge.wire()
        wire.transport.high_water = 65536
        wire.send(request(body=CHAT | {"messages": [{"role": "user", "content": "word " * 200000}]}))
        first = len(wire.received())
        self.assertLess(first, 300000)
        for sent in range(10):
            wire.transport._tempDataLen = 1000000 - sent  # the kernel takes a byte now and then
            edge.reactor.advance(3)
            self.assertFalse(wire.transport.gone)
        wire.transport._tempDataLen = wire.transport.high_water = 0
        wire.protocol.channel.resumeProducing()
        response = wire.response()
        self.assertTrue(response.complete)
        self.assertEqual(len(response.json()["choices"][0]["message"]["content"]), 26 + 999999)

    def test_a_finished_answer_is_not_cut_by_the_idle_limit(self) -> None:
        """As long as its client takes of it (twisted #12498); one that takes nothing is."""
        edge = mock("idle_timeout = 2\nwrite_timeout = 5")
        wire = edge.wire()
        wire.send(request(body=CHAT))
        for sent in range(5):
            wire.transport._tempDataLen = 1000 - sent
            edge.reactor.advance(5)
            self.assertFalse(wire.transport.gone)
        edge.reactor.advance(6)
        edge.reactor.advance(6)
        self.assertTrue(wire.transport.aborted)

    def test_a_client_that_never_reads(self) -> None:
        """It does not get to hold the vendor's work: write_timeout."""
        edge = mock("write_timeout = 10", chunk_interval=1)
        wire = edge.wire()
        wire.send(request(body=STREAM))
        edge.reactor.advance(1)
        wire.protocol.channel.pauseProducing()
        edge.reactor.pump([1.0] * 11)
        self.assertTrue(wire.transport.aborted)
        self.assertEqual(edge.records[0].outcome, "client_closed")


class Fallback(SynchronousTestCase):
    def test_the_next_target_answers(self) -> None:
        """A broken target is invisible while nothing has been sent."""
        for fault in ("status", "cut", "malformed"):
            edge = Edge(
                f'[providers.bad]\ndialect = "mock"\nfault = "{fault}"\nfault_after = 1\n'
                '[providers.good]\ndialect = "mock"\n[models.m]\ntargets = ["bad/x", "good/y"]\n'
            )
            for stream in (True, False):
                response = edge.chat(model="m", stream=stream)
                self.assertEqual((response.status, response.complete), (200, True))
                self.assertNotIn(b'"x"', response.body)
                self.assertEqual([a.outcome for a in edge.records[-1].routing.attempts][-1], "ok")

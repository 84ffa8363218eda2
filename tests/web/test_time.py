"""How long an answer may take: what client, model, provider and ``[server]`` say, in this order."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import CHAT, Edge, Wire, request
from tests.web.through import Through

SILENT = '[providers.{name}]\nvendor = "mock"\nlatency = 3600\n'
MESSAGES = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
GENERATE = {"contents": [{"role": "user", "parts": [{"text": "x"}]}]}


def silent(server: str = "", model: str = "", **providers: str) -> Edge:
    """A gateway whose vendors never answer: the model ``m`` goes to all of ``providers``, in their order."""
    providers = providers or {"a": ""}
    targets = ", ".join(f'"{name}/x"' for name in providers)
    vendors = "".join(f"{SILENT.format(name=name)}{more}\n" for name, more in providers.items())
    routing = '[routing]\nretries = 0\nhedge = "off"\n'
    return Edge(f"[server]\nheartbeat = 0\n{server}\n{routing}{vendors}[models.m]\ntargets = [{targets}]\n{model}\n")


def waited(edge: Edge, wire: Wire) -> float:
    """Seconds until the answer comes, to a tenth."""
    began = edge.reactor.seconds()
    while not wire.received():
        edge.reactor.advance(0.1)
        if edge.reactor.seconds() - began > 2000:
            break
    return round(edge.reactor.seconds() - began, 1)


class Precedence(SynchronousTestCase):
    def check(self, edge: Edge, seconds: float, body: Any = None, **headers: str) -> None:
        for stream in (False, True):
            wire = edge.wire()
            asked = (body or CHAT | {"model": "m"}) | {"stream": stream}
            wire.send(request(body=asked, headers={name.replace("_", "-"): value for name, value in headers.items()}))
            self.assertApproximates(waited(edge, wire), seconds, 0.21)
            response = wire.response()
            self.assertEqual((response.status, response.error["code"]), (504, "TIMEOUT_ERROR"))
            self.assertEqual(response.headers["x-should-retry"], "false")
            self.assertIn(f"{seconds:g} s", response.error["message"])

    def test_who_says_nothing(self) -> None:
        self.check(silent(), 30)
        self.check(silent("timeout = 7"), 7)

    def test_the_client(self) -> None:
        """Ours goes before what an SDK says; all of them before every setting."""
        for seconds, headers in (
            (12, {"x_llmedge_timeout": "12"}),
            (3, {"x_llmedge_timeout": "3", "x_stainless_timeout": "50"}),
            (50, {"x_stainless_timeout": "50", "x_stainless_read_timeout": "60"}),
            (20.5, {"x_stainless_read_timeout": "20.5"}),
            (11, {"x_server_timeout": "11"}),
        ):
            self.check(silent("timeout = 7", "timeout = 8", a="timeout = 9"), seconds, **headers)

    def test_no_time_at_all(self) -> None:
        """An SDK that says what is no time is not heard: its user may know nothing of it."""
        for value in ("0", "-1", "NaN", "inf", "None", "", "1e30", "5s"):
            for name in ("x_stainless_timeout", "x_stainless_read_timeout", "x_server_timeout"):
                self.check(silent("timeout = 7"), 7, **{name: value})
            response = silent().ask(body=CHAT, headers={"x-llmedge-timeout": value})
            self.assertEqual((response.status, response.error["param"]), (400, "x-llmedge-timeout"))

    def test_the_most_a_client_may_ask_for(self) -> None:
        for seconds, server, model, provider in (
            (600, "", "", ""),
            (40, "max_timeout = 40", "", ""),
            (50, "max_timeout = 40\ntimeout = 50", "", ""),
            (60, "max_timeout = 40", "timeout = 60", ""),
            (40, "max_timeout = 40", "timeout = 20", ""),
            (60, "max_timeout = 40", "", "timeout = 60"),
            (70, "max_timeout = 40", "timeout = 70", "timeout = 60"),
        ):
            self.check(silent(server, model, a=provider), seconds, x_stainless_timeout="90000")

    def test_the_model(self) -> None:
        """Longer or shorter than the provider's, and that of the server."""
        for model in (4, 120):
            self.check(silent("timeout = 10", f"timeout = {model}", a="timeout = 20"), model)

    def test_the_provider(self) -> None:
        """Also where its models have no entry."""
        edge = silent("timeout = 10", a="timeout = 100")
        self.check(edge, 100)
        self.check(edge, 100, CHAT | {"model": "a/other"})

    def test_several_providers(self) -> None:
        """Each has its own time, and the next one is asked when that is over; together the longest of all."""
        edge = silent("timeout = 10", a="timeout = 2", b="timeout = 3", c="")
        wire = edge.wire()
        wire.send(request(body=CHAT | {"model": "m"}))
        self.assertApproximates(waited(edge, wire), 10, 0.2)
        attempts = edge.records[0].routing.attempts
        self.assertEqual([str(each.target) for each in attempts], ["a/x", "b/x", "c/x"])
        self.assertEqual([each.cause for each in attempts[:2]], ["silent", "silent"])
        self.assertIn("did not answer within 2 s", attempts[0].error)
        spent = [round((each.ended or 0) - each.started) for each in attempts]
        self.assertEqual(spent, [2, 3, 5])

    def test_a_providers_time_is_nothing_to_who_named_one(self) -> None:
        """A client's time, or a model's, is that of all its attempts."""
        self.check(silent(model="timeout = 5", a="timeout = 2", b="timeout = 2"), 5)
        self.check(silent(a="timeout = 2", b="timeout = 2"), 6, x_llmedge_timeout="6")

    def test_each_dialect(self) -> None:
        for path, body in (
            ("/v1/messages", MESSAGES),
            ("/v1/responses", {"model": "m", "input": "x"}),
            ("/v1beta/models/m:generateContent", GENERATE),
            ("/v1/embeddings", {"model": "m", "input": "x"}),
            ("/v1/rerank", {"model": "m", "query": "x", "documents": ["y"]}),
        ):
            edge = silent("timeout = 10", "timeout = 3")
            wire = edge.wire()
            wire.send(request(path=path, body=body))
            self.assertApproximates(waited(edge, wire), 3, 0.21)
            self.assertEqual(wire.response().headers["x-should-retry"], "false")


class Uploads(SynchronousTestCase):
    def test_its_model_is_known_late(self) -> None:
        """The time counts from the end of the body on."""
        part = b'--b\r\ncontent-disposition: form-data; name="model"\r\n\r\nm\r\n--b--\r\n'
        edge = silent("timeout = 10", "timeout = 4")
        wire = edge.wire()
        data = request(path="/v1/audio/transcriptions", body=part, content_type="multipart/form-data; boundary=b")
        wire.send(data[:-9])
        edge.reactor.advance(3)
        wire.send(data[-9:])
        self.assertApproximates(waited(edge, wire), 4, 0.21)
        self.assertEqual(wire.response().status, 504)


class Streams(SynchronousTestCase):
    def ends(self, server: str = "", model: str = "", provider: str = "") -> float:
        edge = Edge(
            f'[server]\n{server}\n[providers.a]\nvendor = "mock"\nchunk_interval = 1\n{provider}\n'
            f'[models.m]\ntargets = ["a/x"]\n{model}\n'
        )
        wire, began = edge.wire(), edge.reactor.seconds()
        words = {"model": "m", "stream": True, "messages": [{"role": "user", "content": "w " * 100}]}
        wire.send(request(body=words))
        while not wire.transport.gone:
            edge.reactor.advance(0.25)
        self.assertIn("TIMEOUT_ERROR", wire.response().events()[-1])
        return edge.reactor.seconds() - began

    def test_how_long_they_may_be(self) -> None:
        for seconds, said in (
            (20, {"server": "stream_timeout = 20"}),
            (25, {"server": "stream_timeout = 20", "provider": "stream_timeout = 25"}),
            (15, {"server": "stream_timeout = 20", "provider": "stream_timeout = 25", "model": "stream_timeout = 15"}),
        ):
            self.assertApproximates(self.ends(**said), seconds, 0.3)


class FirstToken(Through):
    def silence(self, upstream: str, provider: str, model: str) -> float:
        """Seconds after which a vendor that has sent its headers, and no content, is given up."""
        vendor = f'[providers.v]\nbase_url = "http://127.0.0.1:9/v1"\n{provider}\n'
        self.begin(
            f"[server]\nheartbeat = 0\n[upstream]\n{upstream}\n", f'{vendor}[models.m]\ntargets = ["v/x"]\n{model}\n'
        )
        wire = self.ask("/v1/chat/completions", CHAT | {"model": "m", "stream": True})
        self.vendor().chunked("text/event-stream")
        seconds = waited(self.edge, wire)
        self.assertEqual(wire.response().headers["x-should-retry"], "false")
        return seconds

    def test_who_says(self) -> None:
        def limit(seconds: int) -> str:
            return f"first_token_timeout = {seconds}"

        for said, seconds in (
            ((limit(4), "", ""), 4),
            ((limit(4), limit(6), ""), 6),
            ((limit(4), limit(6), limit(2)), 2),
            (("", "", limit(5)), 5),
            (("", "", ""), 30),
        ):
            self.assertApproximates(self.silence(*said), seconds, 0.21)

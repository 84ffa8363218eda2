"""Conversations that vendors keep go on where they are kept."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.errors import KeptElsewhere, VendorRefused
from llmedge.pipeline.kept import as_kept_elsewhere, keeper_of
from llmedge.state.items import ItemMemory
from tests.fakes import Edge, Response, Wire, request
from tests.web.through import Asked

PROVIDER = '[providers.{0}]\ndialect = "openai_responses"\nbase_url = "http://127.0.0.1:{1}/v1"\n'
KEYS = '[[auth.keys]]\nname = "a"\nkey = "key-a"\n[[auth.keys]]\nname = "b"\nkey = "key-b"\n'
CALM = '[routing]\nretries = 0\nhedge = "off"\nbreaker_failures = 1000\nbreaker_rate = 2\n'
MODEL = '[models.m]\ntargets = ["v1/x", "v2/x", "v3/x"]\nstrategy = "round_robin"\n'
THREE = "".join(PROVIDER.format(f"v{place}", place) for place in (1, 2, 3))
ANSWERED: dict[str, Any] = {"object": "response", "status": "completed", "model": "x", "output": []}
OPENAIS = {
    "message": "Previous response with id 'resp_1' not found.",
    "type": "invalid_request_error",
    "param": "previous_response_id",
    "code": "previous_response_not_found",
}


def whole(vendor: Asked, id: str) -> None:
    vendor.answer(200, {**ANSWERED, "id": id})


def streamed(vendor: Asked, id: str) -> None:
    response = {**ANSWERED, "id": id}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "sequence_number": 0, "response": response | {"status": "in_progress"}},
        {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "msg_1", "delta": "x"},
        {"type": "response.completed", "sequence_number": 2, "response": response},
    ]
    frames = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    vendor.answer(200, frames.encode(), "text/event-stream")


class Accounts(SynchronousTestCase):
    """Vendors with an account each: what one keeps, no other has."""

    def begin(self, more: str = KEYS + CALM + MODEL + THREE) -> None:
        self.edge = Edge(more)
        self.open: dict[int, list[Asked]] = {1: [], 2: [], 3: []}

    def ask(self, key: str = "key-a", **fields: Any) -> Wire:
        wire = self.edge.wire()
        body = {"model": "m", "input": "hello"} | fields
        wire.send(request(path="/v1/responses", body=body, headers={"authorization": f"Bearer {key}"}))
        return wire

    def asked(self) -> tuple[int, Asked]:
        """The vendor that is being asked, by its port."""
        while clients := self.edge.reactor.tcpClients:
            self.open[clients[0][1]].append(Asked(self.edge))
        ((place, vendor),) = [
            (place, each) for place, vendors in self.open.items() for each in vendors if each.transport.value()
        ]
        return place, vendor

    def answered(self, wire: Wire, answer: Any, id: str) -> int:
        """Who did."""
        place, vendor = self.asked()
        answer(vendor, id)
        self.assertEqual(wire.response().status, 200)
        return place

    def refused(self, wire: Wire, status: int = 400, **error: str) -> int:
        place, vendor = self.asked()
        vendor.answer(status, {"error": {**OPENAIS, **error}})
        return place

    def test_it_goes_on_where_it_is(self) -> None:
        """Whole or streamed, turn after turn, however many other calls there are between."""
        for answer, stream in ((whole, False), (streamed, True)):
            self.begin()
            self.answered(self.ask(), whole, "resp_other")
            home = self.answered(self.ask(stream=stream), answer, "resp_0")
            for turn in range(4):
                self.answered(self.ask(), whole, f"resp_other_{turn}")
                wire = self.ask(previous_response_id=f"resp_{turn}", stream=stream)
                self.assertEqual(self.answered(wire, answer, f"resp_{turn + 1}"), home)
            self.assertTrue(all(len(each.routing.attempts) == 1 for each in self.edge.records))

    def test_nobody_knows_where(self) -> None:
        """The targets are asked in turn, whatever way they say that they have not got it; who has it is remembered."""
        said: tuple[tuple[int, dict[str, str]], ...] = (
            (400, {}),
            (400, {"param": "previous_response_id", "code": "unsupported_value"}),
            (404, {"message": "Response with id 'resp_9' not found.", "param": "", "code": "404"}),
        )
        for status, error in said:
            self.begin()
            wire = self.ask(previous_response_id="resp_9")
            places = [self.refused(wire, status, **error), self.refused(wire, status, **error)]
            places.append(self.answered(wire, whole, "resp_10"))
            self.assertEqual(set(places), {1, 2, 3})
            (record,) = self.edge.records
            self.assertEqual([each.cause for each in record.routing.attempts], ["kept_elsewhere"] * 2 + [""])
            wire = self.ask(previous_response_id="resp_10")
            self.assertEqual(self.answered(wire, whole, "resp_11"), places[-1])

    def test_conversations(self) -> None:
        """Which are with one account, too, and nobody here has seen begin; an answer of long ago likewise."""
        said = {"message": "Conversation with id 'conv_1' not found.", "param": "", "code": ""}
        named: Any = ("conv_1", {"id": "conv_1"})
        for fields in (*({"conversation": each} for each in named), {"previous_response_id": "conv_1"}):
            self.begin()
            wire = self.ask(**fields)
            self.refused(wire, 404, **said)
            home = self.answered(wire, whole, "resp_1")
            for turn in range(4):
                self.assertEqual(self.answered(self.ask(**fields), whole, f"resp_2{turn}"), home)
            wire = self.ask(key="key-b", **fields)
            for _ in range(3):
                self.refused(wire, 404, **said)
            self.assertEqual(wire.response().status, 404)

    def test_nobody_has_it(self) -> None:
        """The client is told what the vendors said, and no target is the worse for it."""
        self.begin()
        for _ in range(12):
            wire = self.ask(previous_response_id="resp_1")
            for _ in range(3):
                self.refused(wire)
            response: Response = wire.response()
            error = {name: response.error[name] for name in OPENAIS}
            self.assertEqual((response.status, error), (400, OPENAIS))

    def test_other_refusals(self) -> None:
        """Those of the request itself are not asked elsewhere."""
        self.begin()
        for error in ({"param": "input", "code": "invalid_value", "message": "no"},):
            wire = self.ask(previous_response_id="resp_1")
            self.refused(wire, **error)
            self.assertEqual(wire.response().error["message"], "no")
        wire = self.ask()
        self.refused(wire)
        self.assertEqual(wire.response().status, 400)

    def test_its_home_is_out(self) -> None:
        """That is what the client is told, and not that the conversation is lost: with time it may go on."""
        self.begin()
        home = self.answered(self.ask(), whole, "resp_1")
        wire = self.ask(previous_response_id="resp_1")
        place, vendor = self.asked()
        self.assertEqual(place, home)
        vendor.answer(503, {"error": {"message": "busy"}})
        for _ in range(2):
            self.refused(wire)
        self.assertEqual(wire.response().status, 503)

    def test_each_callers_own(self) -> None:
        """Nobody learns where another caller's are."""
        self.begin()
        homes = [self.answered(self.ask(key), whole, "resp_1") for key in ("key-a", "key-b")]
        for key, home in zip(("key-a", "key-b"), homes, strict=True):
            wire = self.ask(key, previous_response_id="resp_1")
            self.assertEqual(self.answered(wire, whole, "resp_2"), home)

    def test_what_is_not_kept(self) -> None:
        """With ``store: false`` the vendor has not got it either."""
        self.begin()
        homes = set()
        for n in range(3):
            self.answered(self.ask(store=False), whole, f"resp_{n}")
            homes.add(self.answered(self.ask(previous_response_id=f"resp_{n}"), whole, f"resp_1{n}"))
        self.assertEqual(homes, {1, 2, 3})

    def test_a_fallback_that_has_it(self) -> None:
        """It is asked first, once."""
        models = '[models.m]\ntargets = ["v1/x"]\nfallbacks = ["n"]\n[models.n]\ntargets = ["v2/x", "v3/x"]\n'
        self.begin(KEYS + CALM + "retry_before_fallback = 0\n" + models + THREE)
        wire = self.ask()
        self.asked()[1].answer(500, {"error": {"message": "no"}})
        self.assertEqual(self.answered(wire, whole, "resp_1"), 2)
        wire = self.ask(previous_response_id="resp_1")
        self.assertEqual(self.refused(wire, 503), 2)
        self.assertEqual([self.refused(wire), self.refused(wire)], [1, 3])
        self.assertEqual(wire.response().status, 503)
        found = [str(each.target) for each in self.edge.records[-1].routing.attempts]
        self.assertEqual(found, ["v2/x", "v1/x", "v3/x"])

    def test_ids_that_are_none(self) -> None:
        """They are the vendor's to judge, as any field."""
        self.begin()
        for id in ("", "é" * 3000, None):
            self.answered(self.ask(previous_response_id=id), whole, "resp_1")
        for odd in (7, "", "x" * 5000, None):
            wire = self.ask()
            self.asked()[1].answer(200, {**ANSWERED, "id": odd})
            self.assertEqual(wire.response().status, 200)


class Words(SynchronousTestCase):
    def test_refusals(self) -> None:
        for status, more, kept in (
            (400, {"code": "previous_response_not_found"}, True),
            (404, {"param": "previous_response_id"}, True),
            (404, {}, True),
            (422, {"code": "previous_response_not_found"}, False),
            (400, {"code": "x", "param": "input"}, True),
        ):
            error = VendorRefused("There is no resp_1 here.", status=status, **more)
            told = as_kept_elsewhere(error, "resp_1")
            self.assertIs(isinstance(told, KeptElsewhere), kept, (status, more))
            self.assertEqual((told.message, told.status, told.code), (error.message, status, error.code))
        self.assertIsInstance(as_kept_elsewhere(VendorRefused("no"), "resp_1"), VendorRefused)

    def test_nobody_was_told(self) -> None:
        self.assertEqual(keeper_of(ItemMemory(Clock()), "a", "resp_1"), "")

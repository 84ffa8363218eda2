"""Conversations go on from answers that were given again: whoever has one knows it by another id than its vendor."""

from __future__ import annotations

import json
import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import Wire
from tests.pipeline import test_kept as kept
from tests.pipeline.test_kept import ANSWERED, CALM, KEYS, MODEL, THREE
from tests.web.through import Asked

CACHE = "[rate_limit]\nenabled = false\n[cache]\nenabled = true\n"
OUTPUT = [{"type": "message", "id": "msg_1", "role": "assistant", "content": [{"type": "output_text", "text": "hi"}]}]


def whole(vendor: Asked, id: str) -> None:
    vendor.answer(200, {**ANSWERED, "id": id, "output": OUTPUT})


def streamed(vendor: Asked, id: str) -> None:
    response = {**ANSWERED, "id": id}
    events: list[dict[str, Any]] = [
        {"type": "response.created", "sequence_number": 0, "response": response | {"status": "in_progress"}},
        {"type": "response.output_text.delta", "sequence_number": 1, "item_id": "msg_1", "delta": "hi"},
        {"type": "response.completed", "sequence_number": 2, "response": response | {"output": OUTPUT}},
    ]
    frames = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
    vendor.answer(200, frames.encode(), "text/event-stream")


class GivenAgain(SynchronousTestCase):
    ask, asked = kept.Accounts.ask, kept.Accounts.asked

    def begin(self) -> None:
        kept.Accounts.begin(self, CACHE + KEYS + CALM + MODEL + THREE)  # type: ignore[arg-type]

    def id_of(self, wire: Wire) -> str:
        found = re.search(rb'"id": ?"(resp_[^"]+)"', wire.received())
        assert found is not None, wire.received()
        return found[1].decode()

    def goes_on(self, id: str, home: int) -> None:
        """A turn after ``id`` is asked of who has that, by the vendor's name for it."""
        self.ask(previous_response_id=id)
        place, vendor = self.asked()  # type: ignore[misc]
        self.assertEqual((json.loads(vendor.body)["previous_response_id"], place), ("resp_original", home), id)
        whole(vendor, "resp_next")

    def test_hits_and_who_joined(self) -> None:
        for answer, stream in ((whole, False), (streamed, True)):
            self.begin()
            wires = [self.ask(stream=stream) for _ in range(3)]  # type: ignore[misc]
            home, vendor = self.asked()  # type: ignore[misc]
            answer(vendor, "resp_original")
            self.edge.reactor.advance(0)
            wires.append(self.ask(stream=stream))  # type: ignore[misc]
            ids = [self.id_of(wire) for wire in wires]
            self.assertEqual((len(set(ids)), ids[0]), (4, "resp_original"))
            for id in ids:
                self.goes_on(id, home)

    def test_what_no_vendor_has(self) -> None:
        """An answer of which its client said that it be not kept is none to go on from."""
        self.begin()
        self.ask(store=False)  # type: ignore[misc]
        whole(self.asked()[1], "resp_gone")  # type: ignore[misc]
        self.ask()  # type: ignore[misc]
        home, vendor = self.asked()  # type: ignore[misc]
        whole(vendor, "resp_original")
        again = self.ask()  # type: ignore[misc]
        self.assertIn(b"X-Llmedge-Cache: HIT", again.received())
        self.goes_on(self.id_of(again), home)
        without = self.ask(store=False).response()  # type: ignore[misc]
        self.assertEqual(without.headers["x-llmedge-cache"], "HIT")

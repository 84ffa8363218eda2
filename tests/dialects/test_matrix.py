"""Every client dialect to every vendor's, in every case, whole and streamed; each cell in full.

What a dialect says in a case is written down in ``matrix/``, once for each dialect; a cell expects the vendor to be
asked as its own clients would ask it, and the client to be answered as its own vendor would answer, but for the
differences that ``matrix/table.py`` names. The code is driven as ``providers/http.py`` drives it.
"""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.dialects.registry import DIALECTS
from llmedge.errors import EdgeError, TargetError
from llmedge.model import Caller, Deadline, EventKind, Target
from llmedge.operations import Operation
from llmedge.providers.failures import failure_for
from llmedge.providers.translation import Translation, translation_for
from llmedge.record import DROPPED, Record
from tests.dialects.matrix import anthropic, bedrock, cases, gemini, openai_chat, openai_responses, table
from tests.dialects.matrix.cases import CASES, MODELS, Told

SAYS: dict[str, Any] = {
    "openai_chat": openai_chat,
    "openai_responses": openai_responses,
    "anthropic": anthropic,
    "gemini": gemini,
    "bedrock": bedrock,
}
ASKERS = tuple(SAYS)[:4]
VENDORS = tuple(SAYS)
PAIRS = [(client, vendor) for client in ASKERS for vendor in VENDORS]
LIMIT = 1_000_000


def translation_of(client: str, vendor: str) -> Translation:
    translation = translation_for(
        DIALECTS[client], [DIALECTS[vendor]], quirks=frozenset(), stream_usage=True, name="vendor"
    )
    assert translation is not None
    return translation


def ask(client: str, case: str, stream: bool) -> tuple[Call, bytes, dict[str, Any]]:
    """A client's call, its body, and the same as an object."""
    body = SAYS[client].request(case, stream, cases.ASKED_MODEL)
    raw = cases.dump(body).encode()
    dialect = DIALECTS[client]
    parsed = dialect.parse_request(raw, model=cases.ASKED_MODEL, stream=stream)
    clock = Clock()
    clock.advance(cases.NOW)
    call = Call(
        Operation.CHAT,
        client,
        parsed.model,
        parsed.fields,
        parsed.stream,
        parsed.wants_usage,
        parsed.choices,
        Caller("test"),
        Deadline(clock, 1),
        Record(cases.REQUEST_ID, "POST", "/", "127.0.0.1", 0),
    )
    return call, raw, body


def shown(client: str, vendor: str, told: Told) -> Told:
    """What the client is told: where the vendor does not say it, the gateway does."""
    return attrs.evolve(
        told,
        id=told.id or cases.REQUEST_ID,
        model=told.model or cases.ASKED_MODEL,
        created=told.created or cases.NOW,
    )


def sent(vendor: str, events: list[tuple[str, Any]]) -> bytes:
    """A vendor's stream."""
    if vendor == "bedrock":
        return bedrock.frames(events)
    return cases.sse(*events, end="\r\n" if vendor == "gemini" else "\n")


def read(translation: Translation, call: Call, data: bytes, step: int) -> tuple[bytes, Any]:
    """The client's stream and the usage, the vendor's fed in pieces of ``step`` bytes."""
    reader = translation.reader(call, Target("v", "m"), LIMIT, cases.NOW)
    events = []
    for start in range(0, len(data), step):
        events += reader.feed(data[start : start + step])
    if not events or events[-1].kind is not EventKind.DONE:
        events += reader.end()
    assert [each.kind for each in events].index(EventKind.DONE) == len(events) - 1
    return b"".join(each.frame for each in events), reader.usage


class Matrix(SynchronousTestCase):
    maxDiff = None

    def test_there_is_a_way(self) -> None:
        """The table is whole: twenty pairs, each with 12 cases and the errors, and no difference is of no use."""
        self.assertEqual(len(PAIRS) * len(CASES), 240)
        for each in table.DIFFERENCES:
            self.assertIn((each.client, each.vendor), PAIRS)
            self.assertNotEqual(each.client, each.vendor)
            self.assertLessEqual(set(each.cases), set(CASES))
            for case in each.cases:
                plain = SAYS[each.vendor].request(case, False, "m")
                self.assertNotEqual(
                    plain, table.expected(each.client, each.vendor, case, json.loads(json.dumps(plain)))
                )


class Requests(SynchronousTestCase):
    maxDiff = None

    def cell(self, client: str, vendor: str, case: str, stream: bool) -> None:
        call, _, _ = ask(client, case, stream)
        model = MODELS[vendor]
        translation = translation_of(client, vendor)
        body = translation.body(call, Target("v", model), "refuse")
        wanted = table.expected(client, vendor, case, SAYS[vendor].request(case, stream, model))
        self.assertEqual(json.loads(body), wanted)
        self.assertEqual(call.record.facts.get(DROPPED, []), [])

    def test_translated(self) -> None:
        """The vendor is asked as its own clients would ask it."""
        for client, vendor in PAIRS:
            for case in CASES:
                for stream in (False, True):
                    if client != vendor:
                        with self.subTest(f"{client} → {vendor}, {case}, {'streamed' if stream else 'whole'}"):
                            self.cell(client, vendor, case, stream)

    def test_passed_through(self) -> None:
        """Between the same dialects the bytes stay as they are but for the model."""
        for client in ASKERS:
            for case in CASES:
                for stream in (False, True):
                    with self.subTest(f"{client}, {case}"):
                        call, raw, _ = ask(client, case, stream)
                        body = translation_of(client, client).body(call, Target("v", "vendors-own"), "refuse")
                        wanted = raw.replace(cases.ASKED_MODEL.encode(), b"vendors-own")
                        self.assertEqual(body, raw if client == "gemini" else wanted)


class Answers(SynchronousTestCase):
    maxDiff = None

    def test_whole(self) -> None:
        """The client is answered as a vendor of its own dialect would answer."""
        for client, vendor in PAIRS:
            for case in CASES:
                with self.subTest(f"{client} ← {vendor}, {case}"):
                    call, _, request = ask(client, case, False)
                    told = cases.told(vendor, case, False)
                    raw = cases.dump(SAYS[vendor].answer(told, request)).encode()
                    answer = translation_of(client, vendor).answer(raw, call, Target("v", "m"), cases.NOW)
                    self.assertEqual(answer.usage, told.usage)
                    if client == vendor:
                        self.assertEqual(answer.body, raw)
                    else:
                        wanted = SAYS[client].answer(shown(client, vendor, told), request)
                        self.assertEqual(json.loads(answer.body), wanted)

    def test_streamed(self) -> None:
        """The same as a stream, event by event, wherever the vendor's bytes are cut."""
        for client, vendor in PAIRS:
            for case in CASES:
                with self.subTest(f"{client} ← {vendor}, {case}"):
                    call, _, request = ask(client, case, True)
                    told = cases.told(vendor, case, True)
                    data = sent(vendor, SAYS[vendor].stream(told, request, False))
                    translation = translation_of(client, vendor)
                    stream, usage = read(translation, call, data, len(data))
                    self.assertEqual(usage, told.usage)
                    if client == vendor:
                        self.assertEqual(stream, data)
                    else:
                        wanted = SAYS[client].stream(shown(client, vendor, told), request, True)
                        self.assertEqual(cases.unsse(stream), wanted)
                    for step in (1, 2, 3, 7) if case in ("parallel", "thinking") else (5, 64):
                        self.assertEqual(read(translation, call, data, step), (stream, usage))

    def test_usage_only_where_asked(self) -> None:
        """A chat client that did not ask for usage sees none in the stream; it is accounted for all the same."""
        for vendor in VENDORS:
            call, _, request = ask("openai_chat", "plain", True)
            call.wants_usage = False
            told = cases.told(vendor, "plain", True)
            data = sent(vendor, SAYS[vendor].stream(told, request, False))
            stream, usage = read(translation_of("openai_chat", vendor), call, data, 50)
            self.assertEqual(usage, told.usage)
            self.assertNotIn(b'"usage":{', stream)
            self.assertTrue(stream.endswith(b"data: [DONE]\n\n"))


class Errors(SynchronousTestCase):
    maxDiff = None

    def test_before(self) -> None:
        """A vendor's refusal is told in the client's dialect, with the vendor's words, whole and streamed."""
        for client, vendor in PAIRS:
            for stream in (False, True):
                with self.subTest(f"{client} ← {vendor}"):
                    said = translation_of(client, vendor).vendor_dialect.parse_error(
                        cases.dump(SAYS[vendor].ERROR).encode()
                    )
                    error = failure_for("vendor", 400, said, None)
                    code, param = table.REFUSED_AS[vendor]
                    wanted = SAYS[client].error(
                        400, code, "invalid_request_error", "No such thing.", param, {"provider": "vendor"}
                    )
                    self.assertEqual(json.loads(DIALECTS[client].error_body(error)), wanted)
                    if not stream:
                        self.behind_200(client, vendor)

    def behind_200(self, client: str, vendor: str) -> None:
        """An error object where an answer should be is never an answer."""
        call, _, _ = ask(client, "plain", False)
        with self.assertRaises(TargetError) as caught:
            translation_of(client, vendor).answer(
                cases.dump(SAYS[vendor].ERROR).encode(), call, Target("v", "m"), cases.NOW
            )
        self.assertEqual(caught.exception.status, 502)
        self.assertIn("No such thing.", caught.exception.message)

    def test_in_the_stream(self) -> None:
        """What came before is given, then an error in the client's dialect, and never a clean end."""
        for client, vendor in PAIRS:
            with self.subTest(f"{client} ← {vendor}"):
                call, _, request = ask(client, "plain", True)
                told = cases.told(vendor, "plain", True)
                before = upto_text(SAYS[vendor].stream(told, request, False))
                data = sent(vendor, [*before, SAYS[vendor].ERROR_EVENT])
                reader = translation_of(client, vendor).reader(call, Target("v", "m"), LIMIT, cases.NOW)
                stream, error = b"", None
                for index in range(len(data)):
                    try:
                        stream += b"".join(each.frame for each in reader.feed(data[index : index + 1]))
                    except EdgeError as raised:
                        error = raised
                        break
                assert isinstance(error, TargetError)
                if client == vendor:
                    self.assertEqual(stream, sent(vendor, before))
                else:
                    wanted = upto_text(SAYS[client].stream(shown(client, vendor, told), request, True))
                    self.assertEqual(cases.unsse(stream), wanted)
                (frame,) = cases.unsse(DIALECTS[client].error_frame(error.of("vendor")))
                message = "The provider 'vendor' failed while answering: It broke."
                self.assertEqual(frame, SAYS[client].error_event(message))


def upto_text(events: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    """The events up to the first that says something."""
    index = next(number for number, (_, data) in enumerate(events) if "It is " in cases.dump(data))
    return events[: index + 1]

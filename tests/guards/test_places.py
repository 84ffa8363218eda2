"""Every text of every dialect and operation has its place, and nothing else has one."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.guards.body import Body
from llmedge.guards.places import Unit, answered
from tests.effort import examples
from tests.guards.positions import ANSWERS, REQUESTS


def places(fields: dict[str, Any]) -> tuple[Body, list[Any]]:
    raw = msgspec.json.decode(json.dumps(fields), type=dict[str, msgspec.Raw])
    body = Body(raw)
    list(body.all())
    return body, [slot for unit in body.units for slot in unit.slots]


class Requests(SynchronousTestCase):
    def test_every_text(self) -> None:
        """What stands in a body as ``WHERE:NAME`` is found there, once, and all that is found is such."""
        for name, fields in REQUESTS.items():
            _, found = places(fields)
            said = sorted(slot.text for slot in found)
            written = sorted(text for text in strings(fields) if ":" in text and text.partition(":")[0] in WHERE)
            self.assertEqual(said, written, name)
            for slot in found:
                self.assertEqual(slot.where, slot.text.partition(":")[0], f"{name}: {slot.text}")

    def test_schemas_hold_texts_of_any_shape(self) -> None:
        """Values in them are anybody's; names and patterns cannot be replaced, and are seen by who blocks."""
        schema = {
            "examples": [{"id": "one", "usage": "two"}],
            "default": {"type": "three"},
            "properties": {"four": {"const": {"status": "five"}}, "b": {"pattern": "six"}},
        }
        body, found = places({"tools": [{"name": "f", "input_schema": schema}]})
        self.assertEqual({slot.text for slot in found}, {"one", "two", "three", "five"})
        self.assertLessEqual({"four", "six"}, set(body.units[0].fixed))

    def test_another_text(self) -> None:
        """It can be put into each place; all else stays what it was, JSON within texts too."""
        for name, fields in REQUESTS.items():
            body, found = places(fields)
            self.assertIsNone(body.changed(), name)
            for slot in found:
                slot.put(slot.text.upper() + ' "\\\n')
            changed = body.changed()
            assert changed is not None
            now = json.loads(msgspec.json.encode(changed))
            self.assertEqual(now, upper(fields), name)

    def test_only_what_changes_is_written_anew(self) -> None:
        """Other messages stay the bytes they were, whatever their spelling."""
        raw = b'[ {"role": "user", "content": "a\\u0062c", "n": 1.50e2},{"role":"user","content":"x"} ]'
        body = Body({"messages": msgspec.Raw(raw), "temperature": msgspec.Raw(b"1.0")})
        unit = body.units[1]
        unit.slots[0].put("y")
        changed = body.changed()
        assert changed is not None
        self.assertIn(b'{"role": "user", "content": "a\\u0062c", "n": 1.50e2}', bytes(changed["messages"]))
        self.assertEqual(bytes(changed["temperature"]), b"1.0")

    def test_numbers_stay_what_they_are(self) -> None:
        """Also those that no float holds, beside a text that changes."""
        arguments = '{"to": "x", "card": 4111111111111111111111, "price": 1.10, "tiny": 1e-400}'
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
        body, found = places({"messages": [{"role": "assistant", "content": None, "tool_calls": [call]}]})
        self.assertEqual([slot.text for slot in found], ["x"])
        found[0].put("y")
        changed = body.changed()
        assert changed is not None
        function = json.loads(bytes(changed["messages"]))[0]["tool_calls"][0]["function"]
        self.assertEqual(function["arguments"], '{"to":"y","card":4111111111111111111111,"price":1.10,"tiny":1E-400}')
        self.assertIn("4111111111111111111111", body.units[0].fixed)
        self.assertIn("card", body.units[0].fixed)

    def test_only_what_has_a_name_twice_is_written_anew(self) -> None:
        """However its quotation marks are spelled; in arguments as well."""
        spelled = ((r'{"a":"\u0022","b":{"a":1}}', False), (r'{"a":"","a":"\u0022\u0022\u0022\u0022"}', True))
        plain = ((r'{"a":"\"\\","b":["\\"]}', False), (r'{"a":1,"a":"b"}', True))
        within = [(json.dumps({"function": {"name": "f", "arguments": text}}), twice) for text, twice in plain]
        for text, twice in (*spelled, *plain, *within):
            unit = Unit("messages", 0, text.encode()).read()
            self.assertEqual((unit.changed, unit.json() == text.encode()), (twice, not twice), text)

    def test_arguments_that_are_no_json(self) -> None:
        call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": '{"to": "x'}}
        _, found = places({"messages": [{"role": "assistant", "tool_calls": [call]}]})
        self.assertEqual([(slot.kind, slot.text) for slot in found], [("arguments", '{"to": "x')])

    def test_what_cannot_be_read(self) -> None:
        """Pictures, sounds, files and tokens are media; with where they are, as far as that is told."""
        parts = [
            {"type": "image_url", "image_url": {"url": "https://x.example/a.png"}},
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}},
            {"type": "file", "file": {"filename": "f", "file_data": "data:application/pdf;base64,AA=="}},
            {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
            {"inlineData": {"mimeType": "audio/wav", "data": "AAAA"}},
        ]
        body, _ = places({"messages": [{"role": "user", "content": parts}]})
        media = body.units[0].media
        self.assertEqual([each.kind for each in media], ["image", "audio", "file", "image", "audio"])
        self.assertEqual(media[0].url, "https://x.example/a.png")
        self.assertEqual(media[3].url, "data:image/png;base64,AAAA")
        for prompt in ([1, 2, 3], [[1, 2], [3]]):
            body, found = places({"input": prompt})
            self.assertEqual(({each.kind for unit in body.units for each in unit.media}, found), ({"tokens"}, []))

    def test_what_is_new(self) -> None:
        """All behind the last answer; and what is of no turn."""
        messages = [
            {"role": "user", "content": "old"},
            {"role": "assistant", "content": "said"},
            {"role": "tool", "content": "new", "tool_call_id": "1"},
        ]
        _, found = places({"messages": messages, "system": "always"})
        self.assertEqual(
            {slot.text: slot.new for slot in found}, {"old": False, "said": False, "new": True, "always": True}
        )

    def test_tools(self) -> None:
        """What is offered, and what was called, in each dialect."""
        for name in ("chat", "responses", "messages", "gemini"):
            body, _ = places(REQUESTS[name])
            offered = [each for unit in body.units for each in unit.offered]
            self.assertIn("look_up", [each.name for each in offered], name)
            self.assertIn("tools:schema", offered[0].schema.decode(), name)
            called = [each for unit in body.units for each in unit.called]
            self.assertEqual([each.name for each in called], ["look_up"], name)
            self.assertIn("tool_calls:argument", called[0].arguments, name)


WORDS = (
    *("role", "content", "type", "text", "name", "arguments", "input", "function", "tool_calls", "args"),
    *("image_url", "source", "data", "url", "parts", "output", "metadata", "messages", "tools", "parameters"),
    *("user", "assistant", "tool_use", "tool_result", "function_call", "functionCall", "base64", "logprobs"),
    *("choices", "properties", "id"),
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(WORDS)
    | st.text(max_size=4)
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=20,
)


class Odd(SynchronousTestCase):
    @settings(max_examples=examples(300), deadline=None)
    @given(st.dictionaries(st.sampled_from(WORDS), JSON, max_size=5))
    def test_whatever_is_sent(self, fields: dict[str, Any]) -> None:
        """Nothing of it is too odd to be looked at, and what is not replaced stays what it is."""
        body, found = places(fields)
        self.assertEqual({slot.text for slot in found} - set(deep(fields)), set())
        for slot in found:
            slot.put(slot.text)
        changed = body.changed()
        if changed is not None:
            self.assertEqual(unechoed(json.loads(msgspec.json.encode(changed))), unechoed(fields))
        unit = answered(json.dumps(fields).encode())
        unit.json()


def deep(value: Any) -> Iterator[str]:
    """All strings, those in JSON texts too."""
    if isinstance(value, str):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from deep(each)


def unechoed(value: Any) -> Any:
    """Without what says a text once more, which goes where the text changes."""
    if isinstance(value, dict):
        return {name: unechoed(each) for name, each in value.items() if name != "logprobs"}
    return [unechoed(each) for each in value] if isinstance(value, list) else value


class Answers(SynchronousTestCase):
    def test_pictures_that_come_in_parts(self) -> None:
        """They are no texts, and long."""
        event = {"type": "response.image_generation_call.partial_image", "partial_image_b64": "AAAA"}
        self.assertEqual(answered(json.dumps(event).encode()).slots, [])

    def test_every_text(self) -> None:
        for name, answer in ANSWERS.items():
            found = answered(json.dumps(answer).encode()).slots
            written = sorted(text for text in strings(answer) if text.startswith("response:"))
            self.assertEqual(sorted(slot.text for slot in found), written, name)

    def test_choices_are_told_apart(self) -> None:
        choices = [
            {"index": number, "message": {"role": "assistant", "content": text}} for number, text in enumerate("ab")
        ]
        found = answered(json.dumps({"choices": choices}).encode()).slots
        self.assertEqual([(slot.message, slot.text) for slot in found], [(0, "a"), (1, "b")])

    def test_what_says_it_once_more(self) -> None:
        """Logarithms of probabilities tell each token: they go where the text does not stay."""
        choice = {"index": 0, "message": {"content": "x"}, "logprobs": {"content": [{"token": "x", "logprob": -1.0}]}}
        unit = answered(json.dumps({"choices": [choice]}).encode())
        self.assertEqual(len(unit.slots), 1)
        unit.slots[0].put("y")
        self.assertIsNone(json.loads(unit.json())["choices"][0]["logprobs"])


WHERE = ("request", "history", "system", "tool_results", "tool_calls", "tools", "response")


def strings(value: Any) -> list[str]:
    if isinstance(value, str):
        if value[:1] == "{":
            return strings(json.loads(value))
        return [value]
    if isinstance(value, dict):
        return [text for each in value.values() for text in strings(each)]
    return [text for each in value for text in strings(each)] if isinstance(value, list) else []


def upper(value: Any) -> Any:
    """With other texts in the places."""
    if isinstance(value, str):
        if value[:1] == "{":
            return json.dumps(upper(json.loads(value)), separators=(",", ":"))
        where = value.partition(":")
        return value.upper() + ' "\\\n' if where[1] and where[0] in WHERE else value
    if isinstance(value, dict):
        return {name: upper(each) for name, each in value.items()}
    return [upper(each) for each in value] if isinstance(value, list) else value

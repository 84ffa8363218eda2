"""Two calls are equal where nothing that may change the answer differs."""

import json

import msgspec
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.key import LEFT_OUT, Unclear, canonical, is_deterministic, key_of, why_never
from tests.effort import examples

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def fields(document: object, **how: object) -> dict[str, msgspec.Raw]:
    return msgspec.json.decode(json.dumps(document, **how), type=dict[str, msgspec.Raw])  # type: ignore[call-overload, no-any-return]


def turned(value: object) -> object:
    """The same, with the members of each object the other way round."""
    if isinstance(value, dict):
        return {name: turned(each) for name, each in reversed(value.items())}
    return [turned(each) for each in value] if isinstance(value, list) else value


class Equal(SynchronousTestCase):
    @settings(max_examples=examples(300), deadline=None)
    @given(st.dictionaries(st.text(min_size=1), JSON, max_size=5))
    def test_order_and_space(self, document: dict[str, object]) -> None:
        one = key_of(b"p", fields(document, separators=(",", ":")))
        self.assertEqual(one, key_of(b"p", fields(turned(document), indent=2)))
        self.assertEqual(one, key_of(b"p", fields(document, ensure_ascii=False)))

    @settings(max_examples=examples(300), deadline=None)
    @given(
        st.dictionaries(st.text(min_size=1), JSON, max_size=4), st.dictionaries(st.text(min_size=1), JSON, max_size=4)
    )
    def test_different_ones(self, one: dict[str, object], other: dict[str, object]) -> None:
        """Whatever members are called, and whatever is in them."""
        counts = [{name: value for name, value in each.items() if name not in LEFT_OUT} for each in (one, other)]
        assume(json.dumps(counts[0], sort_keys=True) != json.dumps(counts[1], sort_keys=True))
        self.assertNotEqual(key_of(b"p", fields(one)), key_of(b"p", fields(other)))

    def test_names_with_ends(self) -> None:
        """A member's name cannot be made to look like two members."""
        two = {"system": "be kind", "temperature": 0}
        one = {'system\0"be kind"\0temperature': 0}
        self.assertNotEqual(key_of(b"p", fields(one)), key_of(b"p", fields(two)))

    def test_whose(self) -> None:
        self.assertNotEqual(key_of(b"a", {}), key_of(b"b", {}))

    def test_what_is_left_out(self) -> None:
        for name in LEFT_OUT:
            self.assertEqual(key_of(b"p", fields({name: 1})), key_of(b"p", {}), name)

    def test_numbers(self) -> None:
        """Those that differ by little, and those that are too large for a machine's."""
        for one, other in ((1, 1.0), (12345678901234567890123, 12345678901234567890124), (0.1, 0.10000000000000002)):
            texts = [json.dumps({"a": [each]}) for each in (one, other)]
            keys = {key_of(b"p", msgspec.json.decode(text, type=dict[str, msgspec.Raw])) for text in texts}
            self.assertEqual(len(keys), 2, texts)

    def test_two_readings(self) -> None:
        for raw in (b'{"a":1,"a":2}', b'[{"x":"1","x":"2"}]'):
            self.assertRaises(Unclear, canonical, raw)
            canonical(raw, False)
        self.assertRaises(Unclear, canonical, b"[" * 5000)

    def test_quotes_written_otherwise(self) -> None:
        """As .NET does; they make up for no member that is there twice."""
        self.assertEqual(canonical(b'["say \\u0022hi\\u0022"]'), b'["say \\"hi\\""]')
        self.assertEqual(canonical(b'["\\\\u0022"]'), b'["\\\\u0022"]')
        self.assertRaises(Unclear, canonical, b'{"a":1,"a":"\\u0022\\u0022"}')
        self.assertRaises(Unclear, canonical, b'{"a":1,"a":"\\\\\\u0022\\u0022"}')


class Once(SynchronousTestCase):
    def test_why(self) -> None:
        for dialect, document, why in (
            ("openai_chat", {"store": True}, "state"),
            ("openai_chat", {"store": False}, ""),
            ("openai_responses", {"previous_response_id": "r"}, "state"),
            ("openai_responses", {"previous_response_id": None}, ""),
            ("openai_responses", {"conversation": {"id": "c"}}, "state"),
            ("openai_responses", {"background": True}, "state"),
            ("openai_chat", {"modalities": ["text"]}, ""),
            ("openai_chat", {"modalities": ["text", "audio"]}, "audio"),
            ("openai_chat", {"audio": {"voice": "x"}}, "audio"),
            ("openai_chat", {"web_search_options": {}}, "tools"),
            ("openai_chat", {"web_search_options": None}, ""),
            ("openai_chat", {"search_parameters": {"mode": "auto"}}, "tools"),
            ("openai_chat", {"plugins": [{"id": "web"}]}, "tools"),
            ("openai_chat", {"enable_search": True}, "tools"),
            ("openai_chat", {"enable_search": False}, ""),
            ("openai_responses", {"input": [{"type": "additional_tools", "tools": []}]}, "tools"),
            ("openai_responses", {"input": "additional_tools"}, ""),
            ("gemini", {"generationConfig": {"responseModalities": ["TEXT", "AUDIO"]}}, "audio"),
            ("gemini", {"generationConfig": {"responseModalities": ["TEXT"]}}, ""),
            ("openai_chat", {"web_search_options": {"a": 1}}, "tools"),
            ("openai_chat", {"tools": [{"type": "function"}, {"type": "custom"}]}, ""),
            ("openai_responses", {"tools": [{"type": "web_search_preview"}]}, "tools"),
            ("anthropic", {"tools": [{"name": "f"}]}, ""),
            ("anthropic", {"tools": [{"type": "web_search_20250305", "name": "w"}]}, "tools"),
            ("anthropic", {"mcp_servers": [{"url": "x"}]}, "tools"),
            ("anthropic", {"container": "c"}, "state"),
            ("gemini", {"tools": [{"functionDeclarations": []}]}, ""),
            ("gemini", {"tools": [{"googleSearch": {}}]}, "tools"),
            ("gemini", {"tools": "x"}, "tools"),
        ):
            self.assertEqual(why_never(fields(document), dialect), why, document)

    def test_the_same_each_time(self) -> None:
        for document, expected in (
            ({}, False),
            ({"temperature": 0}, True),
            ({"temperature": 0.0}, True),
            ({"temperature": 0.1}, False),
            ({"temperature": None}, False),
            ({"seed": 0}, True),
            ({"seed": None}, False),
            ({"generationConfig": {"temperature": 0}}, True),
            ({"generationConfig": {"seed": 3}}, True),
            ({"generationConfig": 5}, False),
        ):
            self.assertEqual(is_deterministic(fields(document)), expected, document)

"""The form of an answer, as vendors take it."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.capabilities import Capabilities
from llmedge.dialects import ir
from llmedge.dialects.fitting.output import fit_output
from llmedge.errors import Unsupported
from tests.dialects.fitting.common import VENDORS, body, context, dialect_of, user

TREE = b'{"type":"object","properties":{"more":{"type":"array","items":{"$ref":"#"}}}}'
LIST = b'{"type":"array","items":{"type":"string"}}'
OPEN = b'{"type":"object","properties":{"a":{"type":"string"}}}'


def fit(vendor: str, output: ir.Output, mode: str = "hints") -> tuple[ir.Request, list[str]]:
    target = context(vendor, mode)
    return fit_output(user(output=output), target, dialect_of(vendor).needs), target.dropped


class Forms(SynchronousTestCase):
    def test_models_that_are_held_to_none(self) -> None:
        """The schema is said in words, and JSON is asked for where the model can be held to that; it is named."""
        for vendor in VENDORS:
            for json_object, kept in ((True, None if vendor in ("anthropic", "bedrock") else "json"), (False, None)):
                able = Capabilities(json_object=json_object, json_schema=False)
                target = context(vendor, capabilities=able)
                request = fit_output(user(output=ir.Output("json_schema", OPEN)), target, dialect_of(vendor).needs)
                self.assertIn(OPEN.decode(), str(request.messages[0]))
                self.assertEqual((request.output and request.output.kind, target.dropped), (kept, ["output"]))
        request = fit_output(user(output=ir.Output("json")), context("openai_chat", capabilities=able), frozenset())
        self.assertIsNone(request.output)

    def test_limits(self) -> None:
        """Each vendor is sent the words it has, and the rest in a description."""
        schema = b'{"type":"object","properties":{"n":{"type":"integer","minimum":1,"multipleOf":2}}}'
        for vendor, kept in (
            ("openai_chat", {"minimum", "multipleOf"}),
            ("openai_responses", {"minimum", "multipleOf"}),
            ("anthropic", set()),
            ("bedrock", set()),
            ("gemini", {"minimum"}),
        ):
            request, dropped = fit(vendor, ir.Output("json_schema", schema), "refuse")
            assert request.output is not None
            number = json.loads(request.output.schema)["properties"]["n"]
            self.assertEqual(number.keys() - {"type", "description"}, kept)
            for word in {"minimum", "multipleOf"} - kept:
                self.assertIn(word, number["description"])
            self.assertEqual(dropped, [])

    def test_json_of_no_schema(self) -> None:
        """Where there is no mode for it the model is told, and the client."""
        for vendor in VENDORS:
            request, dropped = fit(vendor, ir.Output("json"))
            told = vendor in ("anthropic", "bedrock")
            self.assertEqual((request.output is None, dropped), (told, ["output"] if told else []))
            self.assertEqual(request.messages[0].role, "system" if told else "user")

    def test_a_loop(self) -> None:
        """Claude takes none: 400; others do."""
        for vendor in VENDORS:
            if vendor in ("anthropic", "bedrock"):
                error = self.assertRaises(Unsupported, fit, vendor, ir.Output("json_schema", TREE))
                self.assertIn("made of itself", error.message)
                self.assertEqual(fit(vendor, ir.Output("json_schema", TREE), "drop")[0].output, None)
            else:
                self.assertEqual(fit(vendor, ir.Output("json_schema", TREE))[1], [])

    def test_an_answer_that_is_no_object(self) -> None:
        """OpenAI's are: the model is told of another in words."""
        for vendor in VENDORS:
            target = context(vendor)
            said = json.dumps(body(vendor, user(output=ir.Output("json_schema", LIST)), target))
            in_words = vendor.startswith("openai")
            self.assertEqual(target.dropped, ["output"] if in_words else [])
            self.assertEqual("keeps to this JSON schema" in said, in_words)
            self.assertIn("array", said)

    def test_strict(self) -> None:
        for vendor, strict in (
            ("openai_chat", False),
            ("openai_responses", False),
            ("anthropic", True),
            ("gemini", True),
        ):
            request, dropped = fit(vendor, ir.Output("json_schema", OPEN, strict=True))
            assert request.output is not None
            self.assertEqual((request.output.strict, dropped), (strict, [] if strict else ["output.strict"]))

    def test_names(self) -> None:
        """As OpenAI and Bedrock have them."""
        for name, said in (("a b.ü", "a_b__"), ("x" * 70, "x" * 64), ("fine-1", "fine-1")):
            request, _ = fit("bedrock", ir.Output("json_schema", OPEN, name))
            assert request.output is not None
            self.assertEqual(request.output.name, said)

    def test_descriptions(self) -> None:
        """Within the schema, for whom there is no place beside it."""
        for vendor in VENDORS:
            request, dropped = fit(vendor, ir.Output("json_schema", OPEN, description="d"), "refuse")
            assert request.output is not None
            inside = json.loads(request.output.schema).get("description", "")
            beside = vendor in ("openai_chat", "openai_responses", "bedrock")
            self.assertEqual((inside, request.output.description, dropped), ("", "d", []) if beside else ("d", "", []))

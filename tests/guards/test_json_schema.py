"""An answer that is to fit a schema: the one asked for in each dialect, or the operator's."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import attrs

from llmedge.config import ConfigError
from llmedge.guards import json_schema
from llmedge.guards.interfaces import CalledTool, Judgement
from llmedge.operations import Operation
from tests.folders import new_folder
from tests.guards.asking import CANARY, Checking, guardrail, place

NUMBER = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"], "additionalProperties": False}
GOOD, BAD = '{"n": 1}', f'{{"n": "{CANARY}"}}'
TOML = 'type = "json_schema"\n'
ASKED: tuple[tuple[str, dict[str, Any]], ...] = (
    ("openai_chat", {"response_format": {"type": "json_schema", "json_schema": {"name": "n", "schema": NUMBER}}}),
    ("openai_responses", {"input": "hi", "text": {"format": {"type": "json_schema", "name": "n", "schema": NUMBER}}}),
    ("anthropic", {"max_tokens": 9, "output_format": {"type": "json_schema", "schema": NUMBER}}),
    ("anthropic", {"max_tokens": 9, "output_config": {"format": {"type": "json_schema", "schema": NUMBER}}}),
    (
        "gemini",
        {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "generationConfig": {
                "responseMimeType": "application/json",
                "responseSchema": {
                    "type": "OBJECT",
                    "properties": {"n": {"type": "INTEGER"}},
                    "required": ["n"],
                },
            },
        },
    ),
    (
        "gemini",
        {
            "contents": [{"role": "user", "parts": [{"text": "hi"}]}],
            "generationConfig": {"responseMimeType": "application/json", "responseJsonSchema": NUMBER},
        },
    ),
)
BLOCK = Judgement("block", "schema")


class Answers(Checking):
    def judge(self, *texts: str, toml: str = TOML, call: Any = None, **more: Any) -> Judgement:
        self.begin(toml)
        places = [place(text, "response", role="assistant") for text in texts]
        return self.judged(*places, **{"of": "response", "answer": list(texts), "call": call and call()} | more)

    def asking(self, fields: dict[str, Any], dialect: str = "openai_chat") -> Callable[[], Any]:
        return lambda: self.call(fields, dialect=dialect)

    def test_asked_for(self) -> None:
        """In whatever dialect."""
        for dialect, fields in ASKED:
            for text, means in ((GOOD, Judgement()), (BAD, BLOCK), ("so: " + GOOD, BLOCK), ("", BLOCK)):
                call = self.asking(fields, dialect)
                self.assertEqual(self.judge(text, call=call), means, (dialect, fields, text))

    def test_any_object(self) -> None:
        call = self.asking({"response_format": {"type": "json_object"}})
        for text, means in (("{}", Judgement()), ("[]", BLOCK), ("x", BLOCK)):
            self.assertEqual(self.judge(text, call=call), means)

    def test_nothing_asked_for(self) -> None:
        for call in (
            self.asking({}),
            self.asking({"response_format": {"type": "text"}}),
            lambda: self.call(operation=Operation.EMBEDDINGS),
        ):
            self.assertEqual(self.judge("x", call=call), Judgement())

    def test_the_operators(self) -> None:
        """As a table, JSON, or in a file; it goes before what is asked for."""
        file = new_folder() / "schema.json"
        file.write_text(json.dumps(NUMBER))
        call = self.asking({"response_format": {"type": "json_object"}})
        for schema in (f'"{file}"', f"'{json.dumps(NUMBER)}'", '{type = "object", required = ["n"]}'):
            toml = f"{TOML}schema = {schema}"
            self.assertEqual(self.judge(GOOD, toml=toml, call=call), Judgement())
            self.assertEqual(self.judge("{}", toml=toml, call=call), BLOCK)

    def test_choices(self) -> None:
        """Each has to fit."""
        call = self.asking(dict(ASKED[0][1]))
        self.assertEqual(self.judge(GOOD, GOOD, call=call), Judgement())
        self.assertEqual(self.judge(GOOD, BAD, call=call), BLOCK)

    def test_others(self) -> None:
        """An answer that calls a tool, refuses, or is not whole yet is not judged; nor is a request."""
        call = self.asking(dict(ASKED[0][1]))
        refusal = place("no", "response", kind="refusal")
        for more in ({"called": [CalledTool("t", "{}")]}, {"position": "part"}, {"of": "request"}):
            self.assertEqual(self.judge("", call=call, **more), Judgement(), more)
        self.begin(TOML)
        self.assertEqual(self.judged(refusal, of="response", answer=[], call=call()), Judgement())
        self.assertEqual(self.judged(refusal, of="response", answer=[BAD], call=call()), BLOCK)
        self.assertEqual(self.judge(BAD, call=call, called=[CalledTool("t", "{}")]), BLOCK)
        self.assertEqual(self.judge(call=call), BLOCK)

    def test_in_a_thread(self) -> None:
        """Large answers, and small ones that take longer than they look."""
        self.begin(TOML)
        threads: list[Any] = []

        async def in_thread(work: Any, *args: Any) -> Any:
            threads.append(args[1:])
            return work(*args)

        self.deps = attrs.evolve(self.deps, in_thread=in_thread)
        self.checker = json_schema.JsonSchema(self.settings, self.deps)
        call = self.asking(dict(ASKED[0][1]))
        large = GOOD + " " * json_schema.SMALL
        for text, quick, count in ((GOOD, 60.0, 0), (large, 60.0, 1), (GOOD, 0.0, 2)):
            self.patch(json_schema, "QUICK", quick)
            self.assertEqual(self.judged(of="response", answer=[text], call=call()), Judgement())
            self.assertEqual(len(threads), count)
        self.assertEqual(threads, [(large, json_schema.LONG), (GOOD, json_schema.LONG)])

    def test_schemas_that_cannot_be_applied(self) -> None:
        """It cannot say then, whoever's the schema is."""
        self.patch(json_schema, "LONG", 0.05)
        for schema, cause in (
            ({"$ref": "#"}, "timeout"),
            ({"$ref": "http://127.0.0.1:9/x"}, "answer"),
            ({"type": "object", "description": "x" * json_schema.LARGEST}, "answer"),
        ):
            self.begin(TOML)
            format_ = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema}}
            call = self.call({"response_format": format_})
            self.fails(self.check(of="response", answer=[BAD], call=call), cause)
        self.begin(TOML)
        call = self.call({"messages": 3, "response_format": {}})
        self.fails(self.check(of="response", answer=[BAD], call=call), "answer")

    def test_configuration(self) -> None:
        for toml, words in (
            ('schema = "/nowhere.json"', "schema names the file /nowhere.json, which cannot be read"),
            ("schema = '{'", "schema must be a JSON Schema"),
            ('schema = ""', "schema must be a text that is not empty"),
            (f"""schema = '{{"title": "{"x" * 70_000}"}}'""", "schema must have at most 65536 bytes"),
            ('on = ["request"]', 'on must be ["response"]'),
            ('stream = "sentence"', "stream must be hold or after"),
        ):
            self.assertIn(words, str(self.assertRaises(ConfigError, guardrail, TOML + toml)))

    def test_without_the_extra(self) -> None:
        self.patch(json_schema.importlib.util, "find_spec", lambda name: None)
        error = self.assertRaises(ConfigError, guardrail, TOML + "timeout = 7.0")
        self.assertIn("needs jsonschema and regex: pip install 'llmedge[json_schema]'", str(error))

"""Requests, read and written."""

import json

import msgspec
from google.genai import types
from hypothesis import HealthCheck, given, settings
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.gemini import Gemini, chunks, wire
from llmedge.dialects.gemini.schema import to_json_schema
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import (
    Unsupported,
    ValidationError,
)
from tests.dialects.fitted import fitted
from tests.dialects.gemini.strategies import requests
from tests.effort import examples

GEMINI = Gemini()
SLOW = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]


def parsed(body: dict) -> ir.Request:
    raw = json.dumps({"contents": CONTENTS} | body).encode()
    return GEMINI.parse(GEMINI.parse_request(raw, model="gemini-3-pro").fields)


def rendered(request: ir.Request, model: str = "gemini-3-pro", quirks: frozenset[str] = frozenset()) -> dict:
    return json.loads(GEMINI.render(request, model, RenderContext({}, "refuse"), stream=False, quirks=quirks))


def placeless(request: ir.Request) -> ir.Request:
    messages = tuple(msgspec.structs.replace(message, at="") for message in request.messages)
    return msgspec.structs.replace(request, messages=messages)


def ask(*messages: ir.Message, **fields: object) -> ir.Request:
    return ir.Request(messages or (ir.Message("user", (ir.Text("hi"),)),), **fields)


def checked(raw: bytes) -> None:
    GEMINI.check(GEMINI.parse_request(raw, model="m").fields)


class Requests(SynchronousTestCase):
    def test_what_is_wrong_is_named(self) -> None:
        """The error names the field by its whole path."""
        for body, param in (
            (b"", None),
            (b"[]", None),
            (b"{}", "contents"),
            (b'{"contents":[]}', "contents"),
            (b'{"contents":"hi"}', "contents"),
            (b'{"contents":[5]}', "contents[0]"),
            (b'{"contents":[{"parts":[7]}]}', "contents[0].parts[0]"),
            (b'{"contents":[{}],"generationConfig":{"candidateCount":"x"}}', "generationConfig.candidateCount"),
            (b'{"contents":[{}],"generation_config":{"candidate_count":-1}}', "generationConfig.candidateCount"),
            (b'{"contents":[{}],"tools":5}', "tools"),
        ):
            error = self.assertRaises(ValidationError, checked, body)
            self.assertEqual(error.param, param, body)
        for more, param in (
            ({"contents": [{"role": "robot", "parts": []}]}, "contents[0].role"),
            ({"contents": [{"parts": [{"functionCall": {"args": {}}}]}]}, "contents[0].parts[0].functionCall.name"),
            ({"generationConfig": {"temperature": "hot"}}, "generationConfig.temperature"),
            ({"generationConfig": {"temperature": 10**400}}, "generationConfig.temperature"),
            ({"toolConfig": {"functionCallingConfig": {"mode": "MAYBE"}}}, "toolConfig.functionCallingConfig.mode"),
            ({"labels": {"a": 1}}, "labels"),
        ):
            self.assertEqual(self.assertRaises(ValidationError, parsed, more).param, param)

    def test_the_body_passes_through(self) -> None:
        """Not even the spelling of a name changes; a model in the body becomes the vendor's."""
        raw = b'{"contents":[{"parts":{"inline_data":{"x":1.0}}}],"generation_config":{"candidateCount":3}}'
        request = GEMINI.parse_request(raw, model="a", stream=True)
        self.assertEqual((request.model, request.stream, request.choices, request.message_count), ("a", True, 3, 1))
        self.assertTrue(request.wants_usage)
        self.assertEqual(GEMINI.forward(request.fields, "b", stream=True, ask_usage=True), raw)
        named = GEMINI.parse_request(b'{"model":"models/a","contents":[{}]}', model="a").fields
        self.assertEqual(
            GEMINI.forward(named, "b", stream=False, ask_usage=True), b'{"model":"models/b","contents":[{}]}'
        )

    def test_everything_a_request_can_say(self) -> None:
        """A request with all there is, read and written; Google's own types judge it."""
        body = {
            "systemInstruction": {"parts": [{"text": "Be brief."}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [
                        {"text": "Look"},
                        {
                            "inlineData": {"mimeType": "image/png", "data": "aW1n"},
                            "mediaResolution": {"level": "MEDIA_RESOLUTION_HIGH"},
                        },
                        {"inlineData": {"mimeType": "audio/wav", "data": "c25k"}},
                        {"inlineData": {"mimeType": "application/pdf", "data": "cGRm", "displayName": "a.pdf"}},
                        {"inlineData": {"mimeType": "text/plain", "data": "aMOp"}},
                        {"fileData": {"mimeType": "image/jpeg", "fileUri": "https://example.com/x"}},
                        {"fileData": {"fileUri": "https://generativelanguage.googleapis.com/v1beta/files/f"}},
                    ],
                },
                {
                    "role": "model",
                    "parts": [
                        {"text": "Hm", "thought": True, "thoughtSignature": "UzE="},
                        {"text": "I look", "thoughtSignature": "UzI="},
                        {"functionCall": {"name": "f", "args": {"a": 1}}, "thoughtSignature": "UzM="},
                        {"functionCall": {"name": "f", "args": {}}},
                        {"functionCall": {"id": "x", "name": "g"}},
                    ],
                },
                {
                    "role": "function",
                    "parts": [
                        {"functionResponse": {"name": "f", "response": {"result": "one"}}},
                        {"functionResponse": {"id": "x", "name": "g", "response": {"error": "no"}}},
                    ],
                },
                {
                    "role": "user",
                    "parts": [
                        {
                            "functionResponse": {
                                "name": "f",
                                "response": {"temp": 2.50},
                                "parts": [{"inlineData": {"mimeType": "image/png", "data": "aW1n"}}],
                            }
                        },
                        {"text": "And?"},
                    ],
                },
            ],
            "generationConfig": {
                "temperature": 0.5,
                "topP": 0.9,
                "topK": 40,
                "maxOutputTokens": 100,
                "stopSequences": ["END"],
                "candidateCount": 2,
                "seed": 7,
                "presencePenalty": 0.1,
                "frequencyPenalty": 0.2,
                "responseMimeType": "application/json",
                "responseSchema": {"type": "OBJECT", "properties": {"a": {"type": "STRING", "nullable": True}}},
                "responseLogprobs": True,
                "logprobs": 3,
                "thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True},
                "responseModalities": ["TEXT"],
            },
            "tools": [
                {
                    "functionDeclarations": [
                        {"name": "f", "description": "F", "parametersJsonSchema": {"type": "object"}},
                        {"name": "g", "parameters": {"type": "OBJECT"}},
                    ]
                }
            ],
            "toolConfig": {"functionCallingConfig": {"mode": "ANY", "allowedFunctionNames": ["f"]}},
            "labels": {"team": "x"},
            "serviceTier": "flex",
        }
        request = parsed(body)
        files = "https://generativelanguage.googleapis.com/v1beta/files/f"
        self.assertEqual(
            request,
            ir.Request(
                messages=(
                    ir.Message("system", (ir.Text("Be brief."),), at="systemInstruction"),
                    ir.Message(
                        "user",
                        (
                            ir.Text("Look"),
                            ir.Image(ir.Source("base64", "aW1n", "image/png"), "high"),
                            ir.Audio(ir.Source("base64", "c25k", "audio/wav")),
                            ir.File(ir.Source("base64", "cGRm", "application/pdf"), "a.pdf"),
                            ir.File(ir.Source("text", "hé", "text/plain")),
                            ir.Image(ir.Source("url", "https://example.com/x", "image/jpeg")),
                            ir.File(ir.Source("file", files)),
                        ),
                        at="contents[0]",
                    ),
                    ir.Message(
                        "assistant",
                        (
                            ir.Thinking("Hm", "UzE="),
                            ir.Text("I look"),
                            ir.Thinking("", "UzI=", redacted=True),
                            ir.ToolCall("call_0", "f", '{"a": 1}', "UzM="),
                            ir.ToolCall("call_1", "f", "{}"),
                            ir.ToolCall("x", "g", "{}"),
                        ),
                        at="contents[1]",
                    ),
                    ir.Message(
                        "tool",
                        (
                            ir.ToolResult("call_0", (ir.Text("one"),), "f"),
                            ir.ToolResult("x", (ir.Text("no"),), "g", error=True),
                            ir.ToolResult(
                                "call_1",
                                (ir.Text('{"temp": 2.5}'), ir.Image(ir.Source("base64", "aW1n", "image/png"))),
                                "f",
                            ),
                        ),
                        at="contents[2]",
                    ),
                    ir.Message("user", (ir.Text("And?"),), at="contents[3] (2)"),
                ),
                tools=(ir.Tool("f", "F", b'{"type": "object"}'), ir.Tool("g", "", b'{"type":"object"}')),
                tool_choice=ir.ToolChoice("named", ("f",)),
                output=ir.Output("json_schema", b'{"type":"object","properties":{"a":{"type":["string","null"]}}}'),
                reasoning=ir.Reasoning(budget=1024, show=True),
                max_tokens=100,
                temperature=0.5,
                top_p=0.9,
                top_k=40,
                stop=("END",),
                n=2,
                seed=7,
                presence_penalty=0.1,
                frequency_penalty=0.2,
                logprobs=True,
                top_logprobs=3,
                metadata=(("team", "x"),),
                service_tier="flex",
            ),
        )
        raw = GEMINI.render(request, "gemini-3-pro", RenderContext({}, "refuse"), stream=False)
        again = json.loads(raw)
        reread = GEMINI.parse(GEMINI.parse_request(raw, model="m").fields)
        self.assertEqual(placeless(reread), placeless(request))
        self.assertEqual(again["tools"][0]["functionDeclarations"][1]["parametersJsonSchema"], {"type": "object"})
        types.GenerateContentConfig.model_validate(again["generationConfig"])
        for content in again["contents"]:
            types.Content.model_validate(content)
        for tool in again["tools"]:
            types.Tool.model_validate(tool)

    def test_snake_case_and_lone_objects(self) -> None:
        """Google takes both spellings, and an object for a list of one; labels and arguments keep their names."""
        request = parsed(
            {
                "system_instruction": {"parts": {"text": "s"}},
                "contents": {"parts": {"inline_data": {"mime_type": "image/png", "data": "eA=="}}},
                "generation_config": {"max_output_tokens": 5, "thinking_config": {"thinking_level": "LOW"}},
                "tools": {"function_declarations": [{"name": "f", "parameters": {"type": "OBJECT", "any_of": []}}]},
                "tool_config": {"function_calling_config": {"mode": "none"}},
                "labels": {"a_b": "c"},
            }
        )
        self.assertEqual(request.messages[1].parts, (ir.Image(ir.Source("base64", "eA==", "image/png")),))
        self.assertEqual(request.max_tokens, 5)
        self.assertEqual(request.reasoning, ir.Reasoning(effort="low"))
        self.assertEqual(request.tools, (ir.Tool("f", "", b'{"type":"object","anyOf":[]}'),))
        self.assertEqual(request.tool_choice, ir.ToolChoice("none"))
        self.assertEqual(request.metadata, (("a_b", "c"),))
        self.assertEqual(request.extra, ())

    def test_what_has_no_place_is_named(self) -> None:
        """With its path: what changes the answer, what is only a hint, and what is said elsewhere."""
        request = parsed(
            {
                "contents": [
                    {
                        "role": "model",
                        "parts": [
                            {"executableCode": {"language": "PYTHON"}},
                            {"text": "a", "videoMetadata": {"fps": 1}},
                        ],
                    }
                ],
                "safetySettings": [{"category": "X"}],
                "cachedContent": "cachedContents/1",
                "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "response": {"type": "X"}}]}],
                "toolConfig": {"retrievalConfig": {"languageCode": "pl"}},
                "generationConfig": {
                    "responseModalities": ["IMAGE"],
                    "responseMimeType": "text/x.enum",
                    "speechConfig": {"languageCode": "pl"},
                },
            }
        )
        self.assertEqual(
            sorted(request.extra),
            [
                "contents[0].parts[1].videoMetadata",
                "generationConfig.responseMimeType",
                "generationConfig.responseModalities",
            ],
        )
        self.assertEqual(
            sorted(request.hints),
            [
                "contents.parts (executableCode)",
                "generationConfig.speechConfig",
                "safetySettings",
                "toolConfig.retrievalConfig",
                "tools.functionDeclarations.response",
                "tools[0] (googleSearch)",
            ],
        )
        self.assertEqual(request.lost, ("cachedContent",))

    def test_results_keep_their_bytes(self) -> None:
        """Google's wrappers come off; anything else is the JSON as it came, and goes back so."""
        for response, error, texts in (
            ('{"output": "x"}', False, ["x"]),
            ('{"result":"x"}', False, ["x"]),
            ('{"output":["a","b"]}', False, ["a", "b"]),
            ('{"output":""}', False, []),
            ('{"output":5}', False, ['{"output":5}']),
            ('{"a": 1.0, "output": "x"}', False, ['{"a": 1.0, "output": "x"}']),
            ("{}", False, ["{}"]),
            ('{"error":"no"}', True, ["no"]),
            ('{"error": {"code": 1.50}}', True, ['{"code": 1.50}']),
        ):
            raw = (
                b'{"contents":[{"parts":[{"text":"q"}]},{"role":"model","parts":[{"functionCall":{"name":"f"}}]},'
                b'{"parts":[{"functionResponse":{"name":"f","response":%b}}]}]}'
            ) % response.encode()
            request = GEMINI.parse(GEMINI.parse_request(raw, model="m").fields)
            (result,) = request.messages[-1].parts
            assert isinstance(result, ir.ToolResult)
            self.assertEqual((result.error, [part.text for part in result.content]), (error, texts))
            again = GEMINI.render(request, "m", RenderContext({}, "refuse"), stream=False)
            self.assertEqual(placeless(GEMINI.parse(GEMINI.parse_request(again, model="m").fields)), placeless(request))

    def test_names_of_results_are_found(self) -> None:
        """OpenAI's and Anthropic's results have only an id."""
        request = ask(
            ir.Message("user", (ir.Text("hi"),)),
            ir.Message("assistant", (ir.ToolCall("1", "f", "{}"), ir.ToolCall("2", "g", ""))),
            ir.Message("tool", (ir.ToolResult("2", (ir.Text("b"),)),)),
            ir.Message("tool", (ir.ToolResult("1", (ir.Text("a"),)),)),
        )
        _, calls, results = rendered(request)["contents"]
        self.assertEqual(
            [part["functionResponse"] for part in results["parts"]],
            [
                {"id": "2", "name": "g", "response": {"output": "b"}},
                {"id": "1", "name": "f", "response": {"output": "a"}},
            ],
        )
        self.assertEqual(calls["parts"][1], {"functionCall": {"id": "2", "name": "g", "args": {}}})
        without = rendered(request, quirks=frozenset({"no_call_ids"}))["contents"]
        self.assertEqual(without[1]["parts"][0]["functionCall"], {"name": "f", "args": {}})
        self.assertEqual(without[2]["parts"][0]["functionResponse"], {"name": "g", "response": {"output": "b"}})

    def test_calls_without_a_signature(self) -> None:
        """Gemini 3 refuses them in the current turn: the first of each step gets Google's stand-in, read as none."""
        call = ir.Message("assistant", (ir.ToolCall("1", "f", "{}"), ir.ToolCall("2", "f", "{}")))
        own = ir.Message("assistant", (ir.ToolCall("3", "f", "{}", "c2ln"),))
        question, result = ir.Message("user", (ir.Text("q"),)), ir.Message("tool", (ir.ToolResult("1", ()),))
        request = ask(question, call, result, question, call, result, own)
        marks = [
            part.get("thoughtSignature")
            for content in rendered(request)["contents"]
            for part in content["parts"]
            if "functionCall" in part
        ]
        self.assertEqual(marks, [None, None, "skip_thought_signature_validator", None, "c2ln"])
        again = parsed(rendered(request))
        self.assertEqual([part.signature for part in again.messages[4].parts], ["", ""])
        self.assertEqual([part.signature for part in again.messages[6].parts], ["c2ln"])
        self.assertNotIn("skip_thought", json.dumps(rendered(request, "gemini-2.5-pro")))

    def test_effort_by_generation(self) -> None:
        """Older models think by a budget, newer ones by a level."""
        for model, reasoning, said in (
            ("gemini-2.5-flash", ir.Reasoning(effort="low"), {"thinkingBudget": 1024}),
            ("gemini-2.5-pro", ir.Reasoning(effort="high"), {"thinkingBudget": 24576}),
            ("gemini-3-pro", ir.Reasoning(effort="medium"), {"thinkingLevel": "MEDIUM"}),
            ("gemini-3-pro", ir.Reasoning(budget=100), {"thinkingBudget": 100}),
            ("gemini-2.5-pro", ir.Reasoning(effort="low", budget=9), {"thinkingBudget": 9}),
            ("gemini-3-pro", ir.Reasoning(effort="none"), {"thinkingBudget": 0}),
            ("gemini-3-pro", ir.Reasoning(enabled=True), {"thinkingBudget": -1}),
            ("gemini-3-pro", ir.Reasoning(show=True), {"includeThoughts": True}),
        ):
            config = rendered(ask(reasoning=reasoning), model)["generationConfig"]
            self.assertEqual(config["thinkingConfig"], said)

    def test_what_gemini_cannot_say(self) -> None:
        """Refused by name, or dropped by name; nothing in silence."""
        text = ir.Text("a")
        for request, name in (
            (ask(user="u"), "user"),
            (ask(verbosity="low"), "verbosity"),
            (ask(logit_bias=b'{"1":2}'), "logit_bias"),
            (ask(parallel_tools=False, tools=(ir.Tool("f"),)), "parallel_tools"),
            (ask(service_tier="scale"), "service_tier"),
            (ask(reasoning=ir.Reasoning(effort="max")), "reasoning"),
            (ask(extra=("x.y",)), "x.y"),
            (ask(ir.Message("user", (text,), "bob", at="m[0]")), "name"),
            (ask(ir.Message("user", (ir.Text("a", cache="5m"),), at="m[0]")), "cache_control"),
            (ask(tools=(ir.Tool("f", cache="5m"),)), "cache_control"),
            (
                ask(ir.Message("user", (ir.Image(ir.Source("file", "file-1")),), at="m")),
                "m (image)",
            ),
            (ask(output=ir.Output("json_schema", b'{"description":"x"}', description="y")), "output.description"),
        ):
            error = self.assertRaises(
                Unsupported, GEMINI.render, request, "m", RenderContext({}, "refuse"), stream=False
            )
            self.assertEqual(error.param, name)
            context = RenderContext({}, "drop")
            json.loads(GEMINI.render(request, "m", context, stream=False))
            self.assertEqual(context.dropped, [name])

    def test_signatures_of_other_vendors(self) -> None:
        """One that is not base64 reaches a client of Google's in base64 and comes back as it was; Google never sees
        it."""
        cases = {"Uw==": True, "a+/b": True, "": True, "a-_b": False, "gAA-_é": False, "S": False, "{é}": False}
        for signature, same in cases.items():
            answer = ir.Answer((ir.Choice((ir.Thinking("t", signature),), "stop"),))
            said = json.loads(GEMINI.render_answer(answer, ResponseContext("m")))
            theirs = types.GenerateContentResponse.model_validate(said).candidates[0].content
            content = said["candidates"][0]["content"]
            sent_back = theirs.model_dump(mode="json", by_alias=True, exclude_none=True)
            self.assertEqual(parsed({"contents": [sent_back]}).messages[0].parts, (ir.Thinking("t", signature),))
            self.assertEqual(content["parts"][0].get("thoughtSignature", "") == signature, same)
            request = parsed({"contents": [content]})
            self.assertEqual(request.messages[0].parts, (ir.Thinking("t", signature),))
            if not same:
                error = self.assertRaises(Unsupported, rendered, request)
                self.assertEqual(error.param, "thinking")
                redacted = ask(ir.Message("assistant", (ir.Thinking("", signature, True), ir.Text("a")), at="m"))
                raw = GEMINI.render(redacted, "m", RenderContext({}, "drop"), stream=False)
                self.assertEqual(json.loads(raw)["contents"][-1]["parts"], [{"text": "a"}])

    def test_times_that_are_none(self) -> None:
        """A time no calendar has is said as the first one."""
        for seconds in (2**63, -(2**70), 10**12):
            self.assertEqual(chunks.timestamp(seconds), "1970-01-01T00:00:00Z")

    def test_signatures_that_look_wrapped(self) -> None:
        """They come back as they were."""
        for signature in ("bGxtZWRnZTo6", "bGxtZWRnZTo6YQ=="):
            self.assertEqual(wire.unwrap_signature(wire.wrap_signature(signature)), signature)

    def test_schemas(self) -> None:
        """Google's dialect of OpenAPI becomes JSON Schema; JSON Schema keeps its bytes."""
        for schema, wanted in (
            ('{"type": "object", "x": 1.0}', None),
            (
                '{"type":"STRING","format":"enum","enum":["A"],"nullable":true}',
                {"type": ["string", "null"], "enum": ["A", None]},
            ),
            (
                '{"type":"ARRAY","minItems":"1","items":{"type":"INTEGER","format":"int64"}}',
                {"type": "array", "minItems": 1, "items": {"type": "integer", "format": "int64"}},
            ),
            (
                '{"anyOf":[{"type":"NUMBER"}],"nullable":true,"example":3}',
                {"anyOf": [{"type": "number"}, {"type": "null"}], "examples": [3]},
            ),
            (
                '{"type":"OBJECT","properties":{"nullable":{"type":"BOOLEAN"}},"propertyOrdering":["nullable"]}',
                {"type": "object", "properties": {"nullable": {"type": "boolean"}}, "propertyOrdering": ["nullable"]},
            ),
        ):
            raw = to_json_schema(schema.encode())
            if wanted is None:
                self.assertEqual(raw, schema.encode())
            else:
                self.assertEqual(json.loads(raw), wanted)

    def test_strictness_is_a_mode(self) -> None:
        """Strict tools make the mode, an output's description goes into its schema."""
        config = rendered(ask(tools=(ir.Tool("f", strict=True),)))["toolConfig"]["functionCallingConfig"]
        self.assertEqual(config, {"mode": "VALIDATED"})
        described = ir.Output("json_schema", b'{"type":"object"}', "n", "what it is", True)
        schema = rendered(ask(output=described))["generationConfig"]["responseJsonSchema"]
        self.assertEqual(schema, {"description": "what it is", "type": "object"})

    @SLOW
    @given(requests())
    def test_round_trip(self, request: ir.Request) -> None:
        """What can be said is read back as it was said."""
        request = fitted(GEMINI, request)
        raw = GEMINI.render(request, "gemini-3-pro", RenderContext({}, "refuse"), stream=False)
        again = GEMINI.parse(GEMINI.parse_request(raw, model="gemini-3-pro").fields)
        self.assertEqual(placeless(again), placeless(request))

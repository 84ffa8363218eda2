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
    EdgeError,
    RateLimited,
    Unsupported,
    UpstreamMalformed,
    ValidationError,
    VendorFailed,
)
from llmedge.model import Usage
from tests.dialects.gemini_cases import answers, requests
from tests.effort import examples

GEMINI = Gemini()
CONTENTS = [{"role": "user", "parts": [{"text": "hi"}]}]
SLOW = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.too_slow])


def parsed(body: dict) -> ir.Request:
    raw = json.dumps({"contents": CONTENTS} | body).encode()
    return GEMINI.parse(GEMINI.parse_request(raw, model="gemini-3-pro").fields)


def rendered(request: ir.Request, model: str = "gemini-3-pro", quirks: frozenset[str] = frozenset()) -> dict:
    return json.loads(GEMINI.render(request, model, RenderContext({}, False), stream=False, quirks=quirks))


def placeless(request: ir.Request) -> ir.Request:
    messages = tuple(msgspec.structs.replace(message, at="") for message in request.messages)
    return msgspec.structs.replace(request, messages=messages)


def ask(*messages: ir.Message, **fields: object) -> ir.Request:
    return ir.Request(messages or (ir.Message("user", (ir.Text("hi"),)),), **fields)


class Requests(SynchronousTestCase):
    def test_what_is_wrong_is_named(self) -> None:
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
            error = self.assertRaises(ValidationError, GEMINI.parse_request, body, model="m")
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
        raw = GEMINI.render(request, "gemini-3-pro", RenderContext({}, False), stream=False)
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
        request = parsed(
            {
                "contents": [
                    {"role": "model", "parts": [{"executableCode": {"code": "1"}}, {"text": "a", "videoMetadata": {}}]}
                ],
                "safetySettings": [{"category": "X"}],
                "cachedContent": "cachedContents/1",
                "tools": [{"googleSearch": {}}, {"functionDeclarations": [{"name": "f", "response": {"type": "X"}}]}],
                "toolConfig": {"retrievalConfig": {}},
                "generationConfig": {
                    "responseModalities": ["IMAGE"],
                    "responseMimeType": "text/x.enum",
                    "speechConfig": {},
                },
            }
        )
        self.assertEqual(
            sorted(request.extra),
            [
                "cachedContent",
                "contents[0].parts[0].executableCode",
                "contents[0].parts[1].videoMetadata",
                "generationConfig.responseMimeType",
                "generationConfig.responseModalities",
                "generationConfig.speechConfig",
                "safetySettings",
                "toolConfig.retrievalConfig",
                "tools[0].googleSearch",
                "tools[1].functionDeclarations[0].response",
            ],
        )

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
            raw = b'{"contents":[{"parts":[{"functionResponse":{"name":"f","response":%b}}]}]}' % response.encode()
            request = GEMINI.parse(GEMINI.parse_request(raw, model="m").fields)
            (result,) = request.messages[0].parts
            assert isinstance(result, ir.ToolResult)
            self.assertEqual((result.error, [part.text for part in result.content]), (error, texts))
            again = GEMINI.render(request, "m", RenderContext({}, False), stream=False)
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
        self.assertNotIn("skip_thought", json.dumps(rendered(request, "gemini-2.5-pro")))

    def test_effort_by_generation(self) -> None:
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
            (ask(parallel_tools=False), "parallel_tools"),
            (ask(service_tier="scale"), "service_tier"),
            (ask(reasoning=ir.Reasoning(effort="max")), "reasoning"),
            (ask(extra=("x.y",)), "x.y"),
            (ask(ir.Message("user", (text,), "bob", at="m[0]")), "m[0].name"),
            (ask(ir.Message("user", (ir.Text("a", cache="5m"),), at="m[0]")), "m[0] (cache_control)"),
            (ask(ir.Message("assistant", (ir.Refusal("no"),), at="m[0]")), "m[0] (refusal)"),
            (ask(tools=(ir.Tool("f", cache="5m"),)), "tools (f: cache_control)"),
            (
                ask(ir.Message("user", (ir.Image(ir.Source("file", "file-1")),), at="m")),
                "m (image by the id of a file)",
            ),
            (
                ask(ir.Message("assistant", (ir.ToolCall("1", "f", "[1]"),), at="m")),
                "m (arguments of a tool call that are not a JSON object)",
            ),
            (
                ask(ir.Message("user", (text,)), ir.Message("system", (text,), at="m[1]")),
                "m[1] (its place: system instructions stand before the conversation)",
            ),
            (
                ask(ir.Message("tool", (ir.ToolResult("9", ()),), at="m")),
                "m (a result of a tool that was not called)",
            ),
            (ask(output=ir.Output("json_schema", b'{"description":"x"}', description="y")), "output"),
        ):
            error = self.assertRaises(Unsupported, GEMINI.render, request, "m", RenderContext({}, False), stream=False)
            self.assertEqual(error.param, name)
            context = RenderContext({}, True)
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
                self.assertEqual(error.param, "contents[0] (another vendor's signature)")
                redacted = ask(ir.Message("assistant", (ir.Thinking("", signature, True), ir.Text("a")), at="m"))
                raw = GEMINI.render(redacted, "m", RenderContext({}, True), stream=False)
                self.assertEqual(json.loads(raw)["contents"][0]["parts"], [{"text": "a"}])

    def test_times_that_are_none(self) -> None:
        for seconds in (2**63, -(2**70), 10**12):
            self.assertEqual(chunks.timestamp(seconds), "1970-01-01T00:00:00Z")

    def test_signatures_that_look_wrapped(self) -> None:
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
        config = rendered(ask(tools=(ir.Tool("f", strict=True),)))["toolConfig"]["functionCallingConfig"]
        self.assertEqual(config, {"mode": "VALIDATED"})
        described = ir.Output("json_schema", b'{"type":"object"}', "n", "what it is", True)
        schema = rendered(ask(output=described))["generationConfig"]["responseJsonSchema"]
        self.assertEqual(schema, {"description": "what it is", "type": "object"})

    @SLOW
    @given(requests())
    def test_round_trip(self, request: ir.Request) -> None:
        raw = GEMINI.render(request, "gemini-3-pro", RenderContext({}, False), stream=False)
        again = GEMINI.parse(GEMINI.parse_request(raw, model="gemini-3-pro").fields)
        self.assertEqual(placeless(again), request)


class Answers(SynchronousTestCase):
    BODY = {
        "candidates": [
            {
                "content": {
                    "role": "model",
                    "parts": [
                        {"text": "Hm", "thought": True},
                        {"text": "é is it", "thoughtSignature": "Uw=="},
                        {"functionCall": {"name": "f", "args": {"a": 1.0}}, "thoughtSignature": "VA=="},
                        {"functionCall": {"id": "x", "name": "g", "args": {}}},
                    ],
                },
                "finishReason": "STOP",
                "index": 0,
                "groundingMetadata": {
                    "groundingChunks": [{"web": {"uri": "https://a", "title": "A"}}, {"web": {"uri": "https://b"}}],
                    "groundingSupports": [
                        {"segment": {"partIndex": 1, "endIndex": 2, "text": "é"}, "groundingChunkIndices": [0]}
                    ],
                },
                "citationMetadata": {"citationSources": [{"startIndex": 3, "endIndex": 5, "uri": "https://c"}]},
                "logprobsResult": {
                    "chosenCandidates": [{"token": "é", "tokenId": 1, "logProbability": -0.5}],
                    "topCandidates": [{"candidates": [{"token": "é", "logProbability": -0.5}]}],
                },
            }
        ],
        "usageMetadata": {
            "promptTokenCount": 10,
            "cachedContentTokenCount": 4,
            "candidatesTokenCount": 5,
            "thoughtsTokenCount": 7,
            "toolUsePromptTokenCount": 2,
            "totalTokenCount": 24,
            "promptTokensDetails": [{"modality": "TEXT", "tokenCount": 7}, {"modality": "AUDIO", "tokenCount": 3}],
            "candidatesTokensDetails": [{"modality": "AUDIO", "tokenCount": 1}],
        },
        "modelVersion": "gemini-3-pro",
        "responseId": "abc-D_e",
        "createTime": "2026-01-02T03:04:05.5Z",
    }
    USAGE = Usage(input=12, output=12, cached=4, reasoning=7, audio_input=3, audio_output=1)

    def test_a_whole_answer(self) -> None:
        body = json.dumps(self.BODY).encode()
        self.assertEqual(GEMINI.read_answer(body), self.USAGE)
        cites = (
            ir.Citation("url", "https://a", "A", text_start=0, text_end=1),
            ir.Citation("url", "https://b"),
            ir.Citation("url", "https://c", text_start=2, text_end=4),
        )
        self.assertEqual(
            GEMINI.parse_answer(body),
            ir.Answer(
                (
                    ir.Choice(
                        (
                            ir.Thinking("Hm"),
                            ir.Text("é is it", cites),
                            ir.Thinking("", "Uw==", redacted=True),
                            ir.ToolCall("call_abc-D_e_0", "f", '{"a": 1.0}', "VA=="),
                            ir.ToolCall("x", "g", "{}"),
                        ),
                        "tool",
                        logprobs=(ir.TokenLogprob("é", -0.5, top=(ir.TokenLogprob("é", -0.5),)),),
                    ),
                ),
                "abc-D_e",
                "gemini-3-pro",
                1767323045,
                self.USAGE,
            ),
        )

    def test_reasons(self) -> None:
        for reason, finish in (
            ("STOP", "stop"),
            ("MAX_TOKENS", "length"),
            ("SAFETY", "filter"),
            ("RECITATION", "filter"),
            ("LANGUAGE", "filter"),
            ("OTHER", "filter"),
            ("BLOCKLIST", "filter"),
            ("PROHIBITED_CONTENT", "filter"),
            ("SPII", "filter"),
            ("IMAGE_SAFETY", "filter"),
            ("MALFORMED_FUNCTION_CALL", "malformed"),
            ("UNEXPECTED_TOOL_CALL", "malformed"),
            ("SOMETHING_NEW", "stop"),
        ):
            body = json.dumps({"candidates": [{"finishReason": reason}]}).encode()
            self.assertEqual(GEMINI.parse_answer(body).choices, (ir.Choice((), finish),))
        for finish, reason in (
            ("stop", "STOP"),
            ("stop_sequence", "STOP"),
            ("tool", "STOP"),
            ("pause", "STOP"),
            ("length", "MAX_TOKENS"),
            ("context", "MAX_TOKENS"),
            ("filter", "SAFETY"),
            ("refusal", "SAFETY"),
            ("malformed", "MALFORMED_FUNCTION_CALL"),
        ):
            answer = ir.Answer((ir.Choice((ir.Refusal("no"),), finish),))
            candidate = json.loads(GEMINI.render_answer(answer, ResponseContext("m")))["candidates"][0]
            self.assertEqual(candidate["finishReason"], reason)
            self.assertEqual(candidate["content"], {"parts": [{"text": "no"}], "role": "model"})

    def test_a_blocked_prompt(self) -> None:
        body = b'{"promptFeedback":{"blockReason":"SAFETY"},"usageMetadata":{"promptTokenCount":3}}'
        self.assertEqual(GEMINI.parse_answer(body), ir.Answer((ir.Choice((), "filter"),), usage=Usage(3)))

    def test_arguments_that_are_no_object(self) -> None:
        """Gemini's calls hold objects; the reason says what became of one that does not."""
        for finish, reason in (("tool", "MALFORMED_FUNCTION_CALL"), ("length", "MAX_TOKENS")):
            answer = ir.Answer((ir.Choice((ir.ToolCall("1", "f", '{"a":'),), finish),))
            candidate = json.loads(GEMINI.render_answer(answer, ResponseContext("m")))["candidates"][0]
            self.assertEqual((candidate["content"]["parts"], candidate["finishReason"]), ([], reason))

    def test_what_is_no_answer(self) -> None:
        error = self.assertRaises(VendorFailed, GEMINI.parse_answer, b'{"error":{"code":500,"message":"boom"}}')
        self.assertIn("boom", error.message)
        for raw in (
            b"",
            b"<html>",
            b"[]",
            b"{}",
            b'{"candidates":5}',
            b'{"candidates":[{"content":{"parts":["\xff"]}}]}',
        ):
            self.assertRaises(UpstreamMalformed, GEMINI.parse_answer, raw)
            self.assertRaises(UpstreamMalformed, GEMINI.read_answer, raw)
        for strange in (b"-1", b"1e30", b'"7"', b"[]"):
            body = b'{"candidates":[],"usageMetadata":{"promptTokenCount":' + strange + b"}}"
            self.assertIsNone(GEMINI.read_answer(body))

    @SLOW
    @given(answers())
    def test_round_trip(self, answer: ir.Answer) -> None:
        """And Google's own types take what is rendered."""
        raw = GEMINI.render_answer(answer, ResponseContext("m"))
        self.assertEqual(GEMINI.parse_answer(raw), answer)
        types.GenerateContentResponse.model_validate(json.loads(raw))


class Errors(SynchronousTestCase):
    def test_ours_as_google_says_them(self) -> None:
        for error, code, status in (
            (ValidationError("m", param="a.b"), 400, "INVALID_ARGUMENT"),
            (RateLimited("m", scope="key", retry_after=1), 429, "RESOURCE_EXHAUSTED"),
            (EdgeError("m"), 500, "INTERNAL"),
            (EdgeError("m", status=502), 502, "UNAVAILABLE"),
            (EdgeError("m", status=504), 504, "DEADLINE_EXCEEDED"),
            (EdgeError("m", status=413), 413, "INVALID_ARGUMENT"),
            (EdgeError("m", status=599), 599, "INTERNAL"),
        ):
            said = json.loads(GEMINI.error_body(error))["error"]
            info = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": error.code,
                "domain": "llmedge",
                "metadata": {"param": "a.b"} if error.param else {},
            }
            self.assertEqual(said, {"code": code, "message": "m", "status": status, "details": [info]})
            frame = GEMINI.error_frame(error)
            self.assertTrue(frame.startswith(b'data: {"error":{"code":'))
            self.assertTrue(frame.endswith(b"\r\n\r\n"))
            self.assertEqual(GEMINI.parse_error(GEMINI.error_body(error)).param, error.param)

    def test_googles(self) -> None:
        invalid = b'{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"t","reason":'
        violations = b'{"error":{"message":"m","status":"S","details":[{"fieldViolations":[{"field":"contents"}]}]}}'
        for raw, message, code, param in (
            (invalid + b'"API_KEY_INVALID"}]}}', "m", "API_KEY_INVALID", None),
            (b'[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]', "m", "RESOURCE_EXHAUSTED", None),
            (violations, "m", "S", "contents"),
            (b'{"error":"plain"}', "plain", "", None),
            (b'{"error":{"message":5,"details":7}}', "", "", None),
            (b"<html>", "", "", None),
            (b"[]", "", "", None),
        ):
            error = GEMINI.parse_error(raw)
            self.assertEqual((error.message, error.code, error.param), (message, code, param))


class Counts(SynchronousTestCase):
    def test_requests(self) -> None:
        plain = GEMINI.parse_count_request(b'{"contents":[{"parts":[{"text":"a"}]}]}', model="m")
        self.assertEqual(GEMINI.forward_count(plain.fields, "v"), b'{"contents":[{"parts":[{"text":"a"}]}]}')
        raw = b'{"generate_content_request":{"model":"models/m","contents":[{}],"system_instruction":{"parts":[]}}}'
        wrapped = GEMINI.parse_count_request(raw, model="m")
        self.assertEqual(
            json.loads(GEMINI.forward_count(wrapped.fields, "v")),
            {"generateContentRequest": {"model": "models/v", "contents": [{}], "systemInstruction": {"parts": []}}},
        )
        request = GEMINI.parse(plain.fields)
        self.assertEqual(
            json.loads(GEMINI.render_count(request, "v", RenderContext({}, False))),
            {
                "generateContentRequest": {
                    "model": "models/v",
                    "contents": [{"role": "user", "parts": [{"text": "a"}]}],
                }
            },
        )
        self.assertRaises(ValidationError, GEMINI.parse_count_request, b"{}", model="m")

    def test_answers(self) -> None:
        self.assertEqual(GEMINI.parse_count(b'{"totalTokens":7,"promptTokensDetails":[]}'), 7)
        self.assertEqual(GEMINI.parse_count(GEMINI.render_count_answer(9)), 9)
        for raw in (b"", b"{}", b'{"totalTokens":"x"}', b'{"totalTokens":-1}'):
            self.assertRaises(UpstreamMalformed, GEMINI.parse_count, raw)
        self.assertRaises(VendorFailed, GEMINI.parse_count, b'{"error":{"message":"m"}}')

import json
import struct

from google.genai import types
from hypothesis import given, settings
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.embedding_ir import EmbeddingAnswer, EmbeddingDialect, EmbeddingRequest, from_base64, to_base64
from llmedge.dialects.gemini_embeddings import GeminiEmbeddings
from llmedge.dialects.openai_embeddings import OpenAIEmbeddings
from llmedge.dialects.rendering import RenderContext
from llmedge.errors import Unsupported, UpstreamMalformed, ValidationError, VendorFailed
from llmedge.model import Usage
from llmedge.operations import Operation

OPENAI = OpenAIEmbeddings()
GEMINI = GeminiEmbeddings()
MODERATE = settings(max_examples=100, deadline=None)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
TOKENS = st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple)
VECTORS = st.lists(st.lists(st.floats(-1, 1)).map(tuple)).map(tuple)


def read(dialect: EmbeddingDialect, raw: bytes) -> EmbeddingRequest:
    return dialect.parse(dialect.parse_request(raw, model="m").fields)


def openai(**fields: object) -> EmbeddingRequest:
    return OPENAI.parse(OPENAI.parse_request(json.dumps({"model": "m"} | fields).encode()).fields)


def gemini(**fields: object) -> EmbeddingRequest:
    return GEMINI.parse(GEMINI.parse_request(json.dumps(fields).encode(), model="m").fields)


def content(*texts: str) -> dict:
    return {"parts": [{"text": text} for text in texts]}


class OpenAI(SynchronousTestCase):
    def test_inputs(self) -> None:
        for given_input, inputs, single in (
            ("a", ("a",), True),
            (["a"], ("a",), False),
            (["a", "b"], ("a", "b"), False),
            ([1, 2], ((1, 2),), True),
            ([[1], [2, 3]], ((1,), (2, 3)), False),
        ):
            request = openai(input=given_input)
            self.assertEqual(request, EmbeddingRequest(inputs, single))
            raw = json.dumps({"model": "m", "input": given_input}).encode()
            self.assertEqual(OPENAI.parse_request(raw).choices, len(inputs))
        self.assertIs(OPENAI.operation, Operation.EMBEDDINGS)

    def test_what_is_wrong_is_named(self) -> None:
        for raw, param in (
            (b"", None),
            (b'{"model":"m"}', "input"),
            (b'{"model":"m","input":""}', "input"),
            (b'{"model":"m","input":[]}', "input"),
            (b'{"model":"m","input":[{}]}', "input[0]"),
            (b'{"model":"m","input":["a",1]}', "input[1]"),
            (b'{"model":"m","input":[[1],1]}', "input[1]"),
            (b'{"model":"m","input":[1,"a"]}', "input[1]"),
            (b'{"model":"m","input":[1,[1]]}', "input[1]"),
            (b'{"model":" ","input":"a"}', "model"),
            (b'{"model":"m","input":"a","dimensions":"x"}', "dimensions"),
        ):
            error = self.assertRaises(ValidationError, read, OPENAI, raw)
            self.assertEqual(error.param, param)
        self.assertEqual(
            self.assertRaises(ValidationError, openai, input="a", encoding_format="hex").param, "encoding_format"
        )

    def test_the_body_passes_through(self) -> None:
        raw = b'{"model":"a","x":1.0,"input":["a"],"encoding_format":"base64"}'
        fields = OPENAI.parse_request(raw).fields
        forwarded = OPENAI.forward(fields, "b", stream=False, ask_usage=True)
        self.assertEqual(forwarded, raw.replace(b'"a",', b'"b",', 1))
        self.assertEqual(OPENAI.parse(fields).extra, ("x",))

    def test_answers(self) -> None:
        body = b'{"data":[{"index":1,"embedding":[1.5]},{"index":0,"embedding":"AAAAPw=="}],"model":"e",'
        body += b'"usage":{"prompt_tokens":3,"total_tokens":3}}'
        self.assertEqual(OPENAI.parse_answer(body), EmbeddingAnswer(((0.5,), (1.5,)), "e", Usage(3)))
        self.assertEqual(OPENAI.read_answer(body), Usage(3))
        for raw in (
            b"",
            b"[]",
            b"{}",
            b'{"data":5}',
            b'{"data":[{"embedding":"A"}]}',
            b'{"data":[{"embedding":"AAA="}]}',
        ):
            self.assertRaises(UpstreamMalformed, OPENAI.parse_answer, raw)
        self.assertRaises(VendorFailed, OPENAI.parse_answer, b'{"error":{"message":"boom"}}')
        self.assertRaises(VendorFailed, OPENAI.read_answer, b'{"error":{"message":"boom"}}')

    def test_answers_for_its_sdk(self) -> None:
        answer = EmbeddingAnswer(((0.5, -1.0),), "e", Usage(3))
        said = json.loads(OPENAI.render_answer(answer, EmbeddingRequest(("a",)), ResponseContext("m")))
        self.assertEqual(
            said,
            {
                "object": "list",
                "data": [{"object": "embedding", "index": 0, "embedding": [0.5, -1.0]}],
                "model": "e",
                "usage": {"prompt_tokens": 3, "total_tokens": 3},
            },
        )
        CreateEmbeddingResponse.model_validate(said)
        packed = json.loads(OPENAI.render_answer(answer, EmbeddingRequest(("a",), base64=True), ResponseContext("m")))
        self.assertEqual(packed["data"][0]["embedding"], "AAAAPwAAgL8=")

    @MODERATE
    @given(st.lists(st.floats(width=32, allow_nan=False), max_size=9).map(tuple))
    def test_base64(self, vector: tuple[float, ...]) -> None:
        """As struct packs it, and back without a bit lost."""
        self.assertEqual(from_base64(to_base64(vector)), vector)
        self.assertEqual(len(struct.pack(f"<{len(vector)}f", *vector)), 4 * len(vector))

    @MODERATE
    @given(
        st.builds(
            EmbeddingRequest,
            st.lists(
                TEXTS | st.lists(st.integers(0, 9), min_size=1, max_size=3).map(tuple), min_size=1, max_size=3
            ).map(tuple),
            st.just(False),
            st.none() | st.integers(1, 99),
            st.booleans(),
            st.just("") | TEXTS,
        ),
        st.builds(EmbeddingAnswer, VECTORS, TEXTS, st.just(Usage(3))),
    )
    def test_round_trips(self, request: EmbeddingRequest, answer: EmbeddingAnswer) -> None:
        raw = OPENAI.render(request, "m", RenderContext({}, "refuse"))
        self.assertEqual(OPENAI.parse(OPENAI.parse_request(raw).fields), request)
        plain = EmbeddingRequest(("a",))
        self.assertEqual(OPENAI.parse_answer(OPENAI.render_answer(answer, plain, ResponseContext("m"))), answer)


class Gemini(SynchronousTestCase):
    def test_one_and_many(self) -> None:
        one = {"content": content("a"), "task_type": "RETRIEVAL_DOCUMENT", "title": "t", "outputDimensionality": 8}
        wanted = EmbeddingRequest(("a",), True, 8, task="RETRIEVAL_DOCUMENT", title="t")
        self.assertEqual(gemini(model="models/m", **one), wanted)
        many = gemini(requests=[{"model": "models/m", "content": content("a")}, {"content": content("b")}])
        self.assertEqual(many, EmbeddingRequest(("a", "b")))

    def test_what_has_no_place_is_named(self) -> None:
        for fields, extra in (
            ({"content": {"parts": [{"inlineData": {"data": ""}}]}}, ("content.parts[0].inlineData",)),
            ({"content": content("a", "b")}, ("content.parts",)),
            ({"content": content("a"), "autoTruncate": True}, ("autoTruncate",)),
            (
                {"requests": [{"content": content("a")}, {"content": content("b"), "outputDimensionality": 2}]},
                ("requests[1].outputDimensionality",),
            ),
        ):
            request = gemini(**fields)
            self.assertEqual(request.extra, extra)
            error = self.assertRaises(Unsupported, OPENAI.render, request, "m", RenderContext({}, "refuse"))
            self.assertEqual(error.param, extra[0])

    def test_what_is_wrong_is_named(self) -> None:
        for raw, param in (
            (b"{}", "content"),
            (b'{"content":5}', "content"),
            (b'{"requests":[]}', "requests"),
            (b'{"requests":[{}]}', "requests[0].content"),
        ):
            error = self.assertRaises(ValidationError, read, GEMINI, raw)
            self.assertEqual(error.param, param)

    def test_the_body_passes_through(self) -> None:
        """But for the model, which each request of a batch repeats."""
        raw = b'{"requests":[{"model":"models/a","content":{"x":1.0}},{"content":{}}]}'
        fields = GEMINI.parse_request(raw, model="a").fields
        self.assertTrue(GEMINI.is_batch(fields))
        self.assertEqual(
            GEMINI.forward(fields, "b", stream=False, ask_usage=True),
            b'{"requests":[{"model":"models/b","content":{"x":1.0}},{"content":{},"model":"models/b"}]}',
        )
        one = GEMINI.parse_request(b'{"content":{"x":1.0}}', model="a").fields
        self.assertFalse(GEMINI.is_batch(one))
        self.assertEqual(GEMINI.forward(one, "b", stream=False, ask_usage=True), b'{"content":{"x":1.0}}')

    def test_answers(self) -> None:
        one = b'{"embedding":{"values":[0.5]},"usageMetadata":{"promptTokenCount":2}}'
        self.assertEqual(GEMINI.parse_answer(one), EmbeddingAnswer(((0.5,),), "", Usage(2)))
        self.assertEqual(GEMINI.read_answer(one), Usage(2))
        many = b'{"embeddings":[{"values":[1]},{"values":[]}]}'
        self.assertEqual(GEMINI.parse_answer(many), EmbeddingAnswer(((1.0,), ())))
        for raw in (b"", b"{}", b'{"embedding":5}', b'{"embeddings":[5]}'):
            self.assertRaises(UpstreamMalformed, GEMINI.parse_answer, raw)
        self.assertRaises(VendorFailed, GEMINI.parse_answer, b'{"error":{"message":"boom"}}')
        answer = EmbeddingAnswer(((0.5,),), "", Usage(2))
        self.assertEqual(
            json.loads(GEMINI.render_answer(answer, EmbeddingRequest(("a",), True), ResponseContext("m"))),
            {"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 2, "totalTokenCount": 2}},
        )
        batch = json.loads(GEMINI.render_answer(answer, EmbeddingRequest(("a",)), ResponseContext("m")))
        types.EmbedContentResponse.model_validate({"embeddings": batch["embeddings"]})
        self.assertEqual(batch["embeddings"], [{"values": [0.5]}])

    @MODERATE
    @given(
        st.builds(
            EmbeddingRequest,
            st.lists(TEXTS, min_size=1, max_size=3).map(tuple),
            st.just(False),
            st.none() | st.integers(1, 99),
            task=st.sampled_from(["", "RETRIEVAL_QUERY"]),
            title=st.just("") | TEXTS,
        ),
        st.builds(EmbeddingAnswer, VECTORS),
    )
    def test_round_trips(self, request: EmbeddingRequest, answer: EmbeddingAnswer) -> None:
        raw = GEMINI.render(request, "m", RenderContext({}, "refuse"))
        self.assertEqual(GEMINI.parse(GEMINI.parse_request(raw, model="m").fields), request)
        self.assertEqual(GEMINI.parse_answer(GEMINI.render_answer(answer, request, ResponseContext("m"))), answer)


class Between(SynchronousTestCase):
    def test_openai_to_gemini(self) -> None:
        request = openai(input=["a", "b"], dimensions=8, encoding_format="base64")
        self.assertEqual(
            json.loads(GEMINI.render(request, "e", RenderContext({}, "refuse"))),
            {
                "requests": [
                    {"model": "models/e", "outputDimensionality": 8, "content": content("a")},
                    {"model": "models/e", "outputDimensionality": 8, "content": content("b")},
                ]
            },
        )
        vendor = GEMINI.parse_answer(b'{"embeddings":[{"values":[0.5]},{"values":[1]}]}')
        said = json.loads(OPENAI.render_answer(vendor, request, ResponseContext("m")))
        self.assertEqual([each["embedding"] for each in said["data"]], ["AAAAPw==", "AACAPw=="])
        self.assertEqual((said["model"], said["usage"]), ("m", {"prompt_tokens": 0, "total_tokens": 0}))

    def test_what_gemini_cannot_say(self) -> None:
        """Who asks is a hint, what else there is may be what is asked."""
        context = RenderContext(OPENAI.field_names)
        GEMINI.render(openai(input="a", user="u"), "m", context)
        self.assertEqual(context.dropped, ["user"])
        error = self.assertRaises(Unsupported, GEMINI.render, openai(input="a", modality="image"), "m", context)
        self.assertEqual(error.param, "modality")
        tokens = self.assertRaises(Unsupported, GEMINI.render, openai(input=[1]), "m", RenderContext({}, "drop"))
        self.assertEqual(tokens.param, "input")

    def test_gemini_to_openai(self) -> None:
        request = gemini(content=content("a"), taskType="CLUSTERING", title="t", outputDimensionality=4)
        context = RenderContext(GEMINI.field_names)
        said = json.loads(OPENAI.render(request, "e", context))
        self.assertEqual(said, {"model": "e", "input": "a", "dimensions": 4})
        self.assertEqual(context.dropped, ["taskType", "title"])

    def test_what_they_are_for(self) -> None:
        """A query or a passage, in each vendor's word, where it has one; else a hint that is left out and named."""
        words = frozenset({"input_type"})
        for said, task, word in (
            ("query", "RETRIEVAL_QUERY", "query"),
            ("search_query", "RETRIEVAL_QUERY", "query"),
            ("passage", "RETRIEVAL_DOCUMENT", "passage"),
            ("search_document", "RETRIEVAL_DOCUMENT", "passage"),
            ("clustering", "CLUSTERING", None),
        ):
            context = RenderContext(OPENAI.field_names)
            asked = json.loads(GEMINI.render(openai(input="a", input_type=said), "e", context))
            self.assertEqual((asked["requests"][0]["taskType"], context.dropped), (task, []))
            context = RenderContext(GEMINI.field_names)
            asked = json.loads(OPENAI.render(gemini(content=content("a"), taskType=task), "e", context, words))
            self.assertEqual((asked.get("input_type"), context.dropped), (word, [] if word else ["taskType"]))
        for request, client, name in (
            (openai(input="a", input_type="image"), OPENAI, "input_type"),
            (gemini(requests=[{"content": content("a"), "title": each} for each in "tu"]), GEMINI, "title"),
            (gemini(requests=[{"content": content("a"), "taskType": each} for each in "tu"]), GEMINI, "taskType"),
        ):
            context = RenderContext(client.field_names)
            OPENAI.render(request, "e", context, words)
            self.assertEqual(context.dropped, [name])

    def test_as_asked(self) -> None:
        """Numbers become base64 where that was asked for; whatever else an answer holds stays."""
        fields = OPENAI.parse_request(b'{"model":"m","input":"a","encoding_format":"base64"}').fields
        plain = OPENAI.parse_request(b'{"model":"m","input":"a"}').fields
        lists = b'{"x":1.50,"data":[{"embedding":[0.5],"y":[1e2]},{"embedding" : [1, -2]}],"model":"e"}'
        packed = b'{"x":1.50,"data":[{"embedding":"AAAAPw==","y":[1e2]},{"embedding":"AACAPwAAAMA="}],"model":"e"}'
        self.assertEqual(OPENAI.as_asked(lists, fields), packed)
        self.assertEqual(OPENAI.as_asked(packed, fields), packed)
        self.assertEqual(OPENAI.as_asked(lists, plain), lists)
        self.assertEqual(GEMINI.as_asked(lists, fields), lists)
        mixed = b'{"data":[{"embedding":"AAAAPw=="},{"embedding":[1]}]}'
        self.assertEqual(json.loads(OPENAI.as_asked(mixed, fields))["data"][0], {"embedding": "AAAAPw=="})
        for vectors in (b'{"embedding":[null]}', b'{"embedding":[1e300]}', b'[{"embedding":[1]}]'):
            self.assertRaises(UpstreamMalformed, OPENAI.as_asked, b'{"data":[%b]}' % vectors, fields)

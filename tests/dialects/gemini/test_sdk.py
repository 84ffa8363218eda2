"""Google's own client against what the dialect writes: answers, streams, heartbeats and errors."""

import threading
import warnings
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google import genai
from google.genai import errors, types
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.embedding_ir import EmbeddingAnswer, EmbeddingRequest
from llmedge.dialects.gemini import Gemini
from llmedge.dialects.gemini_embeddings import GeminiEmbeddings
from llmedge.errors import EdgeError
from tests.dialects.gemini import test_streams as streams

GEMINI = Gemini()
EMBEDDINGS = GeminiEmbeddings()


class Handler(BaseHTTPRequestHandler):
    """Answers by the model's name and the method."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args: object) -> None:
        pass

    def do_POST(self) -> None:
        raw = self.rfile.read(int(self.headers["content-length"]))
        self.server.bodies.append(raw)
        status, media_type = 200, "application/json"
        if ":streamGenerateContent?alt=sse" in self.path:
            frames = [each.frame for each in GEMINI.encoder(ResponseContext("m", "id")).encode(streams.Decoding.EVENTS)]
            if "broken" in self.path:
                frames = [*frames[:2], GEMINI.error_frame(EdgeError("cut off", status=502))]
            body = GEMINI.heartbeat + GEMINI.heartbeat.join(frames)
            media_type = "text/event-stream"
        elif "broken" in self.path:
            status, body = 429, GEMINI.error_body(EdgeError("slow down", status=429))
        elif ":countTokens" in self.path:
            body = GEMINI.render_count_answer(5)
        elif ":batchEmbedContents" in self.path:
            request = EMBEDDINGS.parse(EMBEDDINGS.parse_request(raw, model="m").fields)
            body = EMBEDDINGS.render_answer(EmbeddingAnswer(((0.5, 1.0),)), request, ResponseContext("m"))
            assert request == EmbeddingRequest(("a",), dimensions=2)
        else:
            parts = (ir.Thinking("Hm", "Uw=="), ir.Text("hi"), ir.ToolCall("a", "f", '{"x":1}'))
            body = GEMINI.render_answer(ir.Answer((ir.Choice(parts, "tool"),)), ResponseContext("m", "id", 7))
        self.send_response(status)
        self.send_header("content-type", media_type)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Sdk(SynchronousTestCase):
    def setUp(self) -> None:
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.bodies = []
        thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        options = types.HttpOptions(base_url=f"http://127.0.0.1:{self.server.server_port}", timeout=600_000)
        self.client = genai.Client(api_key="k", http_options=options)

        def stop() -> None:
            self.client.close()
            self.server.shutdown()
            self.server.server_close()
            thread.join(600)

        self.addCleanup(stop)

    def test_a_whole_answer(self) -> None:
        config = types.GenerateContentConfig(
            system_instruction="Be brief.",
            temperature=0,
            tools=[
                types.Tool(
                    function_declarations=[
                        types.FunctionDeclaration(name="f", parameters=types.Schema(type=types.Type.OBJECT))
                    ]
                )
            ],
            automatic_function_calling=types.AutomaticFunctionCallingConfig(disable=True),
        )
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            answer = self.client.models.generate_content(model="m", contents="hello", config=config)
        (call,) = answer.function_calls
        self.assertEqual((call.id, call.name, call.args), ("a", "f", {"x": 1}))
        self.assertEqual(answer.candidates[0].finish_reason, types.FinishReason.STOP)
        request = GEMINI.parse(GEMINI.parse_request(self.server.bodies[0], model="m").fields)
        self.assertEqual(
            request,
            ir.Request(
                (
                    ir.Message("system", (ir.Text("Be brief."),), at="systemInstruction"),
                    ir.Message("user", (ir.Text("hello"),), at="contents[0]"),
                ),
                tools=(ir.Tool("f", "", b'{"type":"object"}'),),
                temperature=0,
            ),
        )

    def test_a_stream_with_heartbeats(self) -> None:
        """Text, calls and usage arrive; heartbeats do no harm."""
        chunks = list(self.client.models.generate_content_stream(model="m", contents="hello"))
        parts = [part for chunk in chunks for part in chunk.candidates[0].content.parts]
        self.assertEqual("".join(part.text or "" for part in parts if not part.thought), "Héllo")
        self.assertEqual([part.function_call.name for part in parts if part.function_call], ["f", "g"])
        self.assertEqual(chunks[-1].usage_metadata.total_token_count, 16)

    def test_errors(self) -> None:
        """Before a stream, and in one."""
        error = self.assertRaises(errors.APIError, self.client.models.generate_content, model="broken", contents="x")
        self.assertEqual((error.code, error.status, error.message), (429, "RESOURCE_EXHAUSTED", "slow down"))
        stream = self.client.models.generate_content_stream(model="broken", contents="x")
        error = self.assertRaises(errors.APIError, list, stream)
        self.assertEqual((error.code, error.status, error.message), (502, "UNAVAILABLE", "cut off"))

    def test_counts_and_embeddings(self) -> None:
        """The SDK's own methods understand them."""
        self.assertEqual(self.client.models.count_tokens(model="m", contents="x").total_tokens, 5)
        config = types.EmbedContentConfig(output_dimensionality=2)
        answer = self.client.models.embed_content(model="text-embedding-004", contents=["a"], config=config)
        self.assertEqual([each.values for each in answer.embeddings], [[0.5, 1.0]])

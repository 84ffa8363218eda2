"""What we write, read by OpenAI's own SDK."""

import json
import warnings
from typing import Any

import openai
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import BaseModel, TypeAdapter
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.dialect import ResponseContext
from llmedge.dialects.ir import Citation, Text, Thinking
from llmedge.errors import (
    EdgeError,
    UpstreamCut,
)
from tests.dialects.openai_responses.cases import COUNTED, DIALECT, RICH, TOOL, decoded, encoded, packed, raw

try:
    import httpx2 as httpx
except ImportError:
    import httpx

STREAM_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
UNTYPED = {"store", "presence_penalty", "frequency_penalty", "name"}


def unexpected(value: Any, path: str = "") -> list[str]:
    """Paths of fields the SDK's types do not have."""
    if isinstance(value, list):
        return [each for index, item in enumerate(value) for each in unexpected(item, f"{path}[{index}]")]
    if not isinstance(value, BaseModel):
        return []
    # ``store`` the API sends as well, its types have it in requests only; the penalties and the bytes in events are
    # Open Responses', the name at the end of a call's arguments is in the types of its other SDK
    untyped = UNTYPED if path in ("", ".response") else {"bytes"} if "logprobs[" in path else set()
    found = [f"{path}.{name}" for name in value.model_extra or () if name not in untyped]
    for name in type(value).model_fields:
        found += unexpected(getattr(value, name), f"{path}.{name}")
    return found


class WithSdk(SynchronousTestCase):
    def client(self, body: bytes, type: str = "text/event-stream") -> openai.OpenAI:
        def answer(request: Any) -> Any:
            return httpx.Response(200, headers={"content-type": type}, content=body)

        http = httpx.Client(transport=httpx.MockTransport(answer))
        return openai.OpenAI(api_key="k", base_url="http://edge/v1", http_client=http, max_retries=0)

    def setUp(self) -> None:
        catcher = warnings.catch_warnings()
        catcher.__enter__()
        self.addCleanup(catcher.__exit__, None, None, None)
        warnings.simplefilter("error")

    def test_whole(self) -> None:
        """Everything its types require, nothing they do not know."""
        parts = (
            Thinking("t", "s"),
            Text("Hello", (Citation("url", "https://a.example"), Citation("file", file="f", title="a"))),
            ir.Refusal("No"),
            ir.ToolCall("c", "f", "{}"),
        )
        logprobs = (ir.TokenLogprob("a", -1.0, (97,), (ir.TokenLogprob("a", -1.0, (97,)),)),)
        answer = ir.Answer((ir.Choice(parts, "tool", logprobs=logprobs),), "", "v", 3, COUNTED)
        asked = ResponseContext("m", "7", 5, fields=raw(packed({"tools": [TOOL], "tool_choice": "required"})))
        body = DIALECT.render_answer(answer, asked)
        said = self.client(body, "application/json").responses.create(model="m", input="x")
        self.assertEqual(unexpected(said), [])
        self.assertEqual(unexpected(Response.model_validate_json(body)), [])
        self.assertEqual((said.output_text, said.usage.total_tokens), ("Hello", 123))
        self.assertEqual(said.to_dict(), json.loads(body))

    def test_stream(self) -> None:
        """The helper that accumulates comes to the same answer as our last event."""
        stream = encoded(RICH)
        with self.client(stream).responses.stream(model="m", input="x") as events:
            types = [event.type for event in events]
            final = events.get_final_response()
        last = json.loads(stream.rsplit(b"data: ", 1)[1])["response"]
        self.assertEqual(final.output_text, "Zürtwolast")
        self.assertEqual([item.id for item in final.output], [item["id"] for item in last["output"]])
        self.assertEqual(unexpected(Response.model_validate(last)), [])
        self.assertEqual(len(types), stream.count(b"event: "))
        for frame in stream.split(b"\n\n")[:-1]:
            event = STREAM_EVENT.validate_json(frame.split(b"\ndata: ")[1])
            self.assertEqual(unexpected(event), [], event.type)

    def test_snapshots_of_mixed_calls(self) -> None:
        """The SDK keeps interleaved arguments apart by the indices we write."""
        snapshots = {}
        with self.client(encoded(RICH)).responses.stream(model="m", input="x") as events:
            for event in events:
                if event.type == "response.function_call_arguments.delta":
                    snapshots[event.output_index] = event.snapshot
        self.assertEqual(list(snapshots.values()), ["{}", "{}"])

    def test_errors_in_the_stream_are_raised(self) -> None:
        """With the flat fields of the reference alone, the SDK would yield an event and go on."""
        error = UpstreamCut("ended").of("v")
        stream = encoded(RICH[:3]) + DIALECT.error_frame(error)
        with self.assertRaises(openai.APIError) as caught:
            list(self.client(stream).responses.create(model="m", input="x", stream=True))
        self.assertEqual((caught.exception.message, caught.exception.code), (error.message, "UPSTREAM_ERROR"))
        event = STREAM_EVENT.validate_json(DIALECT.error_frame(error).split(b"\ndata: ")[1])
        self.assertEqual((event.type, event.message, event.code), ("error", error.message, "UPSTREAM_ERROR"))
        self.assertEqual(json.loads(DIALECT.error_body(error)), error.body())
        self.assertRaises(EdgeError, decoded, stream)

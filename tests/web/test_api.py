"""The operations in OpenAI's dialect: chat, completions, models; on the wire."""

import json

from twisted.trial.unittest import SynchronousTestCase

from tests.fakes import CHAT, Edge
from tests.web.common import KEYS


class Chat(SynchronousTestCase):
    def test_an_answer(self) -> None:
        """The mock repeats the question, counts words, and its answer is OpenAI's in shape."""
        response = Edge().chat()
        self.assertEqual((response.status, response.headers["content-type"]), (200, "application/json"))
        answer = response.json()
        self.assertEqual(answer["object"], "chat.completion")
        self.assertEqual(answer["choices"][0]["message"]["content"], "This is a mock answer to: one two three")
        self.assertEqual(answer["usage"], {"prompt_tokens": 3, "completion_tokens": 9, "total_tokens": 12})

    def test_a_stream(self) -> None:
        """Event stream, terminal event, clean end, no usage unasked."""
        response = Edge().chat(stream=True)
        self.assertEqual(response.headers["content-type"], "text/event-stream; charset=utf-8")
        self.assertTrue(response.complete)
        *chunks, done = response.events()
        self.assertEqual(done, "[DONE]")
        deltas = [json.loads(chunk)["choices"][0]["delta"].get("content") or "" for chunk in chunks]
        self.assertEqual("".join(deltas), "This is a mock answer to: one two three")
        self.assertNotIn("usage", response.body.decode())

    def test_usage_on_request(self) -> None:
        """A stream says it in a last chunk where it is asked for."""
        response = Edge().chat(stream=True, stream_options={"include_usage": True})
        last = json.loads(response.events()[-2])
        self.assertEqual((last["choices"], last["usage"]["completion_tokens"]), ([], 9))

    def test_legacy_completions(self) -> None:
        """Whole and streamed, the text is the same."""
        edge = Edge()
        body = {"model": "m", "prompt": "one two"}
        answer = edge.ask(path="/v1/completions", body=body).json()
        self.assertEqual(
            (answer["object"], answer["choices"][0]["text"]), ("text_completion", "This is a mock answer to: one two")
        )
        events = edge.ask(path="/v1/completions", body=body | {"stream": True}).events()
        self.assertEqual(
            "".join(json.loads(e)["choices"][0]["text"] for e in events[:-1]), answer["choices"][0]["text"]
        )

    def test_what_it_cost(self) -> None:
        """Whole answers say it, in digits, where a price is known; errors and streams do not."""
        edge = Edge(
            '[providers.m]\ndialect = "mock"\nmodels = ["*"]\n'
            '[prices."m/cheap"]\ninput = 0.01\noutput = 0.03\n[prices."m/free"]\ninput = 0\noutput = 0\n'
            '[prices."m/other"]\nimage = 1\n'
        )
        self.assertEqual(edge.chat(model="cheap").headers["x-llmedge-cost-usd"], "0.0000003")
        self.assertEqual(edge.chat(model="free").headers["x-llmedge-cost-usd"], "0")
        self.assertNotIn("x-llmedge-cost-usd", edge.chat(model="other").headers)
        self.assertNotIn("x-llmedge-cost-usd", edge.chat(model="cheap", stream=True).headers)
        streamed = edge.records[-1].accounting.cost
        self.assertEqual(streamed, edge.records[0].accounting.cost)


class Models(SynchronousTestCase):
    TOML = (
        KEYS
        + '[providers.p]\ndialect = "mock"\n[models."gpt-4"]\ntargets = ["p/x"]\n[models.other]\ntargets = ["p/y"]\n'
    )

    def test_list_and_get(self) -> None:
        """Each caller sees the models it may use, and no others."""
        edge = Edge(self.TOML)
        a, b = {"x-api-key": "key-a"}, {"x-api-key": "key-b"}
        names = [m["id"] for m in edge.ask("GET", "/v1/models", headers=a).json()["data"]]
        self.assertEqual(names, ["gpt-4", "other"])
        self.assertEqual([m["id"] for m in edge.ask("GET", "/v1/models", headers=b).json()["data"]], ["gpt-4"])
        self.assertEqual(edge.ask("GET", "/v1/models/p/z", headers=a).json()["owned_by"], "p")
        self.assertEqual(edge.ask("GET", "/v1/models/nope", headers=a).status, 404)
        self.assertEqual(edge.ask("GET", "/v1/models/other", headers=b).status, 404)

    def test_unknown_model(self) -> None:
        """A 404 that names the field."""
        edge = Edge(self.TOML)
        response = edge.ask(body=CHAT | {"model": "nope"}, headers={"x-api-key": "key-a"})
        self.assertEqual(
            (response.status, response.error["code"], response.error["param"]), (404, "NOT_FOUND", "model")
        )

    def test_forbidden_model(self) -> None:
        """A 403 for a model that the key may not use."""
        edge = Edge(self.TOML)
        response = edge.ask(body=CHAT | {"model": "other"}, headers={"x-api-key": "key-b"})
        self.assertEqual((response.status, response.error["code"]), (403, "PERMISSION_ERROR"))

    def test_long_model_name(self) -> None:
        """A 400 that names the field."""
        response = Edge().chat(model="x" * 257)
        self.assertEqual((response.status, response.error["param"]), (400, "model"))

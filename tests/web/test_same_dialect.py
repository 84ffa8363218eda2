"""Within one dialect only the vendor judges a body: engines take more than the API documents. To another dialect what
cannot be understood is refused, before anybody is asked."""

from __future__ import annotations

import json

from tests.web.through import Through

OPENAI, RESPONSES = "openai", "openai_responses"
ODD = (
    (OPENAI, "/v1/embeddings", {"model": "m", "messages": [{"role": "user", "content": "x"}]}, "input"),
    (OPENAI, "/v1/embeddings", {"model": "m", "input": [{"image": "x"}]}, "input[0]"),
    (OPENAI, "/v1/embeddings", {"model": "m", "input": []}, "input"),
    (OPENAI, "/v1/chat/completions", {"model": "m"}, "messages"),
    (OPENAI, "/v1/chat/completions", {"model": "m", "messages": []}, "messages"),
    (OPENAI, "/v1/chat/completions", {"model": "m", "messages": [{"role": "user", "content": ["x"]}]}, None),
    (OPENAI, "/v1/chat/completions", {"model": "m", "messages": [{"role": "u", "content": [{"type": "x"}]}]}, None),
    (OPENAI, "/v1/chat/completions", {"model": "m", "messages": "hi", "logit_bias": [[1, 2.5]]}, None),
    (OPENAI, "/v1/chat/completions", {"model": "m", "messages": [{"role": "user"}], "temperature": "0.5"}, None),
    (OPENAI, "/v1/completions", {"model": "m", "prompt_embeds": "AAAA"}, "prompt"),
    (OPENAI, "/v1/completions", {"model": "m", "prompt": {"prompt_string": "x"}}, "prompt"),
    (OPENAI, "/v1/completions", {"model": "m", "prompt": [1, "x", [2]], "logprobs": True}, None),
    (RESPONSES, "/v1/responses", {"model": "m"}, "input"),
    (RESPONSES, "/v1/responses", {"model": "m", "input": [], "previous_response_id": "r"}, "input"),
    (RESPONSES, "/v1/responses", {"model": "m", "input": ["x"]}, "input[0]"),
    ("anthropic", "/v1/messages", {"model": "m", "messages": []}, None),
    ("anthropic", "/v1/messages", {"model": "m", "max_tokens": 9, "messages": [{"role": "tool", "content": {}}]}, None),
    ("anthropic", "/v1/messages/count_tokens", {"model": "m", "messages": [], "speed": "fast"}, "messages"),
    ("gemini", "/v1beta/models/m:generateContent", {"cachedContent": "x"}, "contents"),
    ("gemini", "/v1beta/models/m:generateContent", {"contents": "hi", "tools": 5}, "contents"),
    ("gemini", "/v1beta/models/m:countTokens", {"contents": []}, "contents"),
    ("gemini", "/v1beta/models/m:embedContent", {"model": "models/m", "text": "x"}, "content"),
)


def provider(kind: str) -> str:
    base = "http://127.0.0.1:9" if kind in ("anthropic", "gemini") else "http://127.0.0.1:9/v1"
    return f'[providers.v]\ndialect = "{kind}"\nbase_url = "{base}"\nmodels = ["*"]\n'


class Bodies(Through):
    def test_the_vendor_judges(self) -> None:
        """It gets the body as it came, and its refusal is the client's."""
        for kind, path, body, _ in ODD:
            self.begin(toml=provider(kind))
            wire = self.ask(path, body)
            vendor = self.vendor()
            sent = json.loads(vendor.body)
            self.assertEqual(sent.get("generateContentRequest", sent), body | self.named(sent), path)
            vendor.answer(422, {"error": {"message": "not like this"}})
            self.assertEqual(wire.response().status, 422)

    def named(self, sent: dict[str, object]) -> dict[str, object]:
        """Where a body of Google's has the model."""
        inner = sent.get("generateContentRequest", sent)
        assert isinstance(inner, dict)
        return {"model": inner["model"]} if "model" in inner else {}

    def test_to_another_dialect(self) -> None:
        """A 400 that names the field; nobody is asked."""
        for kind, path, body, param in ODD:
            self.begin(toml=provider("gemini" if kind != "gemini" else OPENAI))
            wire = self.ask(path, body)
            if path.endswith(("count_tokens", ":countTokens")):
                continue
            response = wire.response()
            self.assertEqual(response.status, 400, (path, body))
            self.assertEqual(self.edge.reactor.tcpClients, [])
            if param is not None:
                self.assertIn(param.encode(), response.body)

    def test_what_is_needed(self) -> None:
        """The model, and what limits and streams go by."""
        for kind, path, body, param in (
            (OPENAI, "/v1/chat/completions", {"messages": []}, "model"),
            (OPENAI, "/v1/chat/completions", {"model": "m", "n": 0}, "n"),
            (OPENAI, "/v1/completions", {"model": "m", "n": "2"}, "n"),
            (OPENAI, "/v1/chat/completions", {"model": "m", "stream": "yes"}, "stream"),
            (OPENAI, "/v1/chat/completions", {"model": "m", "stream": True, "stream_options": 5}, "stream_options"),
            (OPENAI, "/v1/embeddings", {"model": 5}, "model"),
            (RESPONSES, "/v1/responses", {"model": "m", "stream": 1}, "stream"),
            ("anthropic", "/v1/messages", {"model": ""}, "model"),
            (
                "gemini",
                "/v1beta/models/m:generateContent",
                {"generationConfig": {"candidateCount": -1}},
                "candidateCount",
            ),
        ):
            self.begin(toml=provider(kind))
            response = self.ask(path, body).response()
            self.assertEqual(response.status, 400, (path, body))
            self.assertIn(param.encode(), response.body)
            self.assertEqual(self.edge.reactor.tcpClients, [])

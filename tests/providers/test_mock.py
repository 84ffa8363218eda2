"""The vendor that is none: what it says, and how far it obeys."""

import json

from tests.fakes import Edge
from tests.web.common import Answers


class Mock(Answers):
    def test_mock_bounds_what_it_says(self) -> None:
        """Neither a strange tool nor a huge n breaks the mock."""
        edge = Edge("[rate_limit]\nenabled = false\n")
        self.check(edge.chat(n=1_500_000), 400, "VALIDATION_ERROR")
        for function in (
            "x",
            {"parameters": "x"},
            {"parameters": {"properties": [1]}},
            {"parameters": {"properties": {"a": {"enum": {"q": 1}}}}},
        ):
            self.assertEqual(edge.chat(tools=[{"function": function}]).status, 200, function)

    def test_mock_obeys(self) -> None:
        """n, max_tokens, stop and tools have their effect, whole and streamed."""
        edge = Edge()
        choices = edge.chat(n=2, max_tokens=2).json()["choices"]
        self.assertEqual([(c["index"], c["finish_reason"]) for c in choices], [(0, "length"), (1, "length")])
        self.assertEqual(choices[0]["message"]["content"], "This is")
        self.assertEqual(edge.chat(stop=["mock"]).json()["choices"][0]["message"]["content"], "This is a")
        tool = {
            "type": "function",
            "function": {"name": "look", "parameters": {"properties": {"q": {}, "n": {"type": "integer"}}}},
        }
        choice = edge.chat(tools=[tool]).json()["choices"][0]
        self.assertEqual(choice["finish_reason"], "tool_calls")
        call = choice["message"]["tool_calls"][0]["function"]
        self.assertEqual((call["name"], json.loads(call["arguments"])), ("look", {"q": "mock", "n": 1}))
        pieces = [json.loads(e)["choices"][0] for e in edge.chat(tools=[tool], stream=True).events()[:-1]]
        arguments = "".join(
            p["delta"]["tool_calls"][0]["function"]["arguments"] for p in pieces if "tool_calls" in p["delta"]
        )
        self.assertEqual(arguments, call["arguments"])
        self.assertEqual(edge.chat(tools=[tool], tool_choice="none").json()["choices"][0]["finish_reason"], "stop")

    def test_deterministic(self) -> None:
        """The same question has the same answer, to the byte."""
        self.assertEqual(Edge().chat().body, Edge().chat().body)

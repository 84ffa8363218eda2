"""Answers in whatever form vendors give them: nothing is lost, and none is thrown away for what nobody needs."""

from __future__ import annotations

import json
from typing import Any

import attrs
from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects import ir
from llmedge.dialects.registry import CHAT, DIALECTS
from llmedge.errors import UpstreamCut, UpstreamMalformed
from llmedge.model import Usage
from tests.dialects.gist import Gist, chat, chunk, piece, streamed, whole

LS, PWD = '{"cmd":"ls"}', '{"cmd":"pwd"}'
END = chunk({}, "tool_calls")


def calls(*each: dict[str, Any]) -> dict[str, Any]:
    return chunk({"tool_calls": list(each)})


class Calls(SynchronousTestCase):
    def check(self, expected: tuple[tuple[str, str, str], ...], *chunks: Any) -> None:
        self.assertEqual(streamed("openai_chat", *chunks, END), Gist(calls=expected, finish="tool"))

    def test_told_apart(self) -> None:
        """By id, by index or by both; a piece without an id goes on with the last call of its index."""
        two = (("a", "run", LS), ("b", "run", PWD))
        mixed = [calls(piece("run", "", index=0, id="a"), piece("run", "", index=1, id="b"))]
        for chunks in (
            [calls(piece("run", LS, index=0, id="a")), calls(piece("run", PWD, index=1, id="b"))],
            [calls(piece("run", LS, index=0, id="a")), calls(piece("run", PWD, index=0, id="b"))],
            [calls(piece("run", LS, index=0, id="a"), piece("run", PWD, index=0, id="b"))],
            [calls(piece("run", LS, id="a"), piece("run", PWD, id="b"))],
            [calls(piece("run", LS, id="a", index=None)), calls(piece("run", PWD, id="b", index=None))],
            [calls(piece("run", LS, index="0", id="a")), calls(piece("run", PWD, index="1", id="b"))],
            [calls(piece("run", LS, index=0, id="a")), calls(piece("run", index=0, id="b")), calls(piece(None, PWD))],
            [*mixed, calls(piece(None, PWD, index=1)), calls(piece(None, LS, index=0))],
            [*mixed, calls(piece(None, PWD, id="b")), calls(piece(None, LS, id="a"))],
            [*mixed, calls(piece(None, LS), piece(None, PWD))],
        ):
            with self.subTest(chunks=chunks):
                self.check(two, *chunks)

    def test_without_ids(self) -> None:
        """A piece that begins anew behind complete arguments is another call."""
        two = (("", "run", LS), ("", "see", PWD))
        for chunks in (
            [calls(piece("run", LS, index=0)), calls(piece("see", PWD, index=0))],
            [calls(piece("run", LS)), calls(piece("see", PWD))],
            [calls(piece("run", LS), piece("see", PWD))],
            [calls(piece("run", LS, id=0), piece("see", PWD, id=1))],
        ):
            with self.subTest(chunks=chunks):
                self.check(two, *chunks)

    def test_the_same_call(self) -> None:
        """The id, or the name, may be in each piece, come late, or be another each time."""
        for pieces in (
            [piece("run", '{"cmd":', index=0, id="a"), piece("run", '"ls"}', index=0, id="a")],
            [piece("run", '{"cmd":', id="a"), piece("run", '"ls"}', id="a")],
            [piece("run", '{"cmd":', id="a", index=0), piece(None, '"ls"}', id="x", index=0)],
            [piece("ru", id="a", index=0), piece("n", "", index=0), piece(None, LS, index=0)],
            [piece("run", id="a", index=0), piece("run", "", index=0), piece("run", LS, index=0)],
            [piece("run", LS, index=0, id="a"), piece(None, "\n", index=0)],
            [piece("run", '{"cmd":', index=0, id="a"), piece(None, '"ls"}', index=1, id="a")],
            [piece("run", '{"cmd":', index=0, id="a"), piece(None, '"ls"}', index=1)],
            [piece(id="a", index=0), piece("run", index=0), piece(None, LS, index=0, id="")],
        ):
            with self.subTest(pieces=pieces):
                heard = streamed("openai_chat", *map(calls, pieces), END)
                self.assertEqual([(id, name, text.strip()) for id, name, text in heard.calls], [("a", "run", LS)])

    def test_one_id_twice(self) -> None:
        """Two calls: they have their own index, or begin anew."""
        for second in (
            piece("run", PWD, index=1, id="a"),
            piece("run", PWD, index=0, id="a"),
            piece("run", PWD, id="a"),
        ):
            self.check((("a", "run", LS), ("a", "run", PWD)), calls(piece("run", LS, index=0, id="a")), calls(second))

    def test_arguments_that_go_on(self) -> None:
        """What belongs to no call breaks the stream."""
        begun = [calls(piece("run", LS, index=0, id="a")), chunk({"content": "x"})]
        self.assertRaises(UpstreamMalformed, streamed, "openai_chat", *begun, calls(piece(None, "}", index=0)), END)

    def test_what_is_held(self) -> None:
        """A call opens with its arguments, since its name may come in pieces; whoever asks has it at once, and once."""
        decoder = CHAT.decoder(choices=1, max_event=9999)
        chunks = [calls(piece("run", "", index=0, id="a")), calls(piece(None, LS, index=0)), END]
        first, *rest = (b"data: %b\n\n" % json.dumps(each).encode() for each in chunks)
        self.assertEqual([type(event) for event in decoder.feed(first)], [ir.Begin])
        opened = ir.Open(0, "tool", tool_id="a", name="run")
        self.assertEqual((decoder.flush(), decoder.flush()), ([opened], []))
        self.assertNotIn(opened, decoder.feed(b"".join(rest)))

    def test_forms(self) -> None:
        """Arguments as an object or none, a lone call, a null, the older field, a whole message in a chunk."""
        for given, expected in (
            ({"cmd": "ls"}, '{"cmd": "ls"}'),
            ({"n": 1.0, "m": 12345678901234567890123}, '{"n": 1.0, "m": 12345678901234567890123}'),
            ({}, "{}"),
            ("", "{}"),
            ([], "{}"),
            (None, "{}"),
            (False, "false"),
            ("[1]", "[1]"),
        ):
            call = {"id": "a", "index": 0, "function": {"name": "f", "arguments": given}}
            for said in ({"tool_calls": [call]}, {"tool_calls": call}, {"tool_calls": [None, call]}):
                with self.subTest(given=given, said=said):
                    self.assertEqual(whole("openai_chat", chat(said)).calls, (("a", "f", expected),))
                    heard = streamed("openai_chat", chunk(said), END).calls
                    self.assertEqual([(*each[:2], each[2] or "{}") for each in heard], [("a", "f", expected)])
        old = {"function_call": {"name": "f", "arguments": LS}}
        new = {"tool_calls": [piece("f", LS, id="a")]}
        for said, id in ((old, ""), (old | new, "a"), (old | {"tool_calls": None}, "")):
            expected_gist = Gist(calls=((id, "f", LS),), finish="tool")
            self.assertEqual(whole("openai_chat", chat(said, "function_call")), expected_gist)
            self.assertEqual(streamed("openai_chat", chunk(said), chunk({}, "function_call")), expected_gist)
            message = {"choices": [{"message": said, "finish_reason": "stop"}]}
            self.assertEqual(streamed("openai_chat", message), expected_gist)
        self.assertEqual(whole("openai_chat", chat({"tool_calls": None, "content": "x"})), Gist((("text", "x"),)))

    def test_no_object_around(self) -> None:
        """The name and the arguments stand in the call itself."""
        call = {"id": "a", "type": "function", "name": "f"}
        for given in (LS, {"cmd": "ls"}):
            said = {"tool_calls": [call | {"arguments": given}]}
            for heard in (whole("openai_chat", chat(said)), streamed("openai_chat", chunk(said), END)):
                self.assertEqual([(*each[:2], each[2].replace(" ", "")) for each in heard.calls], [("a", "f", LS)])

    def test_white_arguments(self) -> None:
        """They say nothing."""
        for given in (" ", "\n\t"):
            said = {"tool_calls": [piece("f", given, id="a")]}
            self.assertEqual(whole("openai_chat", chat(said)).calls, (("a", "f", "{}"),))

    def test_of_other_dialects(self) -> None:
        """Ids that are none, and arguments in the other form."""
        tool = {"type": "tool_use", "id": None, "name": "f", "input": LS}
        self.assertEqual(whole("anthropic", {"content": [tool], "stop_reason": "tool_use"}).calls, (("", "f", LS),))
        said = {"functionCall": {"name": "f", "id": 7, "args": LS}}
        candidates = {"candidates": [{"content": {"parts": [said]}, "finishReason": "STOP"}]}
        for heard in (whole("gemini", candidates), streamed("gemini", candidates)):
            self.assertEqual(heard, Gist(calls=(("", "f", LS),), finish="tool"))
        item = {"type": "function_call", "name": "f", "call_id": 3, "arguments": {"cmd": "ls"}}
        body = {"output": [item], "status": "completed"}
        end = {"type": "response.completed", "response": body}
        for heard in (whole("openai_responses", body), streamed("openai_responses", end)):
            self.assertEqual(heard, Gist(calls=(("", "f", '{"cmd": "ls"}'),), finish="tool"))
        use = {"toolUse": {"name": "f", "input": LS}}
        body = {"output": {"message": {"content": [use]}}, "stopReason": "tool_use"}
        self.assertEqual(whole("bedrock", body).calls, (("", "f", LS),))
        events: list[Any] = [
            ("contentBlockStart", {"start": {"toolUse": {"name": "f", "toolUseId": None}}}),
            ("contentBlockDelta", {"delta": {"toolUse": {"input": {"cmd": "ls"}}}}),
            ("contentBlockStop", {}),
            ("messageStop", {"stopReason": "tool_use"}),
        ]
        self.assertEqual(streamed("bedrock", *events).calls, (("", "f", '{"cmd":"ls"}'),))

    def test_two_items_at_one_index(self) -> None:
        """Calls of Responses are told apart by their ids as well."""

        def events(id: str, arguments: str) -> list[dict[str, Any]]:
            item = {"type": "function_call", "id": f"fc_{id}", "call_id": id, "name": "f"}
            done = {"type": "response.function_call_arguments.done", "item_id": f"fc_{id}", "arguments": arguments}
            return [{"type": "response.output_item.added", "output_index": 0, "item": item}, done | {"output_index": 0}]

        last = {"type": "function_call", "call_id": "c", "name": "g", "arguments": "{}"}
        end = {"type": "response.completed", "response": {"output": [last], "status": "completed"}}
        heard = streamed("openai_responses", *events("a", LS), *events("b", PWD), end)
        self.assertEqual(heard.calls, (("a", "f", LS), ("b", "f", PWD), ("c", "g", "{}")))


class Behind(SynchronousTestCase):
    """What comes behind a reason to end is said as well."""

    def test_all_is_told(self) -> None:
        text, call = chunk({"content": "two"}), calls(piece("run", LS, index=0, id="a"))
        two = Gist((("text", "one two"),))
        called = Gist((("text", "one "),), (("a", "run", LS),), "tool")
        for chunks, expected in (
            ([chunk({"content": "one "}, "stop"), chunk({"content": "two"}, "stop")], two),
            ([chunk({"content": "one "}, "stop"), text], two),
            ([chunk({"content": "one "}, "stop"), text, chunk({}, "stop")], two),
            ([chunk({"content": "one "}, "length"), chunk({}, "stop")], Gist((("text", "one "),), finish="length")),
            ([chunk({"content": "one "}, "stop"), text, chunk({}, "length")], attrs.evolve(two, finish="length")),
            ([chunk({"content": "one "}, "stop"), call, END], called),
            ([chunk({"content": "one "}, "stop"), call], called),
            ([chunk({"reasoning": "Hm"}, "stop"), text], Gist((("thinking", "Hm"), ("text", "two")))),
        ):
            with self.subTest(chunks=chunks):
                self.assertEqual(streamed("openai_chat", *chunks), expected)
        pieces = [piece("run", '{"cmd"', index=0, id="a"), piece(None, ':"ls"}')]
        heard = streamed("openai_chat", *[chunk({"tool_calls": [each]}, "tool_calls") for each in pieces])
        self.assertEqual(heard.calls, (("a", "run", LS),))

    def test_cut(self) -> None:
        """A stream that goes on behind a reason and breaks off is none; one that ends there is."""
        for last, ended in ((chunk({"content": "two"}), False), (chunk({}), True)):
            decoder = CHAT.decoder(choices=1, max_event=9999)
            for each in (chunk({"content": "one "}, "stop"), last):
                decoder.feed(b"data: %b\n\n" % json.dumps(each).encode())
            self.assertEqual(decoder.complete, ended)
            if ended:
                self.assertEqual(decoder.end()[-2:], [ir.Finish("stop"), ir.End()])
            else:
                self.assertRaises(UpstreamCut, decoder.end)

    def test_who_asks(self) -> None:
        """The end is told at once to who has to know all that was said, and again when more came."""
        decoder = CHAT.decoder(choices=1, max_event=9999)
        ends = []
        for each in (chunk({"content": "one "}, "stop"), chunk({"content": "two"}), chunk({}, "length")):
            decoder.feed(b"data: %b\n\n" % json.dumps(each).encode())
            ends.append([event.reason for event in decoder.flush() if isinstance(event, ir.Finish)])
        self.assertEqual(ends, [["stop"], [], ["length"]])
        self.assertEqual(decoder.feed(b"data: [DONE]\n\n"), [ir.End()])


class Content(SynchronousTestCase):
    def test_told_at_the_end(self) -> None:
        """Of Responses, what no event told before is in the last one; what was told is not told again."""
        thought = {"type": "reasoning", "id": "r", "summary": [{"type": "summary_text", "text": "Ah"}]}
        text = {"type": "message", "id": "m", "content": [{"type": "output_text", "text": "Two"}]}
        end = {"type": "response.completed", "response": {"status": "completed", "output": [thought, text]}}
        delta = {"type": "response.reasoning.delta", "item_id": "r2", "output_index": 0, "delta": "Ah"}
        said = {"type": "response.output_text.delta", "item_id": "m2", "output_index": 1, "delta": "Two"}
        for events in ([end], [delta, end], [said, end], [delta, said, end]):
            heard = streamed("openai_responses", *events).said
            self.assertCountEqual(heard, (("thinking", "Ah"), ("text", "Two")))

    def test_parts(self) -> None:
        """Mistral's thoughts and texts, in their order, also nested; a text that is none."""
        text = {"type": "text", "text": "Two"}
        thought = {"type": "thinking", "thinking": [{"type": "text", "text": "A"}, {"type": "text", "text": "h"}]}
        both = (("thinking", "Ah"), ("text", "Two"))
        for content, said in (
            ([thought, text], both),
            ([[thought], {"type": "reference", "reference_ids": [1]}, text], both),
            ([{"type": "thinking", "thinking": "Ah"}, "Two"], both),
            ([text, text], (("text", "TwoTwo"),)),
            (text, (("text", "Two"),)),
            (
                [{"type": "text", "text": "Two"}, {"type": "refusal", "refusal": "no"}],
                (("text", "Two"), ("refusal", "no")),
            ),
            (7, (("text", "7"),)),
            (True, (("text", "true"),)),
            ([], ()),
            ({}, ()),
            (None, ()),
        ):
            with self.subTest(content=content):
                self.assertEqual(whole("openai_chat", chat({"content": content})).said, said)
                for delta in (chunk({"content": content}), {"choices": {"message": {"content": content}}}):
                    self.assertEqual(streamed("openai_chat", delta, chunk({}, "stop")).said, said)

    def test_thoughts(self) -> None:
        """Each vendor's place for them; a kind of detail that is new is no reason to throw an answer away."""
        both = (("thinking", "Ah"), ("text", "Two"))
        details = [{"type": "reasoning.summary", "summary": "Ah"}, {"type": "reasoning.new", "x": 1}, None]
        for thought in (
            {"reasoning_content": "Ah"},
            {"reasoning": "Ah"},
            {"reasoning_text": "Ah"},
            {"thinking": "Ah"},
            {"reasoning_content": "Ah", "reasoning": "Ah"},
            {"reasoning_content": "", "reasoning": [{"type": "text", "text": "Ah"}]},
            {"reasoning_details": details},
            {"reasoning": "Ah", "reasoning_details": details},
        ):
            with self.subTest(thought=thought):
                said = thought | {"content": "Two"}
                self.assertEqual(whole("openai_chat", chat(said)).said, both)
                self.assertEqual(streamed("openai_chat", chunk(said), chunk({}, "stop")).said, both)

    def test_a_message_that_repeats(self) -> None:
        """Some vendors say all of it again in the last chunk."""
        last = {"choices": [{"delta": {}, "message": {"content": "Two files."}, "finish_reason": "stop"}]}
        heard = streamed("openai_chat", chunk({"content": "Two "}), chunk({"content": "files."}), last)
        self.assertEqual(heard.said, (("text", "Two files."),))

    def test_a_text_alone(self) -> None:
        """Where lists are meant."""
        self.assertEqual(whole("anthropic", {"content": "Two"}).said, (("text", "Two"),))
        item = {"type": "message", "content": "Two"}
        self.assertEqual(whole("openai_responses", {"output": [item]}).said, (("text", "Two"),))
        self.assertEqual(whole("openai_responses", {"output": item}).said, (("text", "Two"),))


STRANGE: list[Any] = [None, "x", 1, 1.5, -3, True, [], [None], {}, {"a": [1]}]
"""What may stand in a field that nobody needs."""


class Unneeded(SynchronousTestCase):
    def test_chat(self) -> None:
        for odd in STRANGE:
            top = dict.fromkeys(("id", "model", "created", "usage", "service_tier", "x_groq", "timings"), odd)
            more = dict.fromkeys(("logprobs", "stop_reason", "usage", "content_filter_results"), odd) | {"top": top}
            more["stop_reason"] = None if isinstance(odd, str) else odd
            more["index"] = None if odd in (1, -3) and odd is not True else odd
            said = {"content": "Two", "annotations": odd, "audio": None, "reasoning_details": odd, "citations": odd}
            with self.subTest(odd=odd):
                self.assertEqual(whole("openai_chat", chat(said, **more)).said, (("text", "Two"),))
                end = chunk({}, "stop", **more)
                self.assertEqual(streamed("openai_chat", chunk(said, **more), end).said, (("text", "Two"),))

    def test_times(self) -> None:
        """SambaNova's have a fraction."""
        for created, seconds in ((1.75, 1), ("5", 5), (7, 7), (-1, 0), (1e30, 0)):
            body = b'{"choices":[{"message":{"content":"x"}}],"created":%b}' % str(created).encode()
            if isinstance(created, str):
                body = body.replace(b":5}", b':"5"}')
            self.assertEqual(CHAT.parse_answer(body).created, seconds)

    def test_other_dialects(self) -> None:
        for odd in STRANGE:
            with self.subTest(odd=odd):
                known = dict.fromkeys(("id", "model", "usage", "service_tier", "created_at", "modelVersion"), odd)
                said = (("text", "Two"),)
                text = {"type": "text", "text": "Two", "citations": odd, "annotations": odd, "logprobs": odd}
                body: Any = known | {"content": [text], "stop_reason": "end_turn", "stop_sequence": odd}
                self.assertEqual(whole("anthropic", body).said, said)
                message = known | {"role": "assistant", "content": []}
                events: list[Any] = [
                    {"type": "message_start", "message": message},
                    {"type": "content_block_start", "index": 0, "content_block": text},
                    {"type": "content_block_stop", "index": 0},
                    {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": odd}, "usage": odd},
                    {"type": "message_stop"},
                ]
                self.assertEqual(streamed("anthropic", *events).said, said)
                item = {"type": "message", "content": [text | {"type": "output_text"}]}
                body = known | {"output": [item], "incomplete_details": odd}
                self.assertEqual(whole("openai_responses", body).said, said)
                end = {"type": "response.completed", "response": body, "sequence_number": odd, "output_index": odd}
                self.assertEqual(streamed("openai_responses", end).said, said)
                candidate = {"content": {"parts": [{"text": "Two"}]}, "finishReason": "STOP"}
                candidate |= dict.fromkeys(("groundingMetadata", "citationMetadata", "logprobsResult"), odd)
                body = dict.fromkeys(("responseId", "modelVersion", "createTime", "usageMetadata"), odd)
                body |= {"candidates": [candidate]}
                self.assertEqual(whole("gemini", body).said, said)
                self.assertEqual(streamed("gemini", body).said, said)
                body = {"output": {"message": {"content": [{"text": "Two"}]}}, "stopReason": "end_turn"}
                body |= dict.fromkeys(("usage", "metrics", "serviceTier", "additionalModelResponseFields"), odd)
                self.assertEqual(whole("bedrock", body).said, said)
                stop = ("messageStop", {"stopReason": "end_turn", "additionalModelResponseFields": odd})
                meta = ("metadata", dict.fromkeys(("usage", "metrics", "serviceTier"), odd))
                deltas = ("contentBlockDelta", {"delta": {"text": "Two"}})
                self.assertEqual(streamed("bedrock", deltas, stop, meta).said, said)

    def test_passed_on(self) -> None:
        """Nor is a stream that is passed on broken by it, and it goes on as it came."""
        ends = [chunk({}, "stop")]
        for odd in (None, "0", 1.5, [], {}):
            first = chunk({"content": "Two"}, index=odd, text=odd, finish_reason=odd or False)
            later = {"choices": [{"index": odd, "delta": odd if isinstance(odd, list | dict) else None}]}
            for others in ([], [later], [{"choices": [None]}], [{"choices": {}}]):
                chunks = [*others, first, *others]
                with self.subTest(odd=odd, chunks=chunks):
                    raw = [b"data: %b\n\n" % json.dumps(each).encode() for each in chunks + ends]
                    reader = CHAT.reader(strip_usage=False, choices=1, max_event=9999)
                    frames = [event.frame for event in reader.feed(b"".join(raw) + b"data: [DONE]\n\n")]
                    self.assertEqual(frames, [*raw, b"data: [DONE]\n\n"])

    def test_blocks_of_a_new_kind(self) -> None:
        """What the API adds may use names of ours for something else."""
        new = {"type": "new", "text": {"a": 1}, "name": 5, "data": [1], "id": 3}
        text = {"type": "text", "text": ""}
        delta = {"type": "content_block_delta", "index": 1, "delta": {"type": "text_delta", "text": "Two"}}
        events: list[Any] = [
            {"type": "message_start", "message": {}},
            {"type": "content_block_start", "index": 0, "content_block": new},
            {"type": "content_block_delta", "index": 0, "delta": new},
            {"type": "content_block_stop", "index": 0},
            {"type": "content_block_start", "index": 1, "content_block": text},
            delta | {"delta": new},
            delta,
            {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
            {"type": "message_stop"},
        ]
        self.assertEqual(streamed("anthropic", *events).said, (("text", "Two"),))
        reader = DIALECTS["anthropic"].reader(strip_usage=False, choices=1, max_event=9999)
        raw = b"".join(b"data: %b\n\n" % json.dumps(each).encode() for each in events)
        self.assertEqual(len(reader.feed(raw)), len(events))
        for wrong in (text | {"text": 5}, {"type": 5}, {"text": "x"}):
            events[4]["content_block"] = wrong
            self.assertRaises(UpstreamMalformed, streamed, "anthropic", *events)

    def test_google_passed_on(self) -> None:
        lone = {"candidates": [None, {"content": {"parts": {"text": "Two"}}, "finishReason": "STOP"}]}
        reader = DIALECTS["gemini"].reader(strip_usage=False, choices=1, max_event=9999)
        self.assertEqual(len(reader.feed(b"data: %b\n\n" % json.dumps(lone).encode()) + reader.end()), 2)


class Engines(SynchronousTestCase):
    def test_the_stop_sequence(self) -> None:
        """vLLM and SGLang tell which one was met; a number is a token's."""
        for more, finish, met in (
            ({"stop_reason": "###"}, "stop_sequence", "###"),
            ({"matched_stop": "###"}, "stop_sequence", "###"),
            ({"stop_reason": 151645}, "stop", ""),
            ({"matched_stop": None}, "stop", ""),
        ):
            heard = whole("openai_chat", chat({"content": "a"}, **more))
            self.assertEqual((heard.finish, heard.stop_sequence), (finish, met))
            heard = streamed("openai_chat", chunk({"content": "a"}), chunk({}, "stop", **more))
            self.assertEqual((heard.finish, heard.stop_sequence), (finish, met))


class Counts(SynchronousTestCase):
    def test_places(self) -> None:
        """Wherever the usage stands, in the chunk that ends the answer or in one behind it."""
        plain = {"prompt_tokens": 7, "completion_tokens": 3}
        for usage, expected in (
            (plain, Usage(7, 3)),
            (plain | {"prompt_cache_hit_tokens": 5}, Usage(7, 3, 5)),
            (plain | {"cached_tokens": 5}, Usage(7, 3, 5)),
            (plain | {"reasoning_tokens": 2}, Usage(7, 3, reasoning=2)),
            ({"input_tokens": 7, "output_tokens": 3}, Usage(7, 3)),
            ({"input_tokens": 2, "output_tokens": 3, "cache_read_input_tokens": 5}, Usage(7, 3, 5)),
        ):
            for top, more in (({"usage": usage}, {}), ({"x_groq": {"usage": usage}}, {}), ({}, {"usage": usage})):
                with self.subTest(top=top, more=more):
                    body = chat({"content": "a"}, top=top, **more)
                    self.assertEqual(whole("openai_chat", body).usage, expected)
                    self.assertEqual(CHAT.read_answer(repr(body).replace("'", '"').encode()), expected)
                    said, end = chunk({"content": "a"}), chunk({}, "stop", top=top, **more)
                    self.assertEqual(streamed("openai_chat", said, end).usage, expected)
                    self.assertEqual(streamed("openai_chat", said, chunk({}, "stop"), end).usage, expected)
                    running = chunk({"content": "a"}, top={"usage": {"prompt_tokens": 7, "completion_tokens": 1}})
                    self.assertEqual(streamed("openai_chat", running, end).usage, expected)

    def test_passed_through(self) -> None:
        """What a stream cost is known without translation too."""
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        for top, more in (({"usage": usage}, {}), ({"x_groq": {"usage": usage}}, {}), ({}, {"usage": usage})):
            reader = CHAT.reader(strip_usage=False, choices=1, max_event=9999)
            for each in (chunk({"content": "a"}), chunk({}, "stop", top=top, **more)):
                reader.feed(b"data: %b\n\n" % json.dumps(each).encode())
            self.assertEqual(reader.usage, Usage(7, 3))

    def test_what_was_cached(self) -> None:
        """llama.cpp tells it among its times."""
        top = {"usage": {"prompt_tokens": 7, "completion_tokens": 3}, "timings": {"cache_n": 6}}
        self.assertEqual(whole("openai_chat", chat({"content": "a"}, top=top)).usage, Usage(7, 3, 6))

    def test_the_names_of_chats(self) -> None:
        """In the other dialects."""
        usage = {"prompt_tokens": 7, "completion_tokens": 3}
        self.assertEqual(whole("anthropic", {"content": [], "usage": usage}).usage, Usage(7, 3))
        self.assertEqual(whole("openai_responses", {"output": [], "usage": usage}).usage, Usage(7, 3))

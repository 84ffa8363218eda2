"""How an answer that was begun is marked for each vendor."""

from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.config.catalogue import VENDORS
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Caller, Deadline, Target
from llmedge.operations import Operation
from llmedge.providers.translation import translation_for
from llmedge.record import Record

MESSAGES = [{"role": "user", "content": "go"}, {"role": "assistant", "content": "one two"}]


class Prefill(SynchronousTestCase):
    def body(self, asker: str, vendor: str, continues: bool = True) -> dict[str, Any]:
        dialect = DIALECTS[asker]
        more = b'"max_tokens":9,' if asker == "anthropic" else b""
        raw = b'{"model":"m",%b"messages":%b}' % (more, msgspec.json.encode(MESSAGES))
        fields = dialect.parse_request(raw).fields
        record = Record("id", "POST", "/", "peer", 0.0)
        deadline = Deadline(Clock(), 30)
        call = Call(
            Operation.CHAT, asker, "m", fields, True, False, 1, Caller("c"), deadline, record, continues=continues
        )
        chat = [DIALECTS["openai_chat"]]
        translation = translation_for(dialect, chat, quirks=VENDORS[vendor].quirks, stream_usage=True, name="v")
        assert translation is not None
        found: dict[str, Any] = msgspec.json.decode(translation.body(call, Target("v", "m"), "drop"))
        return found

    def test_marks(self) -> None:
        """``prefix`` for Mistral and DeepSeek, ``partial`` for Moonshot and DashScope, two fields for vLLM; passed
        through and translated alike, and only where an answer is gone on with."""
        for asker in ("openai_chat", "anthropic"):
            for vendor, mark in (
                ("mistral", "prefix"),
                ("deepseek", "prefix"),
                ("moonshot", "partial"),
                ("dashscope", "partial"),
            ):
                body = self.body(asker, vendor)
                self.assertEqual(body["messages"][-1], MESSAGES[-1] | {mark: True}, (asker, vendor))
                self.assertEqual(body["messages"][0], MESSAGES[0])
                begun = self.body(asker, vendor, continues=False)["messages"][-1]
                # Mistral refuses an answer that is begun and not marked; chats pass as they come.
                self.assertEqual(mark in begun, (asker, vendor) == ("anthropic", "mistral"))
            body = self.body(asker, "vllm")
            self.assertEqual((body["continue_final_message"], body["add_generation_prompt"]), (True, False))
            self.assertEqual(body["messages"][-1], MESSAGES[-1])
            self.assertNotIn("continue_final_message", self.body(asker, "openai"))

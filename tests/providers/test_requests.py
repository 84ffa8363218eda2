from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Caller, Deadline, Target
from llmedge.operations import Operation
from llmedge.providers.requests import Requests
from llmedge.providers.spec import ProviderSpec
from llmedge.record import Attempt, Record


class Heads(SynchronousTestCase):
    def test_two_dialects_at_one_path(self) -> None:
        """What each needs is sent with it, and with no other."""
        spec = ProviderSpec("http://v.example", "v", {"openai_chat": "/ask", "anthropic": "/ask"})
        requests = Requests("v", spec, Clock())
        for name in ("openai_chat", "anthropic", "openai_chat"):
            record = Record("id", "POST", "/", "peer", 0.0)
            call = Call(Operation.CHAT, name, "m", {}, False, False, 1, Caller("c"), Deadline(Clock(), 30.0), record)
            made = requests.request_now(call, Attempt(Target("v", "m"), 0.0), requests.translation(call))
            assert made is not None
            for header, value in DIALECTS["anthropic"].headers.items():
                self.assertEqual(f"{header}: {value}\r\n".encode() in made, name == "anthropic", made)

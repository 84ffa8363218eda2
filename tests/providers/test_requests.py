from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import NO_MARKS, Call, Marks
from llmedge.config.secret import Secret
from llmedge.dialects.registry import DIALECTS
from llmedge.model import Caller, Deadline, Target
from llmedge.operations import Operation
from llmedge.providers.requests import Requests
from llmedge.providers.spec import ProviderSpec
from llmedge.record import Attempt, Record


class Clouds:
    """Signs nothing."""

    async def headers(self, method: str, url: str, body: bytes) -> dict[str, str]:
        return {"x-signed": url}


class Heads(SynchronousTestCase):
    def test_marks(self) -> None:
        """They are sent behind a query that is there, and to no cloud, whose paths are others; the next call that has
        none sends none."""
        marks = Marks((("anthropic-beta", "b"),), "beta=true", ("anthropic-beta", "beta"))
        for path, signer, asked in (
            ("/ask", None, "/ask?beta=true"),
            ("/ask?a=b", None, "/ask?a=b&beta=true"),
            ("/{model}/ask", None, "/m/ask?beta=true"),
            ("/ask", Clouds(), "/ask"),
        ):
            spec = ProviderSpec("http://v.example", "v", {"anthropic": path}, signer=signer)
            requests = Requests("v", spec, Clock())
            for given in (marks, NO_MARKS, marks):
                record = Record("id", "POST", "/", "peer", 0.0)
                caller, deadline = Caller("c"), Deadline(Clock(), 30.0)
                call = Call(
                    Operation.CHAT, "anthropic", "m", {}, False, False, 1, caller, deadline, record, marks=given
                )
                attempt, translation = Attempt(Target("v", "m"), 0.0), requests.translation(call)
                made = self.successResultOf(Deferred.fromCoroutine(requests.request(call, attempt, translation)))
                line = made.partition(b"\r\n")[0].decode()
                plain = asked.removesuffix("beta=true").rstrip("?&")
                self.assertEqual(line, f"POST {asked if given is marks else plain} HTTP/1.1")
                self.assertEqual(b"anthropic-beta: b\r\n" in made, given is marks)

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

    def test_what_is_not_repeated(self) -> None:
        """What of a header may be a credential, in a vendor's words; what only names an application stays."""
        headers = {
            "authorization": "Basic dTpw",
            "x-token": "Token canary-1",
            "x-key": "canarykey",
            "x-title": "Our gateway",
            "x-short": "abc",
        }
        spec = ProviderSpec(
            "http://v.example", "v", {}, headers={name: Secret(value) for name, value in headers.items()}
        )
        scrub = Requests("v", spec, Clock()).scrub
        self.assertEqual(scrub("dTpw canary-1 canarykey"), "*** *** ***")
        self.assertEqual(scrub("got Basic dTpw, Token canary-1"), "got ***, ***")
        self.assertEqual(scrub("Basic gateway of Our abc"), "Basic gateway of Our abc")
        self.assertEqual(scrub("no Our gateway"), "no ***")

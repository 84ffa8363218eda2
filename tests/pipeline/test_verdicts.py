"""Which row of the table an error belongs to."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge import errors
from llmedge.errors import InternalError, TargetError, ValidationError, VendorRefused
from llmedge.pipeline.verdicts import VERDICTS, Next, cause_of, verdict_of
from llmedge.state.concurrency import Outcome


class Causes(SynchronousTestCase):
    def test_every_error_has_a_row(self) -> None:
        """Each class's own cause is in the table; an unknown one is a failure like any other."""
        family = [TargetError]
        for cls in family:
            family += [each for each in cls.__subclasses__() if each.__module__ == errors.__name__]
            self.assertIn(cls.cause, VERDICTS, cls.__name__)
        self.assertEqual(cause_of(TargetError("x", cause="new")), "status_other")

    def test_context_length(self) -> None:
        """By code or by the vendor's own words; only of a 400, 413 or 422."""
        for message, code in (
            ("x", "context_length_exceeded"),
            ("x", "exceed_context_size_error"),
            ("This model's maximum context length is 8192 tokens.", ""),
            ("prompt is too long: 210000 tokens > 200000 maximum", "invalid_request_error"),
            ("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).", ""),
            ("Input is too long for requested model.", ""),
            ("the request exceeds the available context size", ""),
        ):
            for status in (400, 413, 422):
                self.assertEqual(cause_of(VendorRefused(message, code=code, status=status)), "context_length", message)
            self.assertEqual(cause_of(VendorRefused(message, code=code, status=404)), "client")

    def test_content_filter(self) -> None:
        for code in ("content_filter", "content_policy_violation", "ResponsibleAIPolicyViolation"):
            self.assertEqual(cause_of(VendorRefused("no", code=code)), "content_filter")

    def test_everything_else_is_the_clients(self) -> None:
        for error in (VendorRefused("bad field"), ValidationError("no"), InternalError()):
            self.assertIs(verdict_of(error).next, Next.ANSWER)

    def test_sense(self) -> None:
        """What is the client's fault never counts against a target, and silence is never asked for twice."""
        for cause, verdict in VERDICTS.items():
            if verdict.next in (Next.ANSWER, Next.LARGER):
                self.assertFalse(verdict.unhealthy, cause)
                self.assertIs(verdict.load, Outcome.IGNORED, cause)
        for cause in ("silent", "stall", "status_504"):
            self.assertIs(VERDICTS[cause].next, Next.ELSEWHERE)

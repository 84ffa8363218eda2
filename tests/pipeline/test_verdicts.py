"""Which row of the table an error belongs to."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge import errors
from llmedge.errors import (
    InternalError,
    TargetError,
    UpstreamMalformed,
    ValidationError,
    VendorFailed,
    VendorRefused,
)
from llmedge.pipeline.verdicts import VERDICTS, Next, as_refusal, cause_of, verdict_of
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
            ("max_tokens=5000 cannot be greater than max_model_len=2048. Please request fewer output tokens.", ""),
            ("The decoder prompt (length 9000) is longer than the maximum model length of 8192.", ""),
            ("`inputs` tokens + `max_new_tokens` must be <= 8193. Given: 9000 `inputs` tokens", "validation_error"),
            ("inputs tokens + max_new_tokens must be <= 4096", ""),
            ("`inputs` must have less than 4096 tokens. Given: 5000", ""),
            ("input length and `max_tokens` exceed context limit: 188240 + 21333 > 200000", "invalid_request_error"),
            ("This model's maximum prompt length is 131072 but the request contains 537812 tokens.", ""),
            ("Please reduce the length of the messages or completion.", ""),
            ("Prompt contains 40000 tokens, too large for model with 32768 maximum context length", ""),
            ("Invalid request: Your request exceeded model token limit: 8192", ""),
            ("Range of input length should be [1, 30720]", ""),
            ("Prompt exceeds max length", ""),
            ("Input length 300000 exceeds the maximum allowed input length of 262144 tokens.", ""),
            ("prompt token count of 130000 exceeds the limit of 128000", ""),
            ("Input tokens exceed the configured limit of 272000 tokens. Your messages resulted in 300000.", ""),
            ("Tokens in request more than max tokens allowed.", ""),
            ("The sum of prompt length (9000), query length (0) should not exceed max_num_tokens (8192)", ""),
            ("Requested tokens exceed max_seq_len", ""),
            ("the number of input tokens 5000 cannot exceed the total tokens limit 4096 for this model", ""),
            ("Input id 0 has 9000 tokens, exceeding max 8192 tokens.", ""),
            ("input is too large to process. increase the physical batch size", "server_error"),
            ("input (2055 tokens) is too large to process. increase the physical batch size", "server_error"),
            ("Request body too large for gpt-4o model. Max size: 8000 tokens.", "tokens_limit_reached"),
            ("Input length 9000 exceeds the maximum allowed token length of 8192", ""),
            ("The provided prompt is 8200 tokens long, but the maximum supported sequence length is just 8192!", ""),
            ("Total tokens of image and text exceed max message tokens", "InvalidParameter"),
            ("Prompt 超长", "1261"),
            ("Trying to keep the first 12345 tokens when context the overflows. The context length is 8192.", ""),
        ):
            for status in (400, 413, 422):
                self.assertEqual(cause_of(VendorRefused(message, code=code, status=status)), "context_length", message)
            self.assertEqual(cause_of(VendorRefused(message, code=code, status=404)), "client")

    def test_context_length_behind_another_status(self) -> None:
        """In a body, a stream or a 500: it is a refusal all the same, and no other failure is."""
        for cause in ("error_event", "error_body", "status_500"):
            error = VendorFailed("failed: the input is longer than the context length (8192)", cause=cause).of("p")
            self.assertEqual(cause_of(error), "context_length")
            refused = as_refusal(error)
            self.assertEqual((refused.status, refused.code), (400, "context_length_exceeded"))
            self.assertEqual(cause_of(refused), "context_length")
        other = VendorFailed("failed: boom")
        self.assertIs(as_refusal(other), other)
        self.assertEqual(cause_of(UpstreamMalformed("sent a context length")), "malformed")

    def test_other_limits(self) -> None:
        """Of tokens a minute, or of an answer's length alone: no larger window helps."""
        for message in (
            "Rate limit reached: too much",
            "max_tokens must be at least 1",
            "`stop` is too long",
            "Request too large for model `x` on tokens per minute (TPM): Limit 6000, Requested 9000",
            "Input image is too large",
        ):
            self.assertEqual(cause_of(VendorRefused(message)), "client", message)

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

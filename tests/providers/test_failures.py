from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.dialect import VendorError
from llmedge.errors import TargetError, UpstreamCut, VendorRefused
from llmedge.pipeline.verdicts import cause_of
from llmedge.providers.failures import failure_for


class Failures(SynchronousTestCase):
    def test_what_a_status_means(self) -> None:
        """A vendor's 4xx is the client's, its 401 and 403 are ours, the rest may be better elsewhere."""
        for status, expected, code in (
            (400, 400, "context_length_exceeded"),
            (404, 404, "context_length_exceeded"),
            (422, 422, "context_length_exceeded"),
            (401, 502, "UPSTREAM_ERROR"),
            (402, 502, "UPSTREAM_ERROR"),
            (403, 502, "UPSTREAM_ERROR"),
            (408, 502, "UPSTREAM_ERROR"),
            (429, 429, "RATE_LIMIT_ERROR"),
            (500, 502, "UPSTREAM_ERROR"),
            (502, 502, "UPSTREAM_ERROR"),
            (503, 503, "UNAVAILABLE"),
            (504, 502, "UPSTREAM_ERROR"),
            (529, 503, "UNAVAILABLE"),
            (498, 503, "UNAVAILABLE"),
            (301, 502, "UPSTREAM_ERROR"),
            (405, 501, "NOT_IMPLEMENTED"),
            (501, 501, "NOT_IMPLEMENTED"),
            (407, 502, "UPSTREAM_ERROR"),
        ):
            error = failure_for("p", status, VendorError("too long", "t", "context_length_exceeded", "messages"), 3.0)
            self.assertEqual((error.status, error.code), (expected, code), status)
            self.assertEqual(isinstance(error, VendorRefused), not isinstance(error, TargetError))

    def test_a_refusal_is_passed_on(self) -> None:
        error = failure_for("p", 400, VendorError("too long", "t", "", "messages"), None)
        self.assertEqual((error.message, error.code, error.type, error.param), ("too long", "t", "t", "messages"))

    def test_what_is_no_code_is_not_passed_on(self) -> None:
        """Codes and types go into logs and headers of other systems: words only."""
        error = failure_for("p", 404, VendorError("m", "a b", "x" * 100), None)
        self.assertEqual((error.code, error.type), ("NOT_FOUND", "invalid_request_error"))

    def test_credentials_are_not_explained(self) -> None:
        """The vendor's words may repeat the key."""
        error = failure_for("p", 401, VendorError("Incorrect API key: sk-123"), None)
        self.assertNotIn("sk-123", error.message)

    def test_a_prompt_that_is_flagged(self) -> None:
        """OpenRouter's 403 is about what one caller said, not about our key."""
        error = failure_for(
            "p", 403, VendorError('m requires moderation. Your input was flagged for "violence".'), None
        )
        self.assertEqual((error.status, error.code, isinstance(error, VendorRefused)), (403, "content_filter", True))
        self.assertEqual(cause_of(error), "content_filter")

    def test_google_says_400_for_a_bad_key(self) -> None:
        """It is our key, not the client's request."""
        error = failure_for("p", 400, VendorError("API key not valid.", "", "API_KEY_INVALID"), None)
        self.assertEqual((error.status, isinstance(error, TargetError)), (502, True))

    def test_a_sentence_has_one_subject(self) -> None:
        """The first provider that is named stays, whatever the predicate begins with."""
        error = UpstreamCut("The provider ended").of("a").of("b")
        self.assertEqual((error.message, error.provider), ("The provider 'a' The provider ended.", "a"))

from email.utils import formatdate

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.dialect import VendorError
from llmedge.errors import TargetError, UpstreamCut, VendorRefused
from llmedge.pipeline.verdicts import cause_of
from llmedge.providers.failures import failure_for, parse_rate, parse_retry_after, parse_should_retry


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

    def test_should_retry(self) -> None:
        """A vendor's own word, if it is one."""
        for said, told in ((b"true", True), (b" FALSE ", False), (b"no", None), (b"", None)):
            self.assertIs(parse_should_retry({b"x-should-retry": said}), told)
        self.assertIsNone(parse_should_retry({}))

    def test_retry_after(self) -> None:
        now = 1_700_000_000.0
        for fields, seconds in (
            ({}, None),
            ({b"retry-after": b"3"}, 3.0),
            ({b"retry-after": b"0.5"}, 0.5),
            ({b"retry-after": b"-4"}, 0.0),
            ({b"retry-after": b"1e99"}, 86400.0),
            ({b"retry-after": b"nan"}, None),
            ({b"retry-after": b"soon"}, None),
            ({b"retry-after": formatdate(now + 10, usegmt=True).encode()}, 10.0),
            ({b"retry-after-ms": b"1500", b"retry-after": b"2"}, 1.5),
        ):
            self.assertEqual(parse_retry_after(fields, now), seconds, fields)


class Resets(SynchronousTestCase):
    def test_limits_that_are_used_up(self) -> None:
        """Nothing else said: the time until all that is used up is there again; what is left does not count."""
        now = 1_700_000_000.0
        for fields, expected in (
            ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"1s"}, 1.0),
            ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"6m0s"}, 360.0),
            ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"120ms"}, 0.12),
            ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"1h2m3.5s"}, 3723.5),
            ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"7.66"}, 7.66),
            ({b"x-ratelimit-remaining-tokens": b"0", b"x-ratelimit-reset-tokens": b"1700000009"}, 9.0),
            (
                {
                    b"x-ratelimit-remaining-requests": b"12",
                    b"x-ratelimit-reset-requests": b"50s",
                    b"x-ratelimit-remaining-tokens": b"0",
                    b"x-ratelimit-reset-tokens": b"2s",
                },
                2.0,
            ),
            (
                {
                    b"anthropic-ratelimit-input-tokens-remaining": b"0",
                    b"anthropic-ratelimit-input-tokens-reset": b"2023-11-14T22:13:24Z",
                    b"anthropic-ratelimit-requests-remaining": b"0",
                    b"anthropic-ratelimit-requests-reset": b"2023-11-14T23:13:22.500+01:00",
                },
                4.0,
            ),
            ({b"x-ratelimit-remaining-requests": b"3", b"x-ratelimit-reset-requests": b"50s"}, None),
            ({b"x-ratelimit-reset-requests": b"50s"}, None),
            ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b"soon"}, None),
            ({b"x-ratelimit-remaining-requests": b"0", b"x-ratelimit-reset-requests": b""}, None),
            (
                {
                    b"anthropic-ratelimit-requests-remaining": b"0",
                    b"anthropic-ratelimit-requests-reset": b"2023-11-14T22:13:22",
                },
                None,
            ),
            (
                {
                    b"retry-after": b"3",
                    b"x-ratelimit-remaining-requests": b"0",
                    b"x-ratelimit-reset-requests": b"50s",
                },
                3.0,
            ),
        ):
            self.assertEqual(parse_retry_after(fields, now), expected, fields)


class Rates(SynchronousTestCase):
    def test_requests_that_come_back(self) -> None:
        """Of OpenAI's kind and of Anthropic's, where none is left; not where some are, or it makes no sense."""

        def told(limit: bytes, remaining: bytes, reset: bytes) -> dict[bytes, bytes]:
            return {
                b"x-ratelimit-limit-requests": limit,
                b"x-ratelimit-remaining-requests": remaining,
                b"x-ratelimit-reset-requests": reset,
            }

        for fields, expected in (
            (told(b"60", b"0", b"1m0s"), 1.0),
            (told(b"10", b"0", b"500ms"), 20.0),
            (told(b"60", b"1", b"59s"), None),
            (told(b"0", b"0", b"59s"), None),
            (told(b"60", b"0", b"0s"), None),
            (told(b"60", b"0", b"soon"), None),
            (told(b"many", b"0", b"1s"), None),
            (
                {
                    b"anthropic-ratelimit-requests-limit": b"50",
                    b"anthropic-ratelimit-requests-remaining": b"0",
                    b"anthropic-ratelimit-requests-reset": b"2023-11-14T22:13:25Z",
                },
                10.0,
            ),
            ({b"x-ratelimit-remaining-requests": b"0"}, None),
            ({}, None),
        ):
            self.assertEqual(parse_rate(fields, 1_700_000_000.0), expected, fields)

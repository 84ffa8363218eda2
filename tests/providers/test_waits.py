"""When a vendor may be asked again, in the words and headers of many."""

import json
from email.utils import formatdate

from twisted.trial.unittest import SynchronousTestCase

from llmedge.providers.waits import parse_rate, parse_retry_after, parse_should_retry, wait_in_body, wait_in_words


class Headers(SynchronousTestCase):
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
            ({b"retry-after": b"34s"}, 34.0),
            ({b"retry-after": b"1m30s"}, 90.0),
            ({b"retry-after": b"1700000040"}, 40.0),
            ({b"retry-after": b"1700000040000"}, 40.0),
            ({b"retry-after": b"2023-11-14T22:13:30Z"}, 10.0),
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


class OneLimit(SynchronousTestCase):
    def test_resets_of_others(self) -> None:
        """OpenRouter's second of the epoch is a thousandth of one; a draft of the IETF and Mistral have seconds."""
        now = 1_700_000_000.0
        for name in (b"x-ratelimit", b"ratelimit", b"ratelimitbysize", b"x-ratelimitbysize"):
            for reset, expected in ((b"1700000034000", 34.0), (b"1700000009", 9.0), (b"12", 12.0), (b"soon", None)):
                fields = {name + b"-remaining": b"0", name + b"-reset": reset}
                self.assertEqual(parse_retry_after(fields, now), expected, fields)
                self.assertIsNone(parse_retry_after(fields | {name + b"-remaining": b"1"}, now))
            self.assertIsNone(parse_retry_after({name + b"-reset": b"12"}, now))
            self.assertIsNone(parse_retry_after({name + b"-remaining": b"0"}, now))


INFO = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34.5s"}
LIMITED = {"code": 429, "status": "RESOURCE_EXHAUSTED", "details": [{"@type": "x"}, INFO]}
HEADERS = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1700000034500"}


class Bodies(SynchronousTestCase):
    def test_who_says_it(self) -> None:
        """Google's API and its other form, a list; OpenRouter, itself and for whom it asked."""
        for document, expected in (
            ({"error": LIMITED}, 34.5),
            ([{"error": LIMITED}], 34.5),
            ({"error": {"metadata": {"retry_after_seconds": 11, "retry_after_seconds_raw": 10.9}}}, 11.0),
            ({"error": {"metadata": {"headers": HEADERS}}}, 34.5),
            ({"error": {"metadata": {"headers": {"Retry-After": 7}}}}, 7.0),
            ({"error": {"retry_after": 0.5}}, 0.5),
            ({"error": {"retry_after": "33"}}, 33.0),
            ({"error": {"metadata": {"retry_after_seconds": "1m3s"}}}, 63.0),
            ({"error": {"type": "usage_limit_reached", "resets_in_seconds": 3600}}, 3600.0),
            ({"retry_after_seconds": 3}, 3.0),
            ({"error": {"details": [INFO | {"retryDelay": "999999999s"}]}}, 86400.0),
        ):
            self.assertEqual(wait_in_body(json.dumps(document).encode(), 1_700_000_000.0), expected, document)

    def test_who_does_not(self) -> None:
        """Nothing that is something else is taken for it."""
        for body in (
            b"",
            b"{",
            b"[]",
            b"[1]",
            b'"x"',
            b'{"error":"x"}',
            b'{"error":{"details":{"retryDelay":"3s"}}}',
            b'{"error":{"details":[null,"x",{"retryDelay":5},{"retryDelay":"soon"}]}}',
            b'{"error":{"metadata":[],"retry_after":true}}',
            b'{"error":{"metadata":{"headers":[1],"retry_after_seconds":"x"}}}',
            b'{"error":{"metadata":{"headers":{"X-RateLimit-Reset":null}}}}',
        ):
            self.assertIsNone(wait_in_body(body, 0.0), body)


class Words(SynchronousTestCase):
    def test_of_many_vendors(self) -> None:
        for message, expected in (
            ("Rate limit reached for x: Limit 6000, Used 5034. Please try again in 7.66s. Need more?", 7.66),
            ("Please try again in 9m38.016s. Need more tokens?", 578.016),
            ("Please try again in 1h2m3s.", 3723.0),
            ("Please try again in 120ms.", 0.12),
            ("Please retry in 34.074824224s.", 34.074824224),
            ("Please retry after 20 seconds.", 20.0),
            ("reached organization max RPM: 3, please try again after 1 seconds", 1.0),
            ("Try again in 2 minutes", 120.0),
            ("please wait 5 sec", 5.0),
            ("Retry after 1 hour", 3600.0),
            ("Please try again in 300 Milliseconds", 0.3),
            ("Retry in 1 minute 30 seconds", 90.0),
            ("try again in 1 hour, 2 minutes and 3 seconds", 3723.0),
            ("Try again in 2 minutes, 5 messages were left", 120.0),
        ):
            self.assertAlmostEqual(wait_in_words(message) or 0.0, expected, 6, message)

    def test_none(self) -> None:
        for message in ("", "try again later", "retry in a while", "in 5s", "try again in 3 months", "retry 3 times"):
            self.assertIsNone(wait_in_words(message), message)

"""Errors: ours as Google says them, and Google's."""

import json

from twisted.trial.unittest import SynchronousTestCase

from llmedge.dialects.gemini import Gemini
from llmedge.errors import (
    EdgeError,
    RateLimited,
    ValidationError,
)

GEMINI = Gemini()


class Errors(SynchronousTestCase):
    def test_ours_as_google_says_them(self) -> None:
        """Code, status and reason; the field in the metadata."""
        for error, code, status in (
            (ValidationError("m", param="a.b"), 400, "INVALID_ARGUMENT"),
            (RateLimited("m", scope="key", retry_after=1), 429, "RESOURCE_EXHAUSTED"),
            (EdgeError("m"), 500, "INTERNAL"),
            (EdgeError("m", status=502), 502, "UNAVAILABLE"),
            (EdgeError("m", status=504), 504, "DEADLINE_EXCEEDED"),
            (EdgeError("m", status=413), 413, "INVALID_ARGUMENT"),
            (EdgeError("m", status=599), 599, "INTERNAL"),
        ):
            said = json.loads(GEMINI.error_body(error))["error"]
            info = {
                "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                "reason": error.code,
                "domain": "llmedge",
                "metadata": {"param": "a.b"} if error.param else {},
            }
            self.assertEqual(said, {"code": code, "message": "m", "status": status, "details": [info]})
            frame = GEMINI.error_frame(error)
            self.assertTrue(frame.startswith(b'data: {"error":{"code":'))
            self.assertTrue(frame.endswith(b"\r\n\r\n"))
            self.assertEqual(GEMINI.parse_error(GEMINI.error_body(error)).param, error.param)

    def test_googles(self) -> None:
        """Message, reason and field, as far as they are there."""
        invalid = b'{"error":{"code":400,"message":"m","status":"INVALID_ARGUMENT","details":[{"@type":"t","reason":'
        violations = b'{"error":{"message":"m","status":"S","details":[{"fieldViolations":[{"field":"contents"}]}]}}'
        for raw, message, code, param in (
            (invalid + b'"API_KEY_INVALID"}]}}', "m", "API_KEY_INVALID", None),
            (b'[{"error":{"code":429,"message":"m","status":"RESOURCE_EXHAUSTED"}}]', "m", "RESOURCE_EXHAUSTED", None),
            (violations, "m", "S", "contents"),
            (b'{"error":"plain"}', "plain", "", None),
            (b'{"error":{"message":5,"details":7}}', "", "", None),
            (b"<html>", "", "", None),
            (b"[]", "", "", None),
        ):
            error = GEMINI.parse_error(raw)
            self.assertEqual((error.message, error.code, error.param), (message, code, param))

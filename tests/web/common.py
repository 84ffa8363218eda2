"""What tests of the web room share: two callers, and the one shape of an error."""

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

KEYS = '[[auth.keys]]\nname = "a"\nkey = "key-a"\n[[auth.keys]]\nname = "b"\nkey = "key-b"\nmodels = ["gpt-*"]\n'


class Answers(SynchronousTestCase):
    """Checks what an error says."""

    def check(self, response: Any, status: int, code: str, **headers: str) -> None:
        self.assertEqual((response.status, response.error["code"]), (status, code))
        self.assertEqual(set(response.error), {"code", "message", "details", "type", "param"})
        self.assertIn("x-request-id", response.headers)
        for name, value in headers.items():
            self.assertEqual(response.headers[name], value)

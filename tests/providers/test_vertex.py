"""Claude as Vertex takes it."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.operations import Operation
from llmedge.providers import vertex


class Claude(SynchronousTestCase):
    def test_claudes_body(self) -> None:
        """The version goes in, the model out; the rest is the bytes it was."""
        body = vertex.claude_body(
            Operation.CHAT, b'{"model":"m","max_tokens":1.0,"stream":true,"messages":[{"a": 1e2}]}'
        )
        self.assertEqual(
            body,
            b'{"anthropic_version":"vertex-2023-10-16","max_tokens":1.0,"stream":true,"messages":[{"a": 1e2}]}',
        )
        counted = vertex.claude_body(Operation.COUNT_TOKENS, b'{"model":"m","messages":[]}')
        self.assertEqual(counted, b'{"anthropic_version":"vertex-2023-10-16","model":"m","messages":[]}')

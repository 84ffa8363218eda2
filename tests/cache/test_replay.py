"""An answer given again has an id of its own, of the same kind, and was made now."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache.entry import Entry
from llmedge.cache.replay import renewed, signature


def entry(body: bytes, events: int = 0) -> Entry:
    return Entry(body, b"", events, "p", "m", None, 0.0, 1.0, 1.0)


class Renewed(SynchronousTestCase):
    def test_where_it_stands(self) -> None:
        for body, stream, id, created in (
            (b'{"id": "chatcmpl-abcdef12", "created": 17}', False, b"chatcmpl-abcdef12", b'"created": 17'),
            (b'{"id":"resp_1234567890","created_at":17.0}', False, b"resp_1234567890", b'"created_at":17'),
            (b'{"responseId":"abcdefgh123"}', False, b"abcdefgh123", b""),
            (b'{"id":"x"}', False, b"", b""),
            (b"no json", False, b"", b""),
            (
                b'data: {"id":"","choices":[]}\n\ndata: {"id":"chatcmpl-abc","created":5}\n\n',
                True,
                b"chatcmpl-abc",
                b'"created":5',
            ),
            (b'event: message_start\ndata: {"message":{"id":"msg_123456"}}\n\n', True, b"msg_123456", b""),
            (b'data: {"response":{"id":"resp_123456","created_at":9}}\n\n', True, b"resp_123456", b'"created_at":9'),
        ):
            self.assertEqual(signature(body, stream), (id, created), body)

    def test_each_time_another(self) -> None:
        """Everywhere in it; what else is in it stays."""
        kept = entry(b'data: {"id":"chatcmpl-abc123","created":5,"a":"5 chatcmpl"}\n\n' * 2, 2)
        first, second = renewed(kept, 99.7), renewed(kept, 99.7)
        self.assertNotEqual(first[1], second[1])
        for body, id, before in (first, second):
            self.assertEqual(before, b"chatcmpl-abc123")
            self.assertTrue(id.startswith(b"chatcmpl-"))
            self.assertEqual(body, kept.body.replace(before, id).replace(b'"created":5', b'"created":99'))

    def test_without(self) -> None:
        self.assertEqual(renewed(entry(b"{}"), 1.0), (b"{}", b"", b""))

    def test_together(self) -> None:
        """An id and a time that always stand in one place are replaced at once; entries of a kind share how."""
        bodies = [b'{"id":"chatcmpl-%06d","object":"o","created":%d,"x":"created"}' % (n, 17 + n) for n in (1, 2)]
        one, other = map(entry, bodies)
        for kept in (one, other, entry(b"data: %b\n\n" % bodies[0] * 3, 3)):
            body, id, before = renewed(kept, 99.0)
            expected = kept.body.replace(before, id)
            for old in (b'"created":18', b'"created":19'):
                expected = expected.replace(old, b'"created":99')
            self.assertEqual(body, expected)
            self.assertIs(kept.shape, one.shape)
        for apart in (
            b'{"id":"chatcmpl-abc123","created":5,"again":"chatcmpl-abc123"}',
            b'{"created":5,"id":"chatcmpl-abc123"}',
        ):
            kept = entry(apart)
            body, id, before = renewed(kept, 99.0)
            self.assertEqual(body, apart.replace(before, id).replace(b'"created":5', b'"created":99'))
            self.assertIsNone(kept.shape)

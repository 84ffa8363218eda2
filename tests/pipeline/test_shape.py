import msgspec
from twisted.trial.unittest import SynchronousTestCase

from llmedge.call import Call
from llmedge.pipeline.shape import shape_of, tokens_of
from tests.pipeline.harness import ANSWER, World


class Shapes(SynchronousTestCase):
    def test_what_takes_as_long(self) -> None:
        """Sizes within a factor of four, and whether the whole answer is waited for; its length, only then."""

        def call(size: int, stream: bool = False, **fields: object) -> Call:
            encoded = {name: msgspec.Raw(msgspec.json.encode(each)) for name, each in fields.items()}
            made = world.call(stream=stream, fields=encoded)
            made.record.bytes_in = size
            return made

        world = World((ANSWER,))
        usual = shape_of(call(600))
        self.assertEqual(shape_of(call(1900)), usual)
        for other in (
            call(9000),
            call(600, stream=True),
            call(600, max_tokens=9000),
            call(600, max_completion_tokens=9000),
        ):
            self.assertNotEqual(shape_of(other), usual)
        self.assertEqual(shape_of(call(9, True, max_tokens=9)), shape_of(call(9, True, max_tokens=9000)))
        self.assertEqual(shape_of(call(600, max_tokens="none")), usual)

    def test_tokens(self) -> None:
        """Four bytes each, and what may be written."""
        call = World((ANSWER,)).call(fields={"max_tokens": msgspec.Raw(b"70")})
        call.record.bytes_in = 400
        self.assertEqual(tokens_of(call), 170)

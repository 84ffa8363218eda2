from twisted.trial.unittest import SynchronousTestCase

from llmedge.config.locate import line_of, locate

TEXT = """# comment
[server]
timeout = 3   # seconds
listen = [
  "tcp:1",
]

[[auth.keys]]
name = "a"
[[auth.keys]]
name = "b"

[models."gpt-4"]   # quoted
targets = ["x/y"]
[providers]
local.base_url = "http://x"
"""


class Locate(SynchronousTestCase):
    def test_lines(self) -> None:
        """Tables, keys, array elements, quoted and dotted names are found where they stand."""
        lines = locate(TEXT)
        self.assertEqual(lines[("server",)], 2)
        self.assertEqual(lines[("server", "timeout")], 3)
        self.assertEqual(lines[("auth", "keys", 0, "name")], 9)
        self.assertEqual(lines[("auth", "keys", 1, "name")], 11)
        self.assertEqual(lines[("models", "gpt-4", "targets")], 14)
        self.assertEqual(lines[("providers", "local", "base_url")], 16)

    def test_the_nearest_parent_answers_for_what_is_not_found(self) -> None:
        self.assertEqual(line_of(locate(TEXT), ("server", "listen", 0)), 4)
        self.assertIsNone(line_of(locate(TEXT), ("cors",)))

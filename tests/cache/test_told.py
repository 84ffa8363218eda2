"""Lines of a head: RFC 9211's, and ours."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.cache import told


class Told(SynchronousTestCase):
    def test_a_hit(self) -> None:
        lines = told.hit("HIT", "memory", 3.9, 96.1, "0.5", False).decode().split("\r\n")
        self.assertEqual(
            lines,
            [
                "X-Llmedge-Cache: HIT",
                "Age: 3",
                "Cache-Status: llmedge; hit; ttl=96; detail=memory",
                "X-Llmedge-Cache-Saved-Usd: 0.5",
                "Cache-Control: private, no-store",
                "",
            ],
        )

    def test_of_a_stream(self) -> None:
        """Its head says Cache-Control by itself; nobody knows its price; a clock that went back is no age below 0."""
        lines = told.hit("STALE", "redis", -1.0, -5.0, "", True).decode()
        self.assertEqual(
            lines, "X-Llmedge-Cache: STALE\r\nAge: 0\r\nCache-Status: llmedge; hit; ttl=-5; detail=redis\r\n"
        )

    def test_a_miss(self) -> None:
        for lines, expected in (
            (told.MISS, "fwd=miss"),
            (told.STALE, "fwd=stale"),
            (told.PARTIAL, "fwd=partial"),
            (told.REFRESH, "fwd=request"),
            (told.BYPASS, "fwd=bypass"),
            (told.COLLAPSED, "fwd=miss; collapsed"),
        ):
            for stream in (False, True):
                self.assertIn(f"Cache-Status: llmedge; {expected}\r\n", lines[stream].decode())
                self.assertEqual(b"Cache-Control" in lines[stream], not stream)

    def test_kept(self) -> None:
        for before, expected in ((told.MISS, "miss"), (told.STALE, "stale"), (told.REFRESH, "request")):
            self.assertIn(f"Cache-Status: llmedge; fwd={expected}; stored\r\n", told.STORED[before[False]].decode())

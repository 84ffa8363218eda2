"""Whatever a server does, and whenever."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from llmedge.redis.client import AWAY, HOLD, IN_USE, LONGEST, Redis
from llmedge.redis.connection import READS
from llmedge.redis.places import PATIENCE
from tests.effort import examples
from tests.redis.scripted import NILS, OK
from tests.redis.test_client import WithNetwork

WITHIN = 0.0521
"""Seconds for which a read may wait, with the last look into the socket."""
VALUE = b"$1\r\nx\r\n"
ANSWERS = [b"", VALUE, b"$-1\r\n", b":1\r\n", b"HTTP/1.1\r\n"] + [
    b"-%b x\r\n" % code for code in (b"LOADING", b"OOM", b"READONLY", b"WRONGTYPE")
]
EVENTS = st.one_of(
    st.tuples(st.just("answer"), st.sampled_from([b"GET", b"SET", b"MGET"]), st.sampled_from(ANSWERS)),
    st.tuples(st.just("away"), st.sampled_from(["", "connection refused", None])),
    st.tuples(st.just("close")),
    st.tuples(st.just("read"), st.integers(1, 2 * READS)),
    st.tuples(st.just("write"), st.integers(1, 5)),
    st.tuples(st.just("time"), st.sampled_from([0.001, 0.03, 0.05, 0.5, 3.0, 11.0])),
)


class AnyWeather(WithNetwork):
    @settings(max_examples=examples(150))
    @given(st.lists(EVENTS, max_size=40))
    def test_nobody_waits_and_all_is_well_in_the_end(self, events: list[tuple[Any, ...]]) -> None:
        """Reads end in time, one line says each change, and a server that is well is in use within 15 s."""
        self.begin()
        client = self.client()
        began: dict[int, float] = {}
        numbers = iter(range(10**6))
        for event in events:
            match event:
                case "answer", word, answer:
                    self.server.answers[word] = answer
                    self.server.go_on()
                case "away", why:
                    self.server.away = why
                case ("close",):
                    self.server.close()
                case "read", count:
                    for _ in range(count):
                        self.ask(client, began, next(numbers))
                case "write", count:
                    for _ in range(count):
                        client.write(b"SET", b"p:a", b"1")
                case "time", seconds:
                    self.let_go_by(seconds, began)
            waiting = len(began)
            self.assertLessEqual(waiting, READS)
            self.assertEqual(self.ask(client, began, next(numbers)), client.state != AWAY and waiting < READS)
        self.server.away = ""
        self.server.answers.update({b"GET": VALUE, b"SET": OK, b"MGET": NILS})
        self.server.go_on()
        for _ in range(int(10 * (max(HOLD, PATIENCE + LONGEST) + 1.0))):
            self.let_go_by(0.1, began)
            client.write(b"SET", b"p:a", b"1")
        self.assertEqual((client.state, began), (IN_USE, {}))
        self.assertEqual(self.reads(client), [b"x"])
        self.assertEqual([one for one, two in zip(self.lines, self.lines[1:], strict=False) if one == two], [])
        client.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def ask(self, client: Redis, began: dict[int, float], number: int) -> bool:
        """Whether it is."""
        began[number] = self.clock.seconds()
        answer = client.read(b"GET", b"p:a")
        if answer is None:
            del began[number]
        else:
            answer.addCallback(lambda _: began.pop(number))
        return answer is not None

    def let_go_by(self, seconds: float, began: dict[int, float]) -> None:
        """In steps as small as the reactor's."""
        end = self.clock.seconds() + seconds
        while self.clock.seconds() < end:
            self.turn(min(0.001 if began else seconds, end - self.clock.seconds()))
            late = [number for number, since in began.items() if self.clock.seconds() - since > WITHIN]
            self.assertEqual(late, [])

"""A vendor's stream, passed on as it came."""

from twisted.trial.unittest import SynchronousTestCase

from llmedge.model import EventKind
from tests.dialects.anthropic.streams import CLAUDE, LAST, PING, START, WHOLE, begin, decode, end, joined, read


class Reading(SynchronousTestCase):
    """A vendor's stream passed on."""

    def test_frames_stay_as_they_came(self) -> None:
        """Pings and unknown events too; what comes before content is held back as lifecycle."""
        events, usage = read(WHOLE)
        self.assertEqual(joined(events), WHOLE)
        self.assertEqual(usage, LAST)
        kinds = [event.kind for event in events]
        content = kinds[3:-1]
        self.assertEqual(kinds[:3] + kinds[-1:], [EventKind.LIFECYCLE] * 3 + [EventKind.DONE])
        self.assertEqual(set(content), {EventKind.CONTENT})

    def test_split_at_every_byte(self) -> None:
        """How bytes come in is no part of what they mean."""
        whole = read(WHOLE)
        for step in range(1, 80):
            self.assertEqual(read(WHOLE, step), whole)
        for at in range(len(WHOLE)):
            reader = CLAUDE.reader(strip_usage=False, choices=1, max_event=10000)
            self.assertEqual(reader.feed(WHOLE[:at]) + reader.feed(WHOLE[at:]), whole[0])

    def test_what_counts_as_content(self) -> None:
        """What a client would see counts, an empty block does not."""
        for data, content in (
            (START, False),
            (PING, False),
            (begin(0, "text", text=""), False),
            (begin(0, "text", text="x"), True),
            (begin(0, "thinking", thinking=""), False),
            (begin(0, "redacted_thinking", data="x"), True),
            (begin(0, "tool_use", id="a", name="b", input={}), True),
            (begin(0, "server_tool_use", id="a", name="b", input={}), True),
            (end("end_turn"), True),
        ):
            event = CLAUDE.reader(strip_usage=False, choices=1, max_event=9999).feed(START + data)[-1]
            self.assertEqual(event.kind is EventKind.CONTENT, content, data)

    def test_a_name_that_is_missing(self) -> None:
        """SDKs skip events without one."""
        bare = WHOLE.replace(b"event: message_stop\n", b"").replace(b"event: content_block_delta\n", b"")
        self.assertEqual(joined(read(bare)[0]), WHOLE)

    def test_without_the_last_blank_line(self) -> None:
        """The last event counts without it."""
        for reading in (read, decode):
            self.assertEqual(reading(WHOLE[:-1]), reading(WHOLE))

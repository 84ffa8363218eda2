"""The state machine of an HTTP/2 connection (RFC 9113): h2's, and where ours differs from it."""

from __future__ import annotations

import sys
from typing import Any

import h2.config
import h2.connection
import h2.errors
import h2.events
import h2.exceptions
import h2.settings
import h2.stream
from hpack.exceptions import HPACKError
from hyperframe.exceptions import InvalidDataError
from hyperframe.frame import Frame, GoAwayFrame, HeadersFrame, RstStreamFrame, SettingsFrame

_CONTROL = (
    h2.events.PingReceived,
    h2.events.RemoteSettingsChanged,
    h2.events.PriorityUpdated,
    h2.events.WindowUpdated,
    h2.events.UnknownFrameReceived,
)
CONTROL_BURST = 2000
CONTROL_RATE = 500.0
"""Control frames a client may send at once, and a second. A window update for each data frame stays far below."""


_Received = tuple[list[Frame], list[h2.events.Event]]
_CODES = h2.errors.ErrorCodes


class Connection(h2.connection.H2Connection):
    """h2's state machine, which also counts control frames, can end a stream with a reset, and goes on after the
    client's GOAWAY.

    :ivar broken: streams whose answer broke.
    :ivar goaway: the code of the client's GOAWAY, once it came.
    """

    def __init__(self, clock: Any, max_streams: int, max_header_size: int) -> None:
        super().__init__(h2.config.H2Configuration(client_side=False, header_encoding=None))
        codes = h2.settings.SettingCodes
        self.local_settings = h2.settings.Settings(
            client=False,
            initial_values={
                codes.MAX_CONCURRENT_STREAMS: max_streams,
                codes.MAX_HEADER_LIST_SIZE: max_header_size,
                codes.ENABLE_CONNECT_PROTOCOL: 0,
            },
        )
        self.decoder.max_header_list_size = max_header_size
        self.broken: set[int] = set()
        self.goaway: int | None = None
        self._receive_frame = self._receive_preface  # type: ignore[method-assign]  # for one frame
        self._clock = clock
        self._calm = float(CONTROL_BURST)
        self._then = clock.seconds()

    def receive_data(self, data: Any) -> list[Any]:
        self._refused = 0
        events: list[Any] = super().receive_data(data)
        count = sum(isinstance(event, _CONTROL) for event in events) + self._refused
        if count:
            now = self._clock.seconds()
            self._calm = min(CONTROL_BURST, self._calm + max(0.0, now - self._then) * CONTROL_RATE) - count
            self._then = now
            if self._calm < 0:
                self.close_connection(_CODES.ENHANCE_YOUR_CALM)
                raise h2.exceptions.ProtocolError("too many control frames")
        return events

    def _receive_preface(self, frame: Frame) -> list[h2.events.Event]:
        """The first frame has to be SETTINGS (RFC 9113 section 3.4), which h2 does not ask for."""
        del self._receive_frame
        if not isinstance(frame, SettingsFrame) or "ACK" in frame.flags:
            raise h2.exceptions.ProtocolError("The first frame is not SETTINGS.")
        return self._receive_frame(frame)

    def _receive_headers_frame(self, frame: HeadersFrame) -> _Received:
        stream = frame.stream_id
        is_new = stream > self.highest_inbound_stream_id and stream % 2
        if is_new and self.open_inbound_streams >= self.local_settings.max_concurrent_streams:
            # h2 would end the connection. The client may not know yet how many there may be, so that its stream is only
            # refused (RFC 9113 section 5.1.2); the block is read all the same, for those that follow.
            h2.connection._decode_headers(self.decoder, frame.data)
            return self._refuse(stream, _CODES.REFUSED_STREAM), []
        frames, events = super()._receive_headers_frame(frame)
        if events and isinstance(events[0], h2.events.RequestReceived):
            head = dict(events[0].headers[:5])
            if b":protocol" in head or head.get(b":method") == b"CONNECT":
                # Neither is offered, and nothing that could be waited for would follow (RFC 8441 section 3).
                del self.streams[stream]
                return self._refuse(stream, _CODES.PROTOCOL_ERROR), []
        return frames, events

    def _refuse(self, stream: int, code: h2.errors.ErrorCodes) -> list[Frame]:
        self._refused += 1
        self.highest_inbound_stream_id = stream
        self._closed_streams[stream] = h2.stream.StreamClosedBy.SEND_RST_STREAM
        return [RstStreamFrame(stream, error_code=code)]

    def _receive_goaway_frame(self, frame: GoAwayFrame) -> _Received:
        """h2 would take it for the end, and send nothing more. It is for the streams that a client accepts, of which we
        open none; its own go on (RFC 9113 section 6.8)."""
        self.goaway = frame.error_code
        return [], []

    def _terminate_connection(self, error_code: h2.errors.ErrorCodes) -> None:
        super()._terminate_connection(_code_of(sys.exception(), error_code))

    def end_stream(self, stream_id: int) -> None:
        """End a stream that is over, the broken one with a reset: it must not look complete."""
        if stream_id in self.broken:
            self.reset_stream(stream_id, _CODES.INTERNAL_ERROR)
        else:
            super().end_stream(stream_id)


def _code_of(error: BaseException | None, code: h2.errors.ErrorCodes) -> h2.errors.ErrorCodes:
    """The code of a connection error that h2 says ``code`` of, which is too general for two of them."""
    cause = error and error.__cause__
    if isinstance(cause, HPACKError):
        return _CODES.COMPRESSION_ERROR  # RFC 9113 section 4.3
    if isinstance(cause, InvalidDataError) and "SETTINGS ack" in str(cause):
        return _CODES.FRAME_SIZE_ERROR  # section 6.5
    return code

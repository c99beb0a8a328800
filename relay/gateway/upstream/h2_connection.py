"""h2's connection, changed in what it takes for the loss of all streams; pure.

This overrides one private method of h2: pyproject.toml bounds h2's version, and
tests/unit/gateway/upstream/test_h2_connection.py fails when what is overridden, or the need for it,
has changed.
"""

from typing import Final

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame

from relay.gateway.upstream.hpack_encoder import Encoder

_FIRST_WINDOW: Final = 65535
"""Bytes, RFC 9113 section 6.9.2."""


class H2Connection(h2.connection.H2Connection):
    """The client's side of a connection.

    After a GOAWAY it goes on, for the streams that are not refused. A body that is not as long as
    its Content-Length is an error of its stream, RFC 9113 section 8.1.1: the stream alone is
    reset, with PROTOCOL_ERROR. Field names are not looked at: clients take odd ones.
    """

    def __init__(self) -> None:
        super().__init__(
            h2.config.H2Configuration(
                client_side=True,
                header_encoding=None,
                validate_inbound_headers=False,
                normalize_outbound_headers=False,  # h11, http.end_to_end and the engine do
            )
        )
        self.encoder = Encoder()
        self.events: list[h2.events.Event] = []
        """What has come; where receive_data() raises, what came before the error too."""

    def begin(self, stream_window: int, window: int) -> None:
        """Send our preface and settings; both windows are in bytes."""
        codes = h2.settings.SettingCodes
        self.local_settings = h2.settings.Settings(
            client=True,
            initial_values={
                codes.ENABLE_PUSH: 0,
                codes.INITIAL_WINDOW_SIZE: stream_window,
                codes.MAX_HEADER_LIST_SIZE: self.DEFAULT_MAX_HEADER_LIST_SIZE,
            },
        )
        self.initiate_connection()
        self.increment_flow_control_window(window - _FIRST_WINDOW)

    def _receive_frame(self, frame: Frame) -> list[h2.events.Event]:
        events: list[h2.events.Event]
        if isinstance(frame, GoAwayFrame):
            ended = h2.events.ConnectionTerminated()
            ended.error_code, ended.last_stream_id = frame.error_code, frame.last_stream_id
            events = [ended]
        else:
            try:
                events = super()._receive_frame(frame)
            except h2.exceptions.InvalidBodyLengthError:
                assert isinstance(frame, DataFrame), "h2 looks at the length of DATA alone"
                number, code = frame.stream_id, ErrorCodes.PROTOCOL_ERROR
                self.acknowledge_received_data(frame.flow_controlled_length, number)
                self.reset_stream(number, code)
                events = [
                    h2.events.StreamReset(stream_id=number, error_code=code, remote_reset=False)
                ]
        self.events += events
        return events

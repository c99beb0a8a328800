"""h2's connection, but one that goes on with the streams that are not lost."""

import h2.connection
import h2.events
import h2.exceptions
from h2.errors import ErrorCodes
from hyperframe.frame import DataFrame, Frame, GoAwayFrame


class ForgivingConnection(h2.connection.H2Connection):
    """Goes on where h2 itself would end all streams.

    After a GOAWAY, for those that it has not refused; and when a body is not as long as was said,
    which is an error of its stream, RFC 9113 8.1.1.
    """

    def _receive_goaway_frame(
        self, frame: GoAwayFrame
    ) -> tuple[list[Frame], list[h2.events.Event]]:
        event = h2.events.ConnectionTerminated()
        event.error_code = frame.error_code
        event.last_stream_id = frame.last_stream_id
        return [], [event]

    def _receive_data_frame(self, frame: DataFrame) -> tuple[list[Frame], list[h2.events.Event]]:
        try:
            return super()._receive_data_frame(frame)
        except h2.exceptions.InvalidBodyLengthError:
            number, code = frame.stream_id, ErrorCodes.PROTOCOL_ERROR
            self.acknowledge_received_data(frame.flow_controlled_length, number)
            self.reset_stream(number, code)
            reset = h2.events.StreamReset(stream_id=number)
            reset.error_code, reset.remote_reset = code, False
            return [], [reset]

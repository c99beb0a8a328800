"""The relay itself: its process, its files, its end."""

from typing import Final

from tests.escape import witnesses
from tests.escape.row import Row, everywhere, nowhere, until_strict
from tests.escape.stages import keepline, processes

_UNSEEN: Final = "a PID namespace of its own"
_NO_CONTROL: Final = "without keepline there is no relay"

ROWS: Final = [
    Row(
        way="the relay is killed",
        program="processes.kill",
        witness=processes.relay_ended,
        at=until_strict("processes", _UNSEEN),
        control=(),
        no_control=_NO_CONTROL,
        ends=True,
    ),
    Row(
        way="the relay is stopped",
        program="processes.stop",
        witness=processes.relay_stopped,
        at=until_strict("processes", _UNSEEN),
        control=(),
        no_control=_NO_CONTROL,
    ),
    Row(
        way="the relay is limited, prlimit(2)",
        program="processes.limit",
        witness=processes.relay_limited,
        at=until_strict("processes", _UNSEEN),
        control=(),
        no_control=_NO_CONTROL,
    ),
    Row(
        way="the relay is traced, ptrace(2)",
        program="processes.attach",
        witness=processes.traced,
        at=everywhere("only the host may look into its processes, and the relay lets nobody"),
        control=(),
        no_control=_NO_CONTROL,
    ),
    Row(
        way="descriptors and memory of the relay",
        program="processes.take_all_descriptors",
        witness=witnesses.shares_sockets,
        at=everywhere("only the host may look into its processes, and the relay lets nobody"),
        control=(),
        no_control=_NO_CONTROL,
    ),
    Row(
        way="dialling when the relay is gone",
        program="dialling.without_relay",
        outlives=True,
        witness=witnesses.on_wire,
        at=everywhere("nothing else leads out of the namespace"),
        control=(),
        no_control=_NO_CONTROL,
        ends=True,
    ),
    Row(
        way="a process that is left behind",
        program="dialling.left_behind",
        witness=witnesses.on_wire,
        at=everywhere("nothing else leads out of the namespace"),
        is_later=True,
    ),
    Row(
        way="keepline's own installation, rewritten while it runs",
        program="files.installation",
        witness=witnesses.heard,
        at=everywhere("all that runs was read before the command starts"),
        stage=keepline.installation,
        control=(),
        no_control=_NO_CONTROL,
    ),
    Row(
        way="keepline's settings, loosened while it runs",
        program="dialling.looser_settings",
        witness=witnesses.heard,
        at=everywhere("a live change only tightens"),
        stage=keepline.settings,
        options=(),
    ),
    Row(
        way="the session's own record, rewritten",
        program="files.record",
        witness=keepline.record_rewritten,
        at=nowhere("files"),
        stage=keepline.sessions,
    ),
]

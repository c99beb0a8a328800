"""Processes of the same user's on the host, and what they share."""

from typing import Final

from tests.escape import witnesses
from tests.escape.row import Closed, Open, Row, Witness, everywhere, until_strict
from tests.escape.stages import processes as stages
from tests.escape.stages.files import made, memory_key, queue
from tests.escape.stages.processes import victim

_UNSEEN: Final = "a PID namespace of its own"
_PTRACE: Final = "only the host may look into its processes, ptrace(2)"
_IPC: Final = "an IPC namespace of its own"


def _to_process(way: str, function: str, witness: Witness) -> Row:
    return Row(
        way=f"a process of the host's: {way}",
        program=f"processes.{function}",
        witness=witness,
        at=until_strict("processes", _UNSEEN),
        stage=victim,
    )


def _into_process(way: str, function: str, witness: Witness) -> Row:
    return Row(
        way=f"a process of the host's: {way}",
        program=f"processes.{function}",
        witness=witness,
        at=everywhere(_PTRACE),
        stage=victim,
    )


ROWS: Final = [
    _to_process("killed", "kill", stages.ended),
    _to_process("stopped", "stop", stages.stopped),
    _to_process("limited, prlimit(2)", "limit", stages.limited),
    Row(
        way="a process of the host's: its priority and processors",
        program="processes.schedule",
        witness=stages.scheduled,
        at={
            "default": (Open("processes"), Closed("the host's root has more capabilities")),
            "strict": Closed(_UNSEEN),
        },
        stage=victim,
    ),
    _to_process("chosen when memory is short, oom_score_adj", "expose", stages.exposed),
    _to_process("its command line", "read_command_line", witnesses.told),
    _into_process("traced, ptrace(2)", "attach", stages.traced),
    _into_process("its memory is read", "read_memory", witnesses.told),
    _into_process("its memory is written", "write_memory", stages.overwritten),
    _into_process("its environment is read", "read_environment", witnesses.told),
    _into_process("a descriptor is taken, pidfd_getfd(2)", "take_descriptor", witnesses.heard),
    Row(
        way="shared memory of System V",
        program="shared.system_v",
        witness=witnesses.in_shared_memory,
        at=until_strict("shared memory", _IPC),
        stage=memory_key,
    ),
    Row(
        way="message queues of POSIX",
        program="shared.queue",
        witness=witnesses.in_queue,
        at=until_strict("shared memory", _IPC),
        stage=queue,
    ),
    Row(
        way="shared memory of POSIX, /dev/shm",
        program="shared.memory_file",
        witness=witnesses.exists,
        at=until_strict("shared memory", "a private /dev/shm"),
        stage=made("/dev/shm/{token}"),
    ),
    Row(
        way="the keyrings of session and user",
        program="shared.keyring",
        witness=witnesses.in_keyring,
        at=until_strict("keyring", "seccomp: ENOSYS"),
    ),
]

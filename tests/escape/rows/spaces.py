"""Namespaces: those of the relay and of host processes, and masks."""

from typing import Final

from tests.escape import witnesses
from tests.escape.row import Row, everywhere
from tests.escape.stages.processes import victim

_OUTER: Final = "the host's namespaces are owned outside of the user namespace"
_LOCKED: Final = "a mount that came with the namespace is locked, mount_namespaces(7)"

ROWS: Final = [
    Row(
        way="setns(2) to a host process's network, by /proc",
        program="spaces.by_proc",
        witness=witnesses.heard,
        at=everywhere(_OUTER),
        stage=victim,
    ),
    Row(
        way="the same, by way of its user namespace",
        program="spaces.by_user_first",
        witness=witnesses.heard,
        at=everywhere(_OUTER),
        stage=victim,
    ),
    Row(
        way="the same, by a pidfd",
        program="spaces.by_pidfd",
        witness=witnesses.heard,
        at=everywhere(_OUTER),
        stage=victim,
    ),
    Row(
        way="the same, as root of nested namespaces",
        program="spaces.from_nested",
        witness=witnesses.heard,
        at=everywhere(_OUTER),
        stage=victim,
        control=(),
        no_control="a nested namespace is not let back by any host",
    ),
    Row(
        way="/proc/PID/root and cwd of host processes, past the masks",
        program="spaces.by_root_of",
        witness=witnesses.heard,
        at=everywhere("only the host may look into its processes, ptrace(2)"),
        stage=victim,
    ),
    Row(
        way="unmounting the masks",
        program="spaces.unmasked",
        witness=witnesses.heard,
        at=everywhere("no right to mount is left"),
    ),
    Row(
        way="unmounting them in a nested mount namespace, or binding what is below them",
        program="spaces.unmasked_when_nested",
        witness=witnesses.heard,
        at=everywhere(_LOCKED),
    ),
    Row(
        way="loading a kernel, a module, a BPF program; device nodes",
        program="spaces.whole_machine",
        witness=witnesses.in_hosts_namespace,
        at=everywhere("no capability counts outside of the user namespace"),
    ),
]

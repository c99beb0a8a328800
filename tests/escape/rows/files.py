"""Files: the user's, root's, the kernel's."""

from typing import Final

from tests.escape import witnesses
from tests.escape.levels import Level
from tests.escape.row import Closed, Open, Row, until_strict
from tests.escape.stages import files as stages
from tests.escape.stages.files import files, made

_ROOT: Final = "root's files"
_KERNEL: Final = "kernel settings"
_DEVICES: Final = "devices"
_OWN_DEV: Final = "a /dev of its own"
_NEEDS_ROOT: Final = "a user may not, with or without keepline"
_DAC: Final = "file permissions"
_READ_ONLY: Final = "/proc/sys and /sys are read-only"

_LEVELS: Final[tuple[Level, ...]] = ("default", "strict")
_FILES: Final = (Open("files"), Open("files"))
_ROOT_ALONE: Final = (Closed(_DAC), Open(_ROOT))
_KERNELS: Final = (Closed(_DAC), Open(_KERNEL))
_NODES: Final = (Closed(_DAC), Open(_DEVICES))

ROWS: Final = [
    Row(
        way="the user's files: what the next shell reads",
        program="files.write",
        witness=witnesses.written,
        at={"default": _FILES, "strict": _FILES},
        stage=files("bashrc"),
    ),
    Row(
        way="a pipe in the home that a process of the host reads",
        program="files.fifo",
        witness=witnesses.on_terminal,
        at={"default": _FILES, "strict": _FILES},
        stage=stages.fifo,
    ),
    Row(
        way="/tmp, where others of the host look",
        program="shared.temporary",
        witness=witnesses.exists,
        at=until_strict("files", "a private /tmp"),
        stage=made("/tmp/{token}"),
    ),
    Row(
        way="a file of the host's by its handle, open_by_handle_at(2)",
        program="files.by_handle",
        witness=witnesses.told,
        at={level: Closed("handles are for the machine's own root") for level in _LEVELS},
        stage=stages.handle,
        control=(),
        no_control="no root of a namespace may",
    ),
    Row(
        way="root's files: cron, services, programs",
        program="files.write",
        witness=witnesses.written,
        at={"default": _ROOT_ALONE, "strict": _ROOT_ALONE},
        stage=files("cron", of_root=True),
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="a setuid program of root's, left for others to start",
        program="files.setuid",
        witness=witnesses.roots_program,
        at={"default": _ROOT_ALONE, "strict": _ROOT_ALONE},
        stage=stages.setuid,
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="a setuid program of root's that the host has",
        program="files.by_setuid",
        witness=witnesses.written,
        at={
            level: (Closed("no id but the caller's own, and no_new_privs"), Open(_ROOT))
            for level in _LEVELS
        },
        stage=stages.setuid_program,
    ),
    Row(
        way="the disks, by their nodes or by new ones",
        program="files.disks",
        witness=witnesses.holds(r" disk"),
        at={"default": _NODES, "strict": Closed(_OWN_DEV)},
        control=("root",),
        no_control=_NEEDS_ROOT,
        may_lack="a disk",
    ),
    Row(
        way="the kernel's settings: core_pattern, modprobe",
        may_lack="a /proc/sys that can be written",
        program="files.hold_open",
        witness=witnesses.holds(r"^/proc/sys/kernel/\w+ for writing"),
        at={"default": _KERNELS, "strict": Closed(_READ_ONLY)},
        stage=stages.paths("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"),
        control=("root",),
        no_control=_NEEDS_ROOT,
    ),
    Row(
        way="the kernel's settings, by a /proc of a nested namespace, or one that is mounted anew",
        program="files.kernel_when_nested",
        witness=witnesses.holds(r"/sys/kernel/\w+ for writing"),
        at={"default": _KERNELS, "strict": Closed("a /proc that is masked cannot be mounted anew")},
        stage=stages.paths("/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe"),
        control=("root",),
        no_control=_NEEDS_ROOT,
        may_lack="a /proc/sys that can be written",
    ),
    Row(
        way="the kernel's log, /dev/kmsg",
        program="files.hold_open",
        witness=witnesses.holds(r"^/dev/kmsg .*for writing"),
        at={"default": _NODES, "strict": Closed(_OWN_DEV)},
        stage=stages.paths("/dev/kmsg"),
        control=("root",),
        no_control=_NEEDS_ROOT,
        may_lack="/dev/kmsg",
    ),
    Row(
        way="the kernel's triggers: sysrq, uevent_helper, /dev/mem",
        program="files.hold_open",
        witness=witnesses.holds(r"^(/proc/sysrq-trigger|/sys/\S+|/dev/mem) .*for writing"),
        at={"default": _KERNELS, "strict": Closed(_READ_ONLY)},
        stage=stages.paths(
            "/proc/sysrq-trigger", "/sys/kernel/uevent_helper", "/sys/power/state", "/dev/mem"
        ),
        control=("root",),
        no_control=_NEEDS_ROOT,
        may_lack="such a file",
    ),
    Row(
        way="control groups of the machine",
        program="files.cgroups",
        witness=witnesses.exists,
        at={"default": _KERNELS, "strict": Closed(_READ_ONLY)},
        stage=made(
            "/sys/fs/cgroup/{token}", "/sys/fs/cgroup/cpu/{token}", "/sys/fs/cgroup/unified/{token}"
        ),
        control=("root",),
        no_control=_NEEDS_ROOT,
        may_lack="control groups that can be written",
    ),
]

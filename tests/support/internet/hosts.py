"""A host is a network namespace with files of its own in /etc, kept by two descriptors.

`with host:` moves the calling thread into its network, so that sockets made inside belong to
the host for good. Never await inside: other tasks of the thread would run there too.
`host.call(function)` runs a function in a new thread inside the host, /etc included.
"""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final, Self, TypeVar

import trio
from pyroute2 import IPRoute

from netns import syscalls

Result = TypeVar("Result")
File = int | IO[Any] | None

_CLONE_FS: Final = 0x200  # clone(2): the working directory, of this thread alone

# Every new namespace gets these. The machine's own congestion control may be one that paces,
# or that only the machine itself may use; `reno` is always there and always allowed.
_SYSCTLS: Final = {
    "net.ipv4.tcp_congestion_control": "reno",
    "net.ipv6.conf.all.accept_dad": "0",
    "net.ipv6.conf.default.accept_dad": "0",
    "net.ipv6.conf.default.accept_ra": "0",
    "net.ipv6.conf.default.router_solicitations": "0",
    "net.ipv6.conf.all.keep_addr_on_down": "1",
    "net.ipv6.conf.default.keep_addr_on_down": "1",
}


def in_new_thread(function: Callable[[], Result]) -> Result:
    """Run `function` in a thread that ends with it, whatever namespaces it moved into."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(function).result()


class Host:
    """One machine of the small internet."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.directory = Path(tempfile.mkdtemp(prefix=f"{name}-"))
        self.resolv_conf = self._file("resolv.conf", "")
        self.hosts_file = self._file("hosts", f"127.0.0.1 localhost {name}\n::1 localhost\n")
        self._file("nsswitch.conf", _nsswitch())
        self._processes: list[subprocess.Popen[Any]] = []
        self._outer = threading.local()
        self._network, self._mounts = in_new_thread(self._make)

    def close(self) -> None:
        """Kill what still runs here and let go of the namespaces."""
        for process in self._processes:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()
        os.close(self._network)
        os.close(self._mounts)
        shutil.rmtree(self.directory)

    def __enter__(self) -> Self:
        """Move the calling thread into this host's network."""
        self._came_from().append(_open_namespace("net"))
        syscalls.setns(self._network, syscalls.CLONE_NEWNET)
        return self

    def __exit__(self, *_exception: object) -> None:
        """Move the calling thread back to where it came from."""
        outer = self._came_from().pop()
        syscalls.setns(outer, syscalls.CLONE_NEWNET)
        os.close(outer)

    def call(self, function: Callable[[], Result]) -> Result:
        """Run `function` in a new thread inside this host, with its network and its /etc."""
        directory = Path.cwd()

        def inside() -> Result:
            syscalls.unshare(_CLONE_FS)  # setns(2) moves only a thread with a cwd of its own
            syscalls.setns(self._network, syscalls.CLONE_NEWNET)
            syscalls.setns(self._mounts, syscalls.CLONE_NEWNS)
            os.chdir(directory)  # the move has reset it to /
            return function()

        return in_new_thread(inside)

    def netlink(self) -> IPRoute:
        """Return a netlink socket of this host; use it in a with statement, in this thread."""
        with self:
            return IPRoute()

    def set_sysctl(self, name: str, value: str) -> None:
        """Set a variable of this host's network, sysctl(8)."""
        with self:
            _write_sysctl(name, value)

    def use_resolvers(self, *addresses: str, options: str = "") -> None:
        """Rewrite this host's /etc/resolv.conf, in place."""
        lines = [f"nameserver {address}\n" for address in addresses]
        self.resolv_conf.write_text("".join(lines) + (f"options {options}\n" if options else ""))

    def popen(self, argv: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a program in this host; it is killed with the host if it still runs then."""
        process = self._start(argv, options)
        self._processes.append(process)
        return process

    def run(
        self, argv: Sequence[str], *, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[Any]:
        """Run a program in this host to its end; it blocks the thread, so not beside tasks."""
        return self.call(lambda: subprocess.run(argv, check=check, **options))

    async def run_process(
        self,
        argv: Sequence[str],
        *,
        stdin: bytes = b"",
        check: bool = True,
        env: Mapping[str, str] | None = None,
        **options: Any,
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a program in this host to its end, beside tasks; it is killed when cancelled.

        trio.run_process would start it from a thread outside.
        """
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        with self._start(argv, pipes | {"env": env} | options) as process:
            try:
                stdout, stderr = await _communicate(process, stdin)
            finally:
                process.kill()  # nothing, if it has ended
        done = subprocess.CompletedProcess(argv, process.returncode, stdout, stderr)
        if check:
            done.check_returncode()
        return done

    def _start(self, argv: Sequence[str], options: Mapping[str, Any]) -> subprocess.Popen[Any]:
        return self.call(lambda: subprocess.Popen(argv, **options))

    def _came_from(self) -> list[int]:
        """Return the calling thread's own stack of namespaces to go back to."""
        if not hasattr(self._outer, "stack"):
            self._outer.stack = []
        stack: list[int] = self._outer.stack
        return stack

    def _file(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        return path

    def _make(self) -> tuple[int, int]:
        """Make the namespaces around the calling thread; return their descriptors."""
        syscalls.unshare(syscalls.CLONE_NEWNET | syscalls.CLONE_NEWNS)
        for path in self.directory.iterdir():
            if Path("/etc", path.name).exists():
                syscalls.mount(str(path), f"/etc/{path.name}", flags=syscalls.MS_BIND)
        for name, value in _SYSCTLS.items():
            _write_sysctl(name, value)
        with IPRoute() as netlink:
            netlink.link("set", index=1, state="up")
        return _open_namespace("net"), _open_namespace("mnt")


async def _communicate(process: subprocess.Popen[Any], stdin: bytes) -> tuple[bytes, bytes]:
    """Do what Popen.communicate does, beside tasks, and without a thread to leave behind."""
    outputs: dict[IO[bytes] | None, bytes] = {}

    async def read(pipe: IO[bytes] | None) -> None:
        outputs[pipe] = b""
        if pipe is not None:
            async with trio.lowlevel.FdStream(os.dup(pipe.fileno())) as stream:
                outputs[pipe] = b"".join([data async for data in stream])

    async with trio.open_nursery() as nursery:
        nursery.start_soon(read, process.stdout)
        nursery.start_soon(read, process.stderr)
        if process.stdin is not None:
            async with trio.lowlevel.FdStream(os.dup(process.stdin.fileno())) as stream:
                process.stdin.close()
                with suppress(trio.BrokenResourceError):  # it need not read to the end
                    await stream.send_all(stdin)
    ended = os.pidfd_open(process.pid)
    try:
        await trio.lowlevel.wait_readable(ended)
    finally:
        os.close(ended)
    return outputs[process.stdout], outputs[process.stderr]


def _open_namespace(kind: str) -> int:
    """Open the calling thread's own namespace; /proc/self would be the main thread's."""
    return os.open(f"/proc/thread-self/ns/{kind}", os.O_RDONLY | os.O_CLOEXEC)


def _write_sysctl(name: str, value: str) -> None:
    Path("/proc/sys", *name.split(".")).write_text(value)


def _nsswitch() -> str:
    """Have names looked up in files and by DNS only: other services would ask outside."""
    try:
        lines = Path("/etc/nsswitch.conf").read_text().splitlines()
    except FileNotFoundError:
        lines = []
    kept = [line for line in lines if not line.startswith("hosts:")]
    return "\n".join([*kept, "hosts: files dns", ""])

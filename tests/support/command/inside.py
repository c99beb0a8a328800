"""Small programs that tests run as the command: each tells on stdout what it meets inside.

`inside("name", "argument")` gives the command line that runs the function of that name here.
"""

import errno
import fcntl
import json
import os
import resource
import select
import signal
import socket
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from netns import syscalls

HEARS: Final = (signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)

_MODULE: Final = "tests.support.command.inside"  # also where this is the main program
_PR_GET_DUMPABLE: Final = 3
_PATIENCE: Final = 30


def inside(name: str, *arguments: str) -> list[str]:
    """Return the command line of a program of this module."""
    return [sys.executable, "-I", "-m", _MODULE, name, *arguments]


def tell(*words: object) -> None:
    """Write a line at once."""
    os.write(1, (" ".join(map(str, words)) + "\n").encode())


def types(text: str) -> None:
    """Put a line into the input of the terminal, as if somebody typed it, ioctl_tty(2)."""
    try:
        for character in f"{text}\n":
            fcntl.ioctl(0, termios.TIOCSTI, character.encode())
    except OSError as error:
        tell("not typed:", errno.errorcode[error.errno or 0])


def facts() -> None:
    """Tell what a process can know of itself, as JSON."""
    listed = [int(path.name) for path in Path("/proc/self/fd").iterdir()]
    descriptors = sorted(listed)[:-1]  # but the listing's own
    told: dict[str, Any] = {
        "ids": [os.getresuid(), os.getresgid(), os.getgroups()],
        "folder": str(Path.cwd()),
        "umask": os.umask(0o77),
        "environment": dict(os.environ),
        "process group": os.getpgid(0),
        "session": os.getsid(0),
        "priority": os.getpriority(os.PRIO_PROCESS, 0),
        "limits": [resource.getrlimit(n) for n in range(resource.RLIMIT_NICE)],
        "arguments": Path("/proc/self/cmdline").read_text(),
        "name": Path("/proc/self/comm").read_text(),
        "score": Path("/proc/self/oom_score_adj").read_text(),
        "timers": [signal.getitimer(kind) for kind in (0, 1, 2)],
        "scheduling": [os.sched_getscheduler(0), sorted(os.sched_getaffinity(0))],
        "personality": Path("/proc/self/personality").read_text(),
        "terminal": Path("/proc/self/stat").read_text().rpartition(") ")[2].split()[4],
        "new privileges": Path("/proc/self/status").read_text().partition("NoNewPrivs:")[2][:3],
        "dumpable": syscalls.prctl(_PR_GET_DUMPABLE),
        "descriptors": descriptors,
        "files": [[os.fstat(fd).st_dev, os.fstat(fd).st_ino] for fd in descriptors],
        "temporary": [Path("/tmp").stat().st_dev, Path("/tmp").stat().st_ino],
    }
    tell(json.dumps(told))


def open_a_port(pid: str, port: str, home: str) -> None:
    """Try to have a port of the host opened, and to reach it; then what each line names."""
    lock, content = Path(home, ".claude/ide", f"{port}.lock"), json.dumps({"pid": int(pid)})
    told = {"a lock file": written(lock, content)}
    script = 'mount -o remount,bind,rw "$1"; umount -l "$1"; echo "$2" >"$1/$3"'
    words = [str(lock.parent), content, lock.name]
    as_root = ["unshare", "-Urm", "sh", "-c", script, "sh", *words]
    done = subprocess.run(as_root, stderr=subprocess.PIPE, check=False)
    is_refused = b"Read-only file system" in done.stderr
    told["a lock file, as root of a namespace"] = "EROFS" if is_refused else "written"
    lock.parents[1].rename(Path(home, "moved"))
    lock.parent.mkdir(parents=True)
    told["a lock file in a new folder"] = written(lock, content)
    server = {"url": f"http://localhost:{port}"}
    settings = json.dumps({"mcpServers": {"mine": server}})
    told["a setting"] = written(Path(home, ".claude.json"), settings)
    os.environ["OPENAI_BASE_URL"] = server["url"]
    tell(json.dumps(told | {"the port": reached(port)}))
    for line in sys.stdin:
        tell(reached(*line.split()))


def written(path: Path, content: str) -> str:
    """Write a file; return the errno's name if that fails."""
    try:
        path.write_text(content)
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "written"


def reached(port: str, host: str = "127.0.0.1") -> str:
    """Connect to a port of loopback; return the errno's name if that fails."""
    try:
        socket.create_connection((host, int(port)), _PATIENCE).close()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    return "reached"


def hear() -> None:
    """Wait for one signal, tell it, and end with status 7."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARS)
    tell("ready")
    tell(signal.Signals(signal.sigwait(HEARS)).name)
    sys.exit(7)


def count_signals(last: str) -> None:
    """Tell of each signal that comes, as often as it comes, until the one of this name."""
    wanted = {int(number) for number in signal.valid_signals()} - {signal.SIGKILL, signal.SIGSTOP}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    tell("ready")
    name = ""
    while name != last:
        name = name_of_signal(signal.sigwait(wanted))
        tell(name)


def hold_on() -> None:
    """Do nothing, and take signals as they are by default."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    tell("ready")
    signal.pause()


def name_of_signal(number: int) -> str:
    """Return its name; real-time signals have numbers alone."""
    return signal.Signals(number).name if number <= signal.SIGSYS else str(int(number))


def outlive_interrupts() -> None:
    """Tell of SIGINT and SIGQUIT, and end with status 5 after both."""
    wanted: set[int] = {signal.SIGINT, signal.SIGQUIT}
    signal.pthread_sigmask(signal.SIG_BLOCK, wanted)
    tell("ready")
    while wanted:
        heard = signal.sigwait(wanted)
        wanted.remove(heard)
        tell(signal.Signals(heard).name)
    sys.exit(5)


def privileges(address: str) -> None:
    """Tell what the network allows: each line is a thing tried and its errno's name or `done`."""
    for name, attempt in {
        "add an address": _add_address,
        "change a route": _remove_routes,
        "raw socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP),
        "packet socket": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0),
        "bind port 80": lambda: socket.create_server(("127.0.0.1", 80)),
        "mark packets": lambda: socket.socket().setsockopt(socket.SOL_SOCKET, socket.SO_MARK, 1),
        "host's network": lambda: _enter(f"/proc/{os.getppid()}/ns/net"),
        "mount": lambda: syscalls.mount("tmpfs", "/tmp", "tmpfs"),
        "unmount resolv.conf": lambda: syscalls.umount("/etc/resolv.conf", syscalls.MNT_DETACH),
        "give a file away": lambda: os.chown(address, 12345, 12345),
        "become another": lambda: os.setresuid(12345, 12345, 12345),
    }.items():
        tell(f"{name}: {_met(attempt)}")


def _add_address() -> None:
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.addr("add", index=1, address="192.0.2.1", prefixlen=32)


def _remove_routes() -> None:
    from pyroute2 import IPRoute

    with IPRoute() as ip:
        ip.route("add", dst="192.0.2.0/24", oif=1)


def _enter(path: str) -> None:
    syscalls.setns(os.open(path, os.O_RDONLY))


def _met(attempt: Callable[[], object]) -> str:
    from pyroute2 import NetlinkError

    try:
        attempt()
    except OSError as error:
        return errno.errorcode[error.errno or 0]
    except NetlinkError as error:
        return errno.errorcode[error.code]
    return "done"


def send(address: str, port: str, size: str, connected: str) -> None:
    """Send so many bytes after a line on stdin and be gone, without a word of farewell.

    The connection is made before that line if it is to be `connected`.
    """
    if connected:
        connection = socket.create_connection((address, int(port)))
    tell("ready")
    sys.stdin.readline()
    if not connected:
        connection = socket.create_connection((address, int(port)))
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * int(size))
    connection.sendall(bytes(int(size)))
    os._exit(0)


def hold(address: str, port: str) -> None:
    """Be answered once by an echo, tell it, and close when stdin ends."""
    connection = socket.create_connection((address, int(port)), timeout=_PATIENCE)
    connection.sendall(b"?")
    tell(connection.recv(1).decode())
    sys.stdin.read()
    connection.close()


def fill(name_server: str, count: str) -> None:
    """Ask for so many different long names over UDP, each after the answer to the last."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.connect((name_server, 53))
        sock.settimeout(_PATIENCE)
        label = b"\x3f" + b"x" * 63
        for number in range(int(count)):
            name = b"\x06%06d" % number + label * 3 + b"\0"
            sock.send(b"\0\1\1\0\0\1\0\0\0\0\0\0" + name + b"\0\1\0\1")
            sock.recv(512)


def survive(address: str, port: str) -> None:
    """Be left without a relay, by SIGHUP; then tell what a connect meets, here and in a child."""
    signal.pthread_sigmask(signal.SIG_BLOCK, HEARS)
    child = subprocess.Popen(inside("try_after", address, port), stdin=subprocess.PIPE)
    tell("ready")
    tell(signal.Signals(signal.sigwait(HEARS)).name)
    tell(try_connect(address, port))
    child.communicate(b"")


def try_after(address: str, port: str) -> None:
    """Tell what a connect meets after stdin has ended."""
    sys.stdin.read()
    tell(try_connect(address, port))


def try_connect(address: str, port: str) -> str:
    """Connect; give the error's name or `connected`."""
    try:
        with socket.create_connection((address, int(port)), timeout=_PATIENCE):
            return "connected"
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, str(error))


def connects(address: str, *ports: str) -> None:
    """Tell what a connect to each port meets."""
    for port in ports:
        tell(try_connect(address, port))


def leave_behind(address: str, port: str) -> None:
    """Leave a process behind in a session of its own, once it is connected; end with status 4."""
    read, write = os.pipe()
    os.set_inheritable(write, True)
    subprocess.Popen(
        inside("stay_behind", address, port, str(write), str(os.getpid())),
        pass_fds=[write],
        start_new_session=True,
    )
    os.close(write)
    os.read(read, 1)
    os._exit(4)  # without waiting for it, as Popen's end would warn of


def stay_behind(address: str, port: str, ready: str, parent: str) -> None:
    """Connect to an echo; when the command is gone, tell what becomes of it and of a new connect.

    Between the two, a line on stdin is waited for.
    """
    connection = socket.create_connection((address, int(port)), timeout=_PATIENCE)
    connection.sendall(b"1")
    connection.recv(1)
    pidfd = os.pidfd_open(int(parent))
    os.close(int(ready))
    select.select([pidfd], [], [], _PATIENCE)
    tell("left behind")
    sys.stdin.readline()
    try:
        connection.sendall(b"2")
        tell(connection.recv(1).decode() or "end")
    except OSError as error:
        tell(errno.errorcode[error.errno or 0])
    tell(try_connect(address, port))


def serves_at(address: str) -> None:
    """Listen at all addresses, tell when the server is found at this one, and when no longer."""
    with socket.create_server(("0.0.0.0", 8080)) as server:
        server.settimeout(0.2)
        tell("ready")
        for wanted, words in ((True, "found"), (False, "lost")):
            while _finds(server, address) != wanted:
                time.sleep(0.1)
            tell(words)


def _finds(server: socket.socket, address: str) -> bool:
    """Return whether a connection to the server's port of this address comes to the server."""
    try:
        with socket.create_connection((address, 8080), 0.2):
            server.accept()[0].close()
    except OSError:
        return False
    return True


def resolve(name: str) -> None:
    """Tell a name's addresses as libc gives them."""
    tell(*sorted({found[4][0] for found in socket.getaddrinfo(name, 80)}))


def knock(*paths: str) -> None:
    """Tell what a connect to each of these sockets of the file system meets."""
    for path in paths:
        with socket.socket(socket.AF_UNIX) as sock:
            tell(errno.errorcode.get(sock.connect_ex(path), "connected"))


def edit() -> None:
    """Do as an editor does at a terminal: when stopped, tidy up, stop, and come back."""

    def stop(_number: int, _frame: object) -> None:
        tell("tidied")
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)
        signal.signal(signal.SIGTSTP, stop)
        tell("editing 2")

    signal.signal(signal.SIGTSTP, stop)
    tell("editing 1")
    while sys.stdin.readline() not in {"quit\n", ""}:
        pass
    sys.exit(6)


def watch_window() -> None:
    """Tell the terminal's size, and once more when it has changed."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGWINCH})
    tell("size", *os.get_terminal_size(0))
    signal.sigwait({signal.SIGWINCH})
    tell("changed", *os.get_terminal_size(0))


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])

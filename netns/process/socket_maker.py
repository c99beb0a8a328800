"""A small process in the namespace, which makes sockets there and hands them over, SCM_RIGHTS.

A socket is of the network namespace in which it is made. To make one, setns(2) has to enter the
user namespace first, out of which no way leads back, and to fork for each takes 5 ms. So one
process stays inside, forked while this one is small: it has no capability, no file of the caller's,
the command's filter of system calls, and is not dumpable. It knows what it is asked: two families,
TCP alone, and sock_diag(7). Whoever gets a socket connects it.

It ends with the relay, by the parent-death signal and at the end of its channel. It stands in a
session of its own, so that no Ctrl-Z and no signal to the group stops it. The command may be able
to end it, as any process of its user, and the relay with it.
"""

import contextlib
import errno
import fcntl
import os
import signal
import socket
import struct
from typing import Final, NoReturn

from netns import syscalls
from netns.network import netlink
from netns.network.holding import PUBLISHED_MARK, SO_MARK
from netns.process import beside
from netns.process.filter import seccomp

NAME: Final = b"socket-maker"

INET: Final = b"4"
INET6: Final = b"6"
DIAG: Final = b"d"
"""What can be asked for."""

ENTER: Final = b"e"
"""Asked first, with a socket of the namespace to enter; once that is done, it is a question whether
it is done."""

ANSWER: Final = struct.Struct("=i")
"""0 with a socket, or the errno for which there is none."""

_AF_NETLINK: Final = 16  # linux/socket.h; where keepline is a proxy alone, Python may not know it

MADE: Final = {
    INET: (socket.AF_INET, socket.SOCK_STREAM, 0),
    INET6: (socket.AF_INET6, socket.SOCK_STREAM, 0),
    DIAG: (_AF_NETLINK, socket.SOCK_RAW, netlink.SOCK_DIAG),
}
"""Family, type and protocol of each."""
_OWN_NETWORK: Final = "/proc/thread-self/ns/net"
_SIOCGSKNS: Final = 0x894C  # linux/sockios.h
_NS_GET_USERNS: Final = 0xB701  # ioctl_nsfs(2)


class SocketMaker:
    """The process, as the relay has it; without one there are no sockets."""

    def __init__(self, pid: int = 0, end: socket.socket | None = None) -> None:
        """Take a process and our end of the channel to it; 0 and None are no process."""
        self.pid = pid
        self.end = end

    @classmethod
    def fork(cls) -> "SocketMaker":
        """Fork it, or go without one. The caller has one thread."""
        with contextlib.suppress(OSError):
            end, its_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            parent = os.getpid()
            pid = os.fork()
            if pid == 0:
                end.close()
                _stand(its_end, parent)
            its_end.close()
            end.setblocking(False)  # noqa: FBT003 - positional only
            return cls(pid, end)
        return cls()

    @property
    def is_there(self) -> bool:
        """Whether sockets can be asked for."""
        return self.end is not None

    def check(self, kind: bytes, sock: socket.socket) -> None:
        """Accept what was handed over: the process is keepline's own. Else it raises OSError."""

    def mark(self, sock: socket.socket) -> None:
        """Have the rules of interception leave a socket alone; raises OSError.

        The relay may: it owns the namespace.
        """
        sock.setsockopt(socket.SOL_SOCKET, SO_MARK, PUBLISHED_MARK)

    def enter(self, inside: socket.socket) -> None:
        """Have it enter the namespace of a socket, and answer once it is there; raises OSError.

        It has not been stopped before.
        """
        assert self.end is not None
        socket.send_fds(self.end, [ENTER], [inside.fileno()])

    def stop(self) -> None:
        """Let it end; what waits for our children finds it no more."""
        if self.end is not None:
            self.end.close()
            self.end = None
        if self.pid:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):  # whoever waits for orphans has waited for it too
                os.waitpid(self.pid, 0)
            self.pid = 0


def _stand(end: socket.socket, parent: int) -> NoReturn:
    """Be the process, until the relay ends or needs no sockets any more."""
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
        beside.keep_only(end.fileno())
        with contextlib.suppress(OSError, ValueError, IndexError):
            beside.rename(NAME)
        _bind_to(parent)
        os.setsid()
        os.chdir("/")
        if inside := socket.recv_fds(end, 1, 1)[1]:
            number = _failure_of_entering(inside[0], parent)
            end.send(ANSWER.pack(number))
            while not number and (asked := end.recv(1)):
                _answer(end, asked)
    finally:
        os._exit(0)


def _bind_to(parent: int) -> None:
    """End with the relay; show nothing of its memory, which is this one's too, prctl(2)."""
    syscalls.prctl(syscalls.PR_SET_DUMPABLE, 0)
    syscalls.prctl(syscalls.PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(0)


def _failure_of_entering(inside: int, parent: int) -> int:
    """Enter the namespaces of a socket, and keep no right over them; return 0 or the errno."""
    try:
        network = fcntl.ioctl(inside, _SIOCGSKNS)
        if not os.path.samestat(os.fstat(network), os.stat(_OWN_NETWORK)):  # noqa: PTH116
            user = fcntl.ioctl(network, _NS_GET_USERNS)
            syscalls.setns(user, syscalls.CLONE_NEWUSER)
            syscalls.setns(network, syscalls.CLONE_NEWNET)
            os.close(user)
        syscalls.drop_own_capabilities()
        for each in (inside, network):
            os.close(each)
        _bind_to(parent)  # again: a change of credentials takes both away
        seccomp.install(is_root=False, strict=True)
    except OSError as error:
        return error.errno or errno.EPERM
    except Exception:  # noqa: BLE001 - the filter was taken and does nothing, or is not known
        return errno.EPERM
    return 0


def _answer(end: socket.socket, asked: bytes) -> None:
    """Make what is asked for, and hand it over; raises OSError if the relay is gone."""
    if asked == ENTER:
        end.send(ANSWER.pack(0))
        return
    try:
        sock = socket.socket(*MADE[asked])
    except OSError as error:
        end.send(ANSWER.pack(error.errno or errno.EPERM))
        return
    with sock:
        sock.setblocking(False)  # noqa: FBT003 - positional only
        socket.send_fds(end, [ANSWER.pack(0)], [sock.fileno()])

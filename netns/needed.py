"""Calls to the kernel that a session needs late, asked for before anything is started.

A seccomp filter may forbid any of them. While the command runs nothing could be done about it: its
end would not be learned, its connections would be lost.
"""

import errno
import os
import socket


def require(connected: socket.socket) -> None:
    """Make each of them where it changes nothing; raises OSError with the call's name.

    `connected` is a socket of a pair, on which accept(2) can only say EINVAL, and nothing is to be
    read yet.
    """
    own = os.getpid()
    for name, number in (("getpid", own), ("getppid", os.getppid())):
        if number < 0:  # it always succeeds, so os does not look at errno
            raise OSError(errno.EPERM, os.strerror(errno.EPERM), name)
    try:
        os.waitpid(own, os.WNOHANG)
    except ChildProcessError:  # nobody is a child of its own
        pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, "wait4") from error
    try:
        connected.accept()
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise OSError(error.errno, error.strerror, "accept4") from error
    try:
        connected.recv(1, socket.MSG_DONTWAIT)
    except BlockingIOError:
        pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, "recvfrom") from error

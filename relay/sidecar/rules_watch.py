"""Whether the rules of the pod stand, as far as a process without a capability can see.

The rules of nf_tables cannot be read without CAP_NET_ADMIN, but they can be tried: what connects to
the relay's own address comes to the relay's listener if they redirect it, and is refused by the
kernel if they do not, as nobody listens there. The rules of routing are asked for.

A look is three questions to the kernel and one connection on loopback, less than a millisecond of
all together. It cannot tell whether the rules refuse IPv6 and other UDP: these stand in the same
table, which is made as a whole.
"""

import errno
import os
import socket
from typing import Final

import trio

from netns.network.pod import TCP_PORT
from relay import sockets
from relay.addresses import Endpoint
from relay.barrier import Record, contained
from relay.host import network
from relay.record.events import RulesLacking, RulesStand
from relay.record.kinds import Kind
from relay.sidecar import routes

AGAIN: Final = 5.0
"""Seconds between looks while the kernel tells of no change; of nf_tables it tells root alone."""

PATIENCE: Final = 1.0
"""Seconds for a connection on loopback."""

_SOMEWHERE: Final = "192.0.2.1"
"""Of RFC 5737's addresses for documentation; nothing is sent there."""
_RTMGRP_IPV4_IFADDR: Final = 0x10
_RTMGRP_IPV4_RULE: Final = 0x80
_ANSWER: Final = 4096


class RulesWatch:
    """Looks whether connections of the pod's programs come to the relay."""

    def __init__(self, own_address: str, record: Record) -> None:
        """Take the relay's own address, to which the rules lead."""
        self._end = own_address, TCP_PORT
        self._record = record
        self._tried: dict[Endpoint, trio.Event] = {}
        """By their own ends, the connections that are under way to see whether they come."""
        self.lacking = "the rules have not been looked at yet"
        """As look() has returned it last."""
        self.others_uid = 0 if os.getuid() else 1
        """A user whose connections the rules do not leave alone."""

    def takes(self, source: Endpoint, destination: Endpoint) -> bool:
        """Take note of a connection to the relay's own address; return whether it is one."""
        if destination != self._end:
            return False
        came = self._tried.get(source)
        if came is not None:
            came.set()
        return True

    async def look(self) -> str:
        """Return why programs are not relayed, for people; empty if they are. It raises nothing."""
        try:
            lacking = self._routed() or await self._redirected()
        except OSError as error:
            lacking = f"the rules cannot be looked at: {error.strerror}"
        self._note(lacking)
        return lacking

    def _note(self, lacking: str) -> None:
        """Record what has changed."""
        before, self.lacking = self.lacking, lacking
        if lacking == before:
            return
        if lacking:
            self._record(RulesLacking(cause=lacking, kind=Kind.RULES))
        else:
            self._record(RulesStand())

    def _routed(self) -> str:
        """Return what is wrong with the rules of routing; raises OSError."""
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as asked:

            def is_local(address: str, uid: int) -> bool:
                asked.send(routes.request(address, uid))
                return routes.is_local(asked.recv(_ANSWER))

            uid = os.getuid()
            if not is_local(_SOMEWHERE, self.others_uid):
                return "the rules of routing are not there: keepline sidecar rules makes them"
            if is_local(_SOMEWHERE, uid):
                return f"the rules of routing hold for user {uid} too, who is the relay"
            if not is_local(self._end[0], uid):
                return f"{self._end[0]} is not on lo: keepline sidecar rules puts it there"
        return ""

    async def _redirected(self) -> str:
        """Return what is wrong with the rules of nf_tables; raises OSError.

        The connection is complete for this side before the relay's listener has taken it, so it is
        waited for. Its own end is known, and noted, before it is made: a listener that takes it at
        once finds it. What another process connects there has another end, and counts for nothing.
        """
        came = trio.Event()
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK) as sock:
            sock.bind((self._end[0], 0))
            own: Endpoint = sock.getsockname()
            self._tried[own] = came
            try:
                with trio.move_on_after(PATIENCE):
                    number = await sockets.connect(sock, self._end)
                    if number == errno.ECONNREFUSED:
                        return "connections are not redirected: keepline sidecar rules does that"
                    if number:
                        raise OSError(number, os.strerror(number))
                    await came.wait()
                    return ""
            finally:
                del self._tried[own]
        return "a connection to the relay's own address has not come to it"

    async def watch(self) -> None:
        """Look at each change of rules and addresses, and every AGAIN seconds, until cancelled.

        The socket is emptied before a look, so that a change meanwhile is one more look. Raises
        OSError if the kernel refuses the socket.
        """
        with network.opened(_RTMGRP_IPV4_RULE | _RTMGRP_IPV4_IFADDR) as told:
            while True:
                with contained(self._record, "look at the pod's rules"):
                    await self.look()
                with trio.move_on_after(AGAIN):
                    await trio.lowlevel.wait_readable(told)
                network.discard(told)

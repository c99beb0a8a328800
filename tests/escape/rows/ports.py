"""Ports of the host's that are opened, servers inside that are published, and proxies."""

from typing import Final

from tests.escape import witnesses
from tests.escape.arena import DENIED, LOOPBACK_PORT, PORT, options_that_deny
from tests.escape.row import Closed, Row, everywhere, nowhere, until_strict
from tests.escape.stages import ports
from tests.support.internet.world import CLIENT

_OTHER_PORT: Final = 7100
_BEFORE: Final = "what opens ports is read before the command starts"
_TIGHTENS: Final = "the file of a project only tightens: nothing starts"
_LATER: Final = "a live change only tightens"
_AT_LOOPBACK: Final = "it is listened at loopback alone, unless another address is asked for"
_UNSEEN: Final = "a PID namespace of its own"
_NO_CONTROL: Final = "without keepline nothing stands between"
_WHOSE: Final = "only the host may look into its processes, and these let nobody"
_ANYWHERE: Final = "0.0.0.0"
"""Of the host: each of its addresses."""


_LOOPBACK: Final = ("127.0.0.1", "127.1.2.3", "::1", "localhost", "a.localhost", "host.internal")


def _publish(port: int) -> str:
    return f'publish = ["{_ANYWHERE}:{port}:{port}"]\n'


ROWS: Final = [
    Row(
        way="a port of the host's loopback, in all its forms, where another is open",
        program="dialling.unspecified",
        witness=witnesses.heard,
        at=everywhere("the port is judged, whatever the address"),
        options=("--host-port", str(_OTHER_PORT)),
    ),
    Row(
        way="a port of the host's, which the project's file names",
        program="dialling.unspecified",
        witness=witnesses.heard,
        at=everywhere(_TIGHTENS),
        stage=ports.project(f"host_ports = [{LOOPBACK_PORT}]\n"),
        ends=True,
    ),
    Row(
        way="an editor's lock file, written, linked or moved into its folder while it runs",
        program="ports.lock_file",
        witness=ports.listener_heard,
        at={
            "default": Closed("the folder is read-only, and another in its place is not read"),
            "strict": Closed("no port is open by itself"),
        },
        stage=ports.listener,
        options=(),
    ),
    Row(
        way="another server of the host's, at an editor's port and another address of the loopback",
        program="ports.editors_port",
        witness=ports.listener_heard,
        at={
            "default": Closed("who listens at the very address is asked before each connection"),
            "strict": Closed("no port is open by itself"),
        },
        stage=ports.beside_an_editor,
        options=(),
    ),
    Row(
        way="a port of the host's, which settings and an MCP server name while it runs",
        program="ports.settings",
        witness=ports.listener_heard,
        at=everywhere(_BEFORE),
        stage=ports.listener,
        options=(),
    ),
    Row(
        way="the same settings, for sessions after it",
        program="ports.settings",
        witness=ports.written_for_later,
        at=nowhere("files"),
        stage=ports.listener,
        options=(),
    ),
    Row(
        way="a server inside, from the host's loopback",
        program="ports.serve",
        witness=ports.served_at("127.0.0.1", 7101),
        at=until_strict("servers inside", "nothing is offered but what --publish names"),
        facts={"served": 7101},
    ),
    Row(
        way="a server inside, from another host of the local network",
        program="ports.serve",
        witness=ports.served_at(CLIENT, 7102),
        at=everywhere(_AT_LOOPBACK),
        facts={"served": 7102},
        settle=0.6,
    ),
    Row(
        way="a published server, from another host of the local network",
        program="ports.serve",
        witness=ports.served_at(CLIENT, 7103),
        at=everywhere(_AT_LOOPBACK),
        facts={"served": 7103},
        options=("--publish", "7103"),
    ),
    Row(
        way="a server that the project's file publishes to the local network",
        program="ports.serve",
        witness=ports.served_at(CLIENT, 7104),
        at=everywhere(_TIGHTENS),
        facts={"served": 7104},
        stage=ports.project(_publish(7104)),
        ends=True,
    ),
    Row(
        way="a server that settings publish to the local network while it runs",
        program="ports.serve",
        witness=ports.served_at(CLIENT, 7105),
        at=everywhere(_LATER),
        facts={"served": 7105},
        stage=ports.rewriting(_publish(7105)),
        settle=0.6,
    ),
    Row(
        way="the process that makes sockets for published servers is killed",
        program="processes.kill_maker",
        witness=ports.maker_ended,
        at=until_strict("processes", _UNSEEN),
        options=("--publish", "7106"),
        control=(),
        no_control=_NO_CONTROL,
    ),
    Row(
        way="descriptors, memory and namespaces of the process that makes sockets",
        program="processes.take_from_maker",
        witness=ports.maker_opened,
        at=everywhere(_WHOSE),
        options=("--publish", "7107"),
        control=(),
        no_control=_NO_CONTROL,
    ),
    Row(
        way="a proxy's credentials, from the environment",
        program="proxies.credentials",
        witness=witnesses.told,
        at=everywhere("they are taken from the command, and are in no record"),
        stage=ports.proxy_of_environment,
    ),
    Row(
        way="a proxy's credentials, from a flag",
        program="proxies.credentials",
        witness=witnesses.told,
        at=until_strict("processes", f"{_UNSEEN}, and they are in no record"),
        stage=ports.proxy_of_flag,
        control=(),
        no_control="without keepline there is no such flag",
    ),
    Row(
        way="a proxy's credentials, from the user's settings",
        program="proxies.credentials",
        witness=witnesses.told,
        at=nowhere("files"),
        stage=ports.proxy_of_file,
    ),
    Row(
        way="the proxy itself, at a denied address",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere("the relay alone dials it for itself; who else does is judged"),
        facts={"host": DENIED, "port": PORT},
        stage=ports.denied_proxy,
    ),
    Row(
        way="the proxy itself, at the host's loopback",
        program="dialling.unspecified",
        witness=witnesses.heard,
        at=everywhere("the relay alone dials it: that opens no port"),
        stage=ports.proxy_at_loopback,
    ),
    Row(
        way="a denied address, by a name that a proxy resolves",
        program="dialling.target",
        witness=witnesses.heard,
        at=nowhere("proxies"),
        facts={"host": "innocent.test", "port": PORT},
        stage=ports.proxy_that_resolves(7108),
    ),
    Row(
        way="a denied address, by a name behind a proxy, with --proxy-dns",
        program="dialling.target",
        witness=witnesses.heard,
        at=everywhere("names are resolved here, and each address is judged"),
        facts={"host": "innocent.test", "port": PORT},
        stage=ports.proxy_that_resolves(7109),
        options=(*options_that_deny(), "--proxy-dns"),
    ),
    Row(
        way="a denied name, and a denied address, by a proxy",
        program="ports.each",
        witness=witnesses.heard,
        at=everywhere("what the proxy is asked for is judged"),
        facts={"hosts": ["www.denied.test", "WWW.Denied.Test.", DENIED], "port": PORT},
        stage=ports.proxy_that_resolves(7110),
    ),
    Row(
        way="the host's loopback, by its names and addresses, by a proxy that is there",
        program="ports.each",
        witness=witnesses.heard,
        at=everywhere("what means loopback is not the proxy's to resolve"),
        facts={"hosts": _LOOPBACK, "port": LOOPBACK_PORT},
        stage=ports.proxy_that_resolves(7111, is_near=True),
    ),
]

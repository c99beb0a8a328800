"""A small internet in network namespaces, without root, with hands to break it.

In a kernel test the fixture `internet` gives the standard one, see world.py for its addresses,
with its name servers answering; `nursery` (of pytest-trio) runs more servers in it:

    async def test_it(internet: Internet, nursery: trio.Nursery) -> None:
        site = Site()
        await nursery.start(serve, site, listen(internet.server, SERVER, 80))
        done = await internet.client.run_process(["curl", "-s", "http://server.test/bytes/1000"])

Where things are, and what they do:

- world: `Internet` with `client`, `router`, `server` (Hosts), `access`, `backbone` (Links),
  `nat`, `zone`, `zone_of_other`, `authority`, `directory`, `renumber_client(address)`; constants
  for the addresses (SERVER, SECOND, THIRD, SERVER_V6, NAMES, OTHER_NAMES, BLACK_HOLE ...).
- hosts: `with host:` (sockets made inside stay there; never await inside), `host.call(function)`,
  `await host.run_process(argv, stdin=b"", check=True, env=...)`, `host.popen(argv, ...)`,
  `host.use_resolvers(address, ...)`, `host.resolv_conf` and `host.hosts_file` (rewrite in place),
  `host.set_sysctl(name, value)`, `host.netlink()`. Programs run as the caller, without
  capabilities unless the tests are root (`pytest --as root`).
- links: `link.unplug()` / `plug()` (no carrier), `interface.down()` / `up()` (routes lost and
  back), `add_address`, `remove_address`, `renumber`, `add_route`, `remove_route`, `set_mtu`.
- faults: `drop`, `lose`, `reset`, `unreachable`, `unreachable_by(code, ...)` of `Packets(...)` as
  they come in to a host, until `fault.remove()` or the end of a with statement; `fault.hits()`
  counts.
- nat: `nat.forget_after(seconds)`, `nat.forget()`, `nat.flows()`.
- servers.listening: `listen(host, address, port)`, `serve(handler, *listeners)`,
  `connect(host, address, port)`, `over_tls(handler, context)`.
- servers.http: `Site(idle_limit=..., files=folder)`; servers.plain: `echo`, `sink`, `source`,
  `pattern`.
- servers.broken: `reset_after(n)`, `close_after(n)`, `answer_then_reset(data)`,
  `answer_then_close(data)`, `never_answer`, `in_turn(handler, ...)`, `FullBacklog`.
- servers.api: `fake_api(Failure(Fault.FIN, Position.IN_TEXT), ...)` on loopback, `Api(...)` as a
  handler; `log`, `script`, `respond`.
- servers.zone: `zone.add(name, kind, *values)`, `add_large`, `remove`, `set_trouble(name,
  Trouble(silent=True | rcode=... | delay=...))`, `zone.trouble` for all names, `zone.queries`.
- servers.tls: `authority.server_context(*names)`, `client_context()`, `environment()`, `file`.
- sockets: `tcp_sockets(host)`: state and timer of each socket, as the kernel shows them.
- wire: `Capture(link)` with `packets(wanted)`, `inject(interface, packet)`,
  `forged_reset(packet)`.

Delay cannot be made: the kernels this runs on have no netem.
"""

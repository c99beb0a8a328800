"""TLS handshakes between two contexts in memory: no socket, no clock."""

import contextlib
import ssl


def shake_hands(server: ssl.SSLContext, client: ssl.SSLContext, name: str) -> ssl.SSLObject:
    """Let `client` connect to `name`, which is `server`; gives the client's side.

    Raises what the client raises, such as ssl.SSLCertVerificationError.
    """
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    clients = client.wrap_bio(to_client, to_server, server_hostname=name)
    servers = server.wrap_bio(to_server, to_client, server_side=True)
    for side in (clients, servers, clients, servers):
        with contextlib.suppress(ssl.SSLWantReadError):
            side.do_handshake()
    assert clients.version() in ("TLSv1.2", "TLSv1.3")
    return clients

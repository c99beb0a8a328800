"""A cut connection is not an ended one, whatever this Python does by itself."""

import ssl

import pytest
import trustme

from relay.tls import context, was_cut


@pytest.mark.parametrize("is_ended", [True, False])
def test_the_end_of_a_connection_is_no_end_of_what_was_said(*, is_ended: bool) -> None:
    authority = trustme.CA()
    server, client = context(ssl.PROTOCOL_TLS_SERVER), context(ssl.PROTOCOL_TLS_CLIENT)
    authority.issue_cert("server.test").configure_cert(server)
    authority.configure_trust(client)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    serving = server.wrap_bio(to_server, to_client, server_side=True)
    asking = client.wrap_bio(to_client, to_server, server_hostname="server.test")
    for side in (asking, serving, asking, serving):
        try:
            side.do_handshake()
        except ssl.SSLWantReadError:
            continue
    serving.write(b"half of it")
    if is_ended:
        with pytest.raises(ssl.SSLWantReadError):
            serving.unwrap()
    to_client.write_eof()
    assert asking.read() == b"half of it"
    assert not was_cut(ssl.SSLError())
    if is_ended:
        assert asking.read() == b""
    else:
        with pytest.raises(ssl.SSLError) as caught:
            asking.read()
        assert was_cut(caught.value)

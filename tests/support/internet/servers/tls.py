"""A certificate authority for one test run, and how programs are told to trust it."""

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from relay import tls


class Authority:
    """Issues certificates; its own stands in `file`."""

    def __init__(self, directory: Path) -> None:
        import trustme  # the demo runs where only the relay's own packages are

        self._ca = trustme.CA()
        self.file = directory / "authority.pem"
        self._ca.cert_pem.write_to_path(str(self.file))

    def server_context(self, *names: str) -> ssl.SSLContext:
        """Make the context of a server that has a certificate for `names`, or addresses."""
        context = tls.context(ssl.PROTOCOL_TLS_SERVER)
        self._ca.issue_cert(*names).configure_cert(context)
        return context

    def client_context(self) -> ssl.SSLContext:
        """Make the context of a client that trusts this authority and no other."""
        context = tls.context(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(cafile=str(self.file))
        return context

    def identity(self, folder: Path, passphrase: str = "") -> dict[str, str]:
        """Issue a client's certificate, and return the variables by which `claude` presents it."""
        issued = self._ca.issue_cert("client@test")
        certificate, key = folder / "client.pem", folder / "client.key"
        certificate.write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
        named = {
            "CLAUDE_CODE_CLIENT_CERT": str(certificate),
            "CLAUDE_CODE_CLIENT_KEY": str(key),
        }
        if not passphrase:
            issued.private_key_pem.write_to_path(str(key))
            return named
        subprocess.run(
            ["openssl", "pkcs8", "-topk8", "-passout", f"pass:{passphrase}", "-out", str(key)],
            input=issued.private_key_pem.bytes(),
            check=True,
        )
        return named | {"CLAUDE_CODE_CLIENT_KEY_PASSPHRASE": passphrase}

    def environment(self) -> dict[str, str]:
        """Return the variables by which curl, git, Node, Bun, OpenSSL and Python trust it."""
        names = (
            "CURL_CA_BUNDLE",
            "GIT_SSL_CAINFO",
            "NODE_EXTRA_CA_CERTS",
            "REQUESTS_CA_BUNDLE",
            "SSL_CERT_FILE",
        )
        return dict.fromkeys(names, str(self.file))


@contextlib.contextmanager
def refusing(listener: socket.socket, context: ssl.SSLContext, notes: list[str]) -> Iterator[None]:
    """Serve handshakes that fail, in a thread: unlike trio's, ssl's own sockets send alerts.

    Each connection is noted.
    """

    def refuse() -> None:
        with contextlib.suppress(OSError):  # the listener is shut down
            while True:
                accepted, _address = listener.accept()
                notes.append("a connection")
                with accepted, contextlib.suppress(OSError):
                    context.wrap_socket(accepted, server_side=True).read(1)

    thread = threading.Thread(target=refuse)
    thread.start()
    try:
        yield
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()

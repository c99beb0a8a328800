"""ClientHellos as the standard library's TLS writes them, and parts to build odd ones from."""

import ssl
import struct


def real(name: str = "server.test", *, tls12: bool = False) -> bytes:
    """Let OpenSSL write the first flight."""
    context = ssl.create_default_context()
    if tls12:
        context.maximum_version = ssl.TLSVersion.TLSv1_2
    out = ssl.MemoryBIO()
    tls = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    try:
        tls.do_handshake()
    except ssl.SSLWantReadError:
        return out.read()
    raise AssertionError("a handshake without a server")


def vector(size: int, data: bytes) -> bytes:
    """Write a length of `size` bytes and the data."""
    return len(data).to_bytes(size, "big") + data


def extension(kind: int, data: bytes = b"") -> bytes:
    return struct.pack("!H", kind) + vector(2, data)


def message(extensions: bytes | None = b"", kind: int = 1, tail: bytes = b"") -> bytes:
    """Build a handshake message; `extensions` None leaves the block out."""
    body = b"\x03\x03" + bytes(32) + vector(1, b"") + vector(2, b"\x13\x01") + vector(1, b"\0")
    if extensions is not None:
        body += vector(2, extensions)
    return bytes([kind]) + vector(3, body + tail)


def record(data: bytes, kind: int = 22, major: int = 3) -> bytes:
    return bytes([kind, major, 1]) + vector(2, data)

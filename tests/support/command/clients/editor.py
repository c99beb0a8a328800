"""An editor as an agent knows it: a lock file in FOLDER, and MCP over WebSocket for WORKSPACE.

python editor.py FOLDER WORKSPACE       tells its port, then each method that it is sent, by lines

It serves one connection after the other, RFC 6455, and ends with its stdin. Nothing is imported but
the standard library.
"""

import base64
import hashlib
import json
import os
import socket
import struct
import sys
import threading
from pathlib import Path
from typing import Any, BinaryIO, Final

_TOKEN: Final = "a-token"
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_TEXT, _CLOSE, _PING, _PONG = 1, 8, 9, 10
_RESULTS: Final[dict[str, Any]] = {
    "initialize": {
        "protocolVersion": "2024-11-05",
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "test editor", "version": "1"},
    },
    "tools/list": {
        "tools": [
            {"name": "openFile", "description": "Open a file", "inputSchema": {"type": "object"}}
        ]
    },
}


def main(folder: Path, workspace: str) -> None:
    """Serve until stdin ends."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        lock = folder / f"{port}.lock"
        said = {
            "pid": os.getpid(),
            "workspaceFolders": [workspace],
            "ideName": "Test Editor",
            "transport": "ws",
            "runningInWindows": False,
            "authToken": _TOKEN,
        }
        lock.write_text(json.dumps(said))
        tell(str(port))
        threading.Thread(target=accept, args=(server,), daemon=True).start()
        sys.stdin.read()
        lock.unlink()


def tell(line: str) -> None:
    """Write a line at once."""
    os.write(1, f"{line}\n".encode())


def accept(server: socket.socket) -> None:
    """Serve each connection in its turn."""
    while True:
        sock, _ = server.accept()
        with sock, sock.makefile("rwb") as stream:
            if has_upgraded(stream):
                serve(stream)


def has_upgraded(stream: Any) -> bool:
    """Answer the request for an upgrade, if it has the token."""
    fields = {}
    for line in iter(stream.readline, b"\r\n"):
        if not line:
            return False  # it only looked whether anybody is there
        name, _, value = line.decode("latin-1").partition(":")
        fields[name.lower()] = value.strip()
    if fields.get("x-claude-code-ide-authorization") != _TOKEN:
        tell("unauthorized")
        return False
    digest = hashlib.sha1((fields["sec-websocket-key"] + _GUID).encode()).digest()
    head = [
        "HTTP/1.1 101 Switching Protocols",
        "Upgrade: websocket",
        "Connection: Upgrade",
        f"Sec-WebSocket-Accept: {base64.b64encode(digest).decode()}",
        *(["Sec-WebSocket-Protocol: mcp"] if "sec-websocket-protocol" in fields else []),
    ]
    stream.write("\r\n".join([*head, "", ""]).encode())
    stream.flush()
    return True


def serve(stream: Any) -> None:
    """Answer each message until the other side closes."""
    while (frame := read_frame(stream)) is not None:
        kind, data = frame
        if kind == _CLOSE:
            return
        if kind == _PING:
            write_frame(stream, _PONG, data)
        elif kind == _TEXT:
            message = json.loads(data)
            tell(str(message.get("method", "an answer")))
            if "id" in message and "method" in message:
                result = _RESULTS.get(message["method"], {})
                answer = {"jsonrpc": "2.0", "id": message["id"], "result": result}
                write_frame(stream, _TEXT, json.dumps(answer).encode())


def read_frame(stream: BinaryIO) -> tuple[int, bytes] | None:
    """Read a frame, which is masked and whole, section 5.2; None at the end."""
    head = stream.read(2)
    if len(head) < 2:
        return None
    size = head[1] & 0x7F
    if size == 126:
        (size,) = struct.unpack("!H", stream.read(2))
    elif size == 127:
        (size,) = struct.unpack("!Q", stream.read(8))
    mask, data = stream.read(4), stream.read(size)
    return head[0] & 0xF, bytes(byte ^ mask[at % 4] for at, byte in enumerate(data))


def write_frame(stream: BinaryIO, kind: int, data: bytes) -> None:
    """Write a whole frame without a mask."""
    size = len(data)
    length = bytes([size]) if size < 126 else struct.pack("!BH", 126, size)
    stream.write(bytes([0x80 | kind]) + length + data)
    stream.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])

"""Has a Jupyter server run a cell, as a notebook in a browser does.

python notebook.py URL TOKEN CODE       prints what the cell has printed

It runs in an environment of its own, requirements-servers.txt, so it imports that by name.
"""

import importlib
import json
import sys
import urllib.request
import uuid
from typing import Any, Final

_HEADER: Final = {"username": "", "version": "5.3", "session": uuid.uuid4().hex, "date": ""}


def main(url: str, token: str, code: str) -> None:
    """Start a kernel, run the code, and end the kernel."""
    kernel = asked("POST", f"{url}/api/kernels", token)["id"]
    websocket = importlib.import_module("websocket")
    at = f"{url}/api/kernels/{kernel}/channels".replace("http:", "ws:")
    channels = websocket.create_connection(at, header=[f"Authorization: token {token}"])
    request = uuid.uuid4().hex
    message = {
        "header": _HEADER | {"msg_id": request, "msg_type": "execute_request"},
        "parent_header": {},
        "metadata": {},
        "content": {"code": code, "silent": False},
        "channel": "shell",
        "buffers": [],
    }
    channels.send(json.dumps(message))
    while True:
        heard = json.loads(channels.recv())
        kind, content = heard["msg_type"], heard["content"]
        if heard["parent_header"].get("msg_id") != request:
            continue
        if kind == "stream":
            sys.stdout.write(content["text"])
        elif kind == "status" and content["execution_state"] == "idle":
            break
    channels.close()
    asked("DELETE", f"{url}/api/kernels/{kernel}", token)


def asked(method: str, url: str, token: str) -> Any:
    """Return the JSON of an answer, None if it has none."""
    fields = {"Authorization": f"token {token}"}
    request = urllib.request.Request(url, method=method, headers=fields)
    with urllib.request.urlopen(request) as answer:
        body = answer.read()
    return json.loads(body) if body else None


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The variables by which programs learn of the proxy; pure.

    curl, git           http_proxy, HTTPS_PROXY, ALL_PROXY, NO_PROXY, in lower case as well
    pip, requests       the same; httpx makes a transport for ALL_PROXY too, and has no SOCKS5
    npm, Bun, claude    HTTP_PROXY, HTTPS_PROXY, NO_PROXY
    Go, codex (Rust)    the same
    Node 22.21, 24      the same, with NODE_USE_ENV_PROXY=1
    Java                nothing of it. JAVA_TOOL_OPTIONS takes -Dhttps.proxyHost, but no password,
                        and has each JVM print a line: it is left alone

So all of them name one URL of http://, by which CONNECT leads anywhere. Loopback is left to the
programs: it is their own, as without keepline.
"""

from collections.abc import Iterable, Mapping
from typing import Final

from relay.inbound.proxy.place import LOOPBACK
from relay.inbound.proxy.secret import Secret
from relay.proxies.variables import of_proxies

_NAMES: Final = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")
_DIRECT: Final = f"localhost,{LOOPBACK},::1"
_NODE: Final = "NODE_USE_ENV_PROXY"


def url(port: int, secret: Secret | None, scheme: str = "http") -> str:
    """Return the URL of the proxy."""
    userinfo = secret.userinfo if secret is not None else ""
    return f"{scheme}://{userinfo}{LOOPBACK}:{port}"


def set_by(port: int, secret: Secret | None) -> dict[str, str]:
    """Return what programs are told of a proxy."""
    told = dict.fromkeys(_NAMES, url(port, secret)) | {"NO_PROXY": _DIRECT}
    return told | {name.lower(): value for name, value in told.items()} | {_NODE: "1"}


def changes(port: int, secret: Secret | None, names: Iterable[str]) -> Mapping[str, str | None]:
    """Return the same, and None for those of the variables there are that name another proxy."""
    return dict.fromkeys(of_proxies(names), None) | set_by(port, secret)

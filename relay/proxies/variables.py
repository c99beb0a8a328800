"""The variables by which programs learn of a proxy, in curl's order; pure.

A lower-case name comes before the same in upper case, and one for a scheme before ALL_PROXY. One
that is empty counts as unset.
"""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

_SCHEMES: Final = (
    *("all", "auto", "ftp", "grpc", "http", "https", "no", "rsync", "socks", "ws", "wss"),
)
_OF_PROXIES: Final = frozenset(
    {
        *(f"{scheme}_proxy" for scheme in _SCHEMES),
        # What single programs read before these.
        *("npm_config_http_proxy", "npm_config_https_proxy", "npm_config_no_proxy"),
        *("npm_config_noproxy", "npm_config_proxy", "yarn_http_proxy", "yarn_https_proxy"),
        *("cargo_http_proxy", "pip_proxy", "node_use_env_proxy"),
        *("global_agent_http_proxy", "global_agent_https_proxy", "global_agent_no_proxy"),
    }
)
"""In lower case: some are read in upper case alone, and npm's in any."""


class Said(NamedTuple):
    """A proxy as a variable names it."""

    variable: str
    text: str


def said(environment: Mapping[str, str], scheme: str) -> Said | None:
    """Return what the environment says of URLs of a scheme, `http` or `https`; None if nothing."""
    for name in (f"{scheme}_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if text := environment.get(variable, "").strip():
                return Said(variable, text)
    return None


def exceptions(environment: Mapping[str, str]) -> str:
    """Return what NO_PROXY says."""
    return environment.get("no_proxy") or environment.get("NO_PROXY") or ""


def pac_file(environment: Mapping[str, str]) -> str:
    """Return the variable that names a PAC file, empty if none does."""
    return next((name for name in ("auto_proxy", "AUTO_PROXY") if environment.get(name)), "")


def of_proxies(names: Iterable[str]) -> list[str]:
    """Return those of the names by which some program would learn of a proxy."""
    return [name for name in names if name.lower() in _OF_PROXIES]

"""Which way out a session has: a proxy by settings or environment, for which destinations; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from relay.addresses import Destination
from relay.proxies import variables
from relay.proxies.bypass import Bypass
from relay.proxies.url import Credentials, Proxy, parse

AUTO: Final = "auto"
OFF: Final = "off"

HTTP_PORT: Final = 80

_ENVIRONMENT: Final = "KEEPLINE_PROXY"


@dataclass(frozen=True)
class Routes:
    """The proxies of a session.

    Of URLs only their ports are seen here: port 80 is http, and all others are as https.
    """

    http: Proxy | None
    """For port 80."""
    others: Proxy | None
    bypass: Bypass
    source: str
    """Which setting or variables named them, for people."""
    is_from_variables: bool = False

    def proxy_for(self, destination: Destination) -> Proxy | None:
        """Return the proxy that is asked for a destination; None: it is dialled directly."""
        proxy = self.http if destination.port == HTTP_PORT else self.others
        if proxy is None or self.bypass.covers(destination) or destination in self._own:
            return None
        return proxy

    def resolves(self, name: str) -> bool:
        """Return whether a proxy resolves a name, at some port at least.

        One for port 80 alone does not: all others are dialled from here.
        """
        return self.others is not None and not (
            self.bypass.covers_all_of(name) or name in {each.host for each in self.proxies}
        )

    @property
    def proxies(self) -> tuple[Proxy, ...]:
        """Each of them, once."""
        found = (self.others, self.http)
        return tuple(dict.fromkeys(each for each in found if each is not None))

    @property
    def _own(self) -> set[Destination]:
        """The proxies themselves, which a program may know by another way."""
        return {each.destination for each in self.proxies}

    @property
    def told(self) -> str:
        """The proxies and where they were named, for people; credentials are not shown."""
        names = " and ".join(dict.fromkeys(map(str, self.proxies)))
        return f"proxy {names} ({self.source})"

    def with_credentials(self, credentials: Credentials) -> "Routes":
        """Return the same with other credentials."""

        def known(proxy: Proxy | None) -> Proxy | None:
            return None if proxy is None else replace(proxy, credentials=credentials)

        return replace(self, http=known(self.http), others=known(self.others))

    def environment(self, names: Mapping[str, str]) -> dict[str, str | None]:
        """Return how the program's variables differ: None for each that would name a proxy.

        A keepline that it starts itself has this session for its way out.
        """
        gone: dict[str, str | None] = dict.fromkeys(variables.of_proxies(names))
        gone |= dict.fromkeys(name for name in names if name.startswith(f"{_ENVIRONMENT}_"))
        return gone | {_ENVIRONMENT: OFF}


class VariableError(ValueError):
    """A variable that names no proxy that could be used: the sentence about it."""


def routes(setting: str, environment: Mapping[str, str]) -> Routes | None:
    """Return the session's proxies; None if it has none.

    Raises ValueError for a setting that cannot be used, with the end of a sentence that begins with
    its name, and VariableError for a variable, with the sentence.
    """
    if setting == OFF:
        return None
    bypass = Bypass.parse(variables.exceptions(environment))
    if setting != AUTO:
        proxy = parse(setting)
        return Routes(proxy, proxy, bypass, "by the setting proxy")
    if bypass.is_everything:
        return None
    found = {scheme: variables.said(environment, scheme) for scheme in ("https", "http")}
    names = " and ".join(dict.fromkeys(said.variable for said in found.values() if said))
    if not names:
        return None
    https, http = map(_of_variable, found.values())
    return Routes(http, https, bypass, names, is_from_variables=True)


def _of_variable(said: variables.Said | None) -> Proxy | None:
    """Read what a variable names; raises VariableError."""
    if said is None:
        return None
    try:
        return parse(said.text)
    except ValueError as error:
        raise VariableError(f"{said.variable} {error}") from None

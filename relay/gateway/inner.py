"""What programs ask the gateway for within a connection, judged as what goes past it is.

The gateway asks its origin by the origin's own name, whatever the program writes. So another name
leads nowhere, and is denied in mode `allowlist` because somebody tries it; in mode `open` what a
deny rule names is recorded.
"""

from collections.abc import Callable
from dataclasses import dataclass

from relay.gateway.http import Request
from relay.gateway.setup.choice import Origin
from relay.policy.current import CurrentPolicy
from relay.policy.verdicts import Deny
from relay.record.events import ConnectionDenied, Event, InnerDiffers
from relay.record.kinds import Kind
from relay.tcp.inner import request_head, server_name
from relay.tcp.inner.asked import Asked
from relay.tcp.inner.inspection import denials
from relay.tcp.transfer.client_hello import ClientHello, First


@dataclass(frozen=True)
class Inner:
    """Judges names for a gateway."""

    _policy: CurrentPolicy
    _record: Callable[[Event], None]

    def refuses(self, word: First | None, origin: Origin, number: int) -> bool:
        """Judge the server name of a program's ClientHello; return whether it is denied."""
        if not self._policy.inspects or not isinstance(word, ClientHello):
            return False
        return self._denied(server_name.asked_by(word), origin, number) is not None

    def refusal(self, request: Request, origin: Origin, number: int) -> str:
        """Judge the Host of a request; return why it is denied, empty if it is not."""
        if not self._policy.inspects:
            return ""
        hosts = [value for name, value in request.fields if name.lower() == b"host"]
        denied = self._denied(request_head.asked_by(hosts), origin, number)
        return f"denied: {denied.told}" if denied is not None else ""

    def _denied(self, asked: Asked, origin: Origin, number: int) -> Deny | None:
        """Return what denies a name, which is recorded; None if it goes on."""
        is_strict = self._policy.is_allowlist
        event = ConnectionDenied if is_strict else InnerDiffers
        for denied, name in denials(asked, origin.destination, self._policy, is_strict=is_strict):
            self._record(
                event(
                    connection=number,
                    kind=Kind.POLICY,
                    inner=name,
                    rule=denied.rule,
                    reason=denied.reason,
                )
            )
            if is_strict:
                return denied
        return None

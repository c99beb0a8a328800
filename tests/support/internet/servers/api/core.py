"""What both protocols of the fake API share: each request is noted, and told how it is answered."""

import math
from collections.abc import Callable

from . import stream
from .answers import Answer, Course, answer, course, instead
from .faults import UNPROCESSED, Failure, Script, Status
from .log import Asked, Log, Request

Respond = Callable[[Request], Answer | None]


class Core:
    """The API without its connections."""

    def __init__(self, *failures: Failure | Status, idle_limit: float = math.inf) -> None:
        """Have the first requests fail; close connections idle for so many seconds."""
        self.idle_limit = idle_limit
        self.log = Log()
        self.script = Script(failures)
        self.respond: Respond | None = None
        """Takes the place of the usual answers, where it gives one: for bodies of any bytes."""

    def take(self, request: Request) -> tuple[Asked, Course]:
        """Note a request and tell how it is answered."""
        failure = self.script.take(request.key)
        is_processed = not (isinstance(failure, Failure) and failure.fault in UNPROCESSED)
        asked = self.log.note(request, failure, processed=is_processed)
        whole = self.respond(request) if self.respond is not None else None
        if whole is None:
            whole = answer(request, asked.version)
        if whole.message is not None:
            asked.before_content = stream.before_content(whole.message)
        if isinstance(failure, Status):
            return asked, course(instead(failure), None)
        return asked, course(whole, failure)

"""One request, from its head to the end of its answer: ask, hold back, hand over, ask again.

The outcome of a try is a value: None when the answer was given, else its loss. resend.py decides
whether there is another try, answers/ what of an answer is handed over when.
"""

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, replace

import trio

from relay.gateway import http as fields
from relay.gateway import resend
from relay.gateway.answers.taking import Taking, lost
from relay.gateway.bounds.room import Room
from relay.gateway.downstream.connection import Downstream
from relay.gateway.http import LostError, Request, UntrustedError
from relay.gateway.resend import LostAnswer
from relay.gateway.setup.prepare import Prepared
from relay.gateway.upstream.pool import Pool
from relay.outbound.patience import DialError
from relay.record.events import AskedAgain, Event, RequestLost, Saw
from relay.record.kinds import Kind


@dataclass(eq=False)
class Exchange:
    """One request and its answer."""

    request: Request
    _downstream: Downstream
    _pool: Pool
    """Of the origin that is asked."""
    _prepared: Prepared
    _number: int
    """Of the program's connection."""
    _nursery: trio.Nursery
    """For tasks beside the exchange; they end with it."""
    _record: Callable[[Event], None]
    _room: Room
    """What the answers to all programs together may take of memory."""

    def __post_init__(self) -> None:
        """Derive the request that is sent from the one that was received."""
        self._dialect = self._pool.origin.dialect
        self._method = self.request.method.decode("latin-1")
        self._rules = self._dialect.rules(self._method, self.request.path, self._pool.origin.prefix)
        kept = fields.end_to_end(self.request.fields, b"host", b"expect")
        if self._rules.is_repeatable:
            kept = fields.asking_identity(kept)
        self._forwarded = replace(self.request, fields=kept)
        self._limit = trio.CancelScope()
        self._resends = 0
        self._taking = Taking(
            self._downstream,
            self._dialect,
            self._rules,
            self._pool.manners,
            self._prepared.hold,
            self._prepared.silence,
            self._room,
            self._nursery,
        )

    async def run(self) -> None:
        """Answer the program, or show it the loss."""
        while (loss := await self._try_in_time()) is not None:
            state = resend.State(
                is_repeatable=self._rules.is_repeatable,
                may_be_processed=loss.may_be_processed,
                is_committed=self._taking.is_committed,
                is_kept=self._downstream.body.is_kept,
                resends=self._resends,
                is_final=loss.is_final,
                retry_after=loss.retry_after,
            )
            verdict = resend.decide(state, random.random, self._prepared.patience)
            if isinstance(verdict, resend.Resend) and not self._pool.budget.lose(
                self, trio.current_time(), is_streamed=self._taking.streamed is not None
            ):
                verdict = resend.BUDGET_SPENT
            if isinstance(verdict, resend.DoNotResend):
                await self._give_up(loss, verdict.why)
                return
            self._resends += 1
            self._record(
                AskedAgain(
                    connection=self._number,
                    method=self._method,
                    path=self.request.path,
                    kind=loss.kind,
                    cause=loss.cause,
                    resends=self._resends,
                    may_be_billed=loss.may_be_processed and self._rules.is_billed,
                )
            )
            await trio.sleep(verdict.pause)
        if self._taking.is_answered:
            self._pool.budget.answered(is_streamed=self._taking.streamed is not None)

    async def _try_in_time(self) -> LostAnswer | None:
        """Try once; an answer whose head the program has must begin anew within patience.

        The limit ends with the head of the new answer: _begun() sets the deadline of the scope to
        infinity as soon as it has come, without a checkpoint in between. If both are due at once,
        the deadline was first, and the try is lost: its stream is closed on the way out, so that
        nothing of two answers can be mixed.
        """
        limit = self._prepared.patience if self._downstream.has_head else math.inf
        with trio.move_on_after(limit) as self._limit:
            return await self._try()
        return LostAnswer("no new answer in time", Kind.TIMEOUT, is_final=True)

    def _begun(self) -> None:
        self._limit.deadline = math.inf

    async def _try(self) -> LostAnswer | None:
        """Ask once.

        Sending and receiving run side by side, for upstream may answer before it has all of the
        request: an early answer (RFC 9112 section 9.3) is given, and ends both, so that no more of
        the body is sent. The task that receives is the one that is started, because a started task
        runs at the next checkpoint only, and the request is to go out at once. If the last byte is
        sent while the answer ends, either may be first: the outcome is that of the answer in both
        cases, since send() reports no loss itself.

        If the program goes away, the scope of the whole exchange is cancelled, and the stream is
        closed on the way out: over HTTP/2 by RST_STREAM, over HTTP/1.1 with the connection.
        """
        loss: LostAnswer | None = None

        async def take_answer() -> None:
            nonlocal loss
            loss = await self._taking.take(stream, self._begun)
            if loss is not None:
                stream.condemn()
            nursery.cancel_scope.cancel()

        try:
            async with self._pool.stream() as stream, trio.open_nursery() as nursery:
                nursery.start_soon(take_answer)
                await stream.send(self._forwarded, self._downstream.body)
        except DialError as error:
            lasts = error.kind is Kind.POLICY  # then a program had better not try again
            return LostAnswer(
                error.cause, error.kind, may_be_processed=False, is_final=True, is_lasting=lasts
            )
        except UntrustedError as error:
            cause = f"the certificate of {self._pool.origin.host} is not trusted: {error}"
            return LostAnswer(
                cause, error.kind, may_be_processed=False, is_final=True, is_lasting=True
            )
        except LostError as error:  # before there was a stream
            return lost(error)
        return loss

    async def _give_up(self, loss: LostAnswer, why: str) -> None:
        """Show the program a loss that cannot be hidden: never as a clean end."""
        downstream = self._downstream
        # A status would invite the client to repeat what may have been processed.
        is_unsafe = loss.may_be_processed and not self._rules.is_repeatable
        if self._taking.is_committed or (not downstream.has_head and is_unsafe):
            saw: Saw = "reset"
            streamed = self._taking.streamed
            if streamed is not None and streamed.is_too_much:
                why += ", which is more than what is held"
            elif streamed is not None and self._prepared.hold != "message":
                why += "; --hold=message would have held it back"
            downstream.abort()
        elif downstream.has_head:
            saw = "error event"
            await downstream.data(loss.error or self._dialect.error_event(self._message(loss)))
            await downstream.end([])
        else:
            saw = "status 502"
            message, may_pass = self._message(loss), not loss.is_lasting
            await downstream.fail(*self._dialect.error_fields(message, retry=may_pass))
        self._record(
            RequestLost(
                connection=self._number,
                method=self._method,
                path=self.request.path,
                kind=loss.kind,
                cause=loss.cause,
                resends=self._resends,
                saw=saw,
                why=why,
            )
        )

    def _message(self, loss: LostAnswer) -> str:
        """Return what a person reads in the program's output."""
        if loss.kind is Kind.UNTRUSTED:
            return f"{loss.cause}; name its CA in SSL_CERT_FILE, or use --gateway=off"
        host = self._pool.origin.host
        if loss.kind is Kind.POLICY:
            return f"{host} is not asked: {loss.cause}; see keepline explain"
        tries = f"{self._resends + 1} times" if self._resends else "once"
        hint = (
            "use --gateway=off if it works without" if loss.is_lasting else "see keepline explain"
        )
        return f"no answer from {host}: {loss.cause} (asked {tries}; {hint})"

"""Clients of the load, one behind each variant, all alive at once so that they take turns."""

import json
import subprocess
import tempfile
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from .variants import Variant
from .world import World

_LIMIT: Final = 30.0
"""Seconds that one order may take."""

_CPUCLOCK_SCHED: Final = 2
"""linux/posix-timers.h: the sum that the scheduler keeps."""


class LoadError(Exception):
    """A client could not do what it was asked; the message says why."""


class Client:
    """A client's process, started behind a variant."""

    def __init__(
        self, world: World, variant: Variant, environment: Mapping[str, str] | None = None
    ) -> None:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the client
        self._process = world.client.popen(
            [*variant.prefix, *variant.client],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._errors,
            env=world.environment if environment is None else environment,
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._orders = self._process.stdin
        self._answers = self._process.stdout
        self._relay_name = variant.relay

    def ask(self, order: str, **arguments: Any) -> float:
        """Have it measure; raises LoadError."""
        limit = threading.Timer(_LIMIT, self._process.kill)
        limit.start()
        try:
            self._orders.write(json.dumps([order, arguments]).encode() + b"\n")
            self._orders.flush()
            answer = self._answers.readline()
        except BrokenPipeError:
            answer = b""
        finally:
            limit.cancel()
        if not answer:
            raise LoadError(self._last_words())
        told: dict[str, Any] = json.loads(answer)
        if "failure" in told:
            raise LoadError(told["failure"])
        figure: float = told["figure"]
        return figure

    @property
    def alive(self) -> bool:
        """Return whether it can be asked again."""
        return self._process.poll() is None

    def relay_memory(self) -> int:
        """Return the resident bytes of the process that moves the bytes; 0 without one."""
        if self._relay_name is None:
            return 0
        for pid in (self._process.pid, *_children(self._process.pid)):
            if status_of(pid)["Name"].strip().startswith(self._relay_name):
                return memory_of(pid)
        raise LoadError(f"there is no process called {self._relay_name}")

    def processor_seconds(self) -> float:
        """Return what the first process has used: the relay's, if `keepline run` is the variant.

        It is clock_getcpuclockid(3) of the process: user and system time of all of its threads,
        those that have ended too, in nanoseconds; but not of its children.
        """
        return time.clock_gettime(~self._process.pid << 3 | _CPUCLOCK_SCHED)

    def close(self) -> None:
        """End it: its orders end."""
        self._orders.close()
        self._process.wait()
        self._errors.close()

    def _last_words(self) -> str:
        self._process.kill()
        self._process.wait()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").splitlines()
        said = [line.strip(" |+-") for line in lines if line.strip(" |+-")]
        return said[-1] if said else f"ended with status {self._process.returncode}"


def status_of(pid: int) -> dict[str, str]:
    """Return the fields of a process's status, proc(5)."""
    status = Path(f"/proc/{pid}/status").read_text()
    return dict(line.split(":", 1) for line in status.splitlines())


def memory_of(pid: int) -> int:
    """Return the resident bytes of a process."""
    return int(status_of(pid)["VmRSS"].split()[0]) * 1024


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

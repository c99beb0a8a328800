"""The real relay of a pod, as its container runs it: no capability, a read-only root, a volume."""

import os
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import trio
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from netns.network.pod import HTTP_PORT, RELAY_UID
from relay.record import flightlog
from relay.record.events import AnyEvent
from tests.support.command.keepline import DEADLINE, Done, Session
from tests.support.command.pod import Pod
from tests.support.internet.hosts import Host
from tests.support.pace import patience

VOLUME: Final = "/mnt/volume"
"""What the relay's container calls it."""

_ENVIRONMENT: Final = {"HOME": "/", "PATH": os.environ["PATH"]}
_RUNS: Final = Path(__file__).parent / "unprivileged.py"


class PodRelay:
    """The relay of a pod, and its volume."""

    def __init__(self, pod: Pod, uid: int = RELAY_UID) -> None:
        self.pod, self.uid = pod, uid
        self.host: Host = pod.host
        self.environment: dict[str, str] = {}
        """Added to that of the relay's container."""
        self.volume = pod.keepline.folder / "volume"
        self.volume.mkdir()
        os.chown(self.volume, uid, uid)

    @property
    def sessions(self) -> Path:
        """The folder of its record."""
        return self.volume / "keepline/sessions"

    def events(self) -> Iterator[AnyEvent]:
        """Yield all that was recorded, run by run."""
        for path in sorted(self.sessions.glob("*.jsonl")):
            yield from flightlog.read(path)

    def argv(self, *arguments: str) -> list[str]:
        """Return the command line of `keepline ARGUMENTS`, in the relay's container."""
        return [
            sys.executable,
            "-I",
            str(_RUNS),
            str(self.uid),
            str(self.volume),
            "relay",
            *arguments,
        ]

    async def call(self, *arguments: str) -> Done:
        """Run `keepline ARGUMENTS` in the relay's container, to its end."""
        done = await self.host.run_process(self.argv(*arguments), check=False, env=_ENVIRONMENT)
        return Done(done.returncode, done.stdout, done.stderr.decode())

    @asynccontextmanager
    async def running(self, *options: str, awaits_ready: bool = True) -> AsyncIterator[Session]:
        """Have it run, and be ready, while the with statement lasts."""
        argv = self.argv("sidecar", "relay", "--state", VOLUME, *options)
        environment = _ENVIRONMENT | self.environment
        process = self.host.popen(argv, stdin=-1, stdout=-1, stderr=-1, bufsize=0, env=environment)
        try:
            if awaits_ready:
                ready = await self.call("sidecar", "ready", "--wait", str(patience(DEADLINE)))
                assert ready.status == 0, (ready, process.poll())
            yield Session(process, self.sessions)
        finally:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    async def get(self, path: str) -> str:
        """Return what the endpoint answers."""
        with self.host:
            sock = trio.socket.socket()
        with trio.fail_after(patience(DEADLINE)), sock:
            await sock.connect(("127.0.0.1", HTTP_PORT))
            await sock.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
            answer = b""
            while piece := await sock.recv(65536):
                answer += piece
        return answer.decode()

    async def metrics(self) -> dict[tuple[str, ...], float]:
        """Return the values of all metrics, by their names and the values of their labels."""
        read: Any = text_string_to_metric_families
        text = (await self.get("/metrics")).partition("\r\n\r\n")[2]
        return {
            (sample.name, *sample.labels.values()): sample.value
            for family in read(text)
            for sample in family.samples
        }

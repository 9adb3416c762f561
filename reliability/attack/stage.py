"""Where an attack takes place: a server process with API keys, an honest caller, and what both come to."""

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from bench.processes import cpu_seconds, memory_megabytes, peak_memory_megabytes, reset_peak_memory
from reliability.attack.data import Data
from reliability.attack.honest import Honest, Sample, honest_caller, p99
from reliability.server import ServerProcess, new_server
from tests.support.callers import bearer, create_key

_QUIET_SECONDS = 2
_EXPECTED = {"OK", "NOT_FOUND"}
_POLITENESS = 10
_RATIO, _ALLOWANCE_SECONDS = 2, 0.25
"""An attacker on the same two cores delays all callers a little, and so do other programs."""


class Measure(NamedTuple):
    """Something that was measured, and the most that it may be."""

    what: str
    value: float
    bound: float
    unit: str = ""

    @property
    def is_met(self) -> bool:
        """Whether the value is within the bound."""
        return self.value <= self.bound


@dataclass
class Seen:
    """What an attack did to the server and to its honest caller.

    Attributes:
        grown: How much more memory the server had at the most, in MB.
        before: The p99 of the honest caller before the attack, in seconds.
        during: Its p99 during the attack.
        lag: By how much the machine delayed the caller itself during the attack, in its worst hundredth.
        failed: The share of its calls that failed during the attack, in percent.
        codes: With which status codes.
        cpu: How much CPU time the attack took from the server, in seconds.
    """

    grown: float = 0
    before: float = 0
    during: float = 0
    lag: float = 0
    failed: float = 0
    codes: set[str] = field(default_factory=set)
    cpu: float = 0

    def judge(self, calls: Sequence[Sample]) -> None:
        """Take in the calls during the attack."""
        failed = [call.code for call in calls if call.code not in _EXPECTED]
        self.during, self.lag = p99(call.seconds for call in calls), p99(call.lag for call in calls)
        self.failed, self.codes = 100 * len(failed) / len(calls), set(failed)

    def measures(self, megabytes: float = 100) -> Iterator[Measure]:
        """Yield what was seen, with the bounds that all attacks share."""
        yield Measure("memory of the server", self.grown, megabytes, "MB more")
        limit = _RATIO * (self.before + self.lag) + _ALLOWANCE_SECONDS
        yield Measure(
            f"p99 of an honest caller ({self.before * 1000:.0f} ms before)", self.during * 1000, limit * 1000, "ms"
        )
        codes = f" ({', '.join(sorted(self.codes))})" if self.codes else ""
        yield Measure(f"honest calls that failed{codes}", self.failed, 0, "%")


@dataclass
class Scene:
    """A running server with its callers.

    Attributes:
        server: The server.
        url: The URL of its database.
        honest: The honest caller, with a key of its own.
        key: The API key of the attacker, if the attack needs one.
    """

    server: ServerProcess
    url: str
    honest: Honest
    key: str

    @property
    def address(self) -> str:
        """The address of the server."""
        return self.server.address

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The attacker's credentials, as headers of HTTP/2."""
        return [(name.encode(), value.encode()) for name, value in bearer(self.key)]

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[Seen]:
        """Observe the server for two quiet seconds, and then until the block ends."""
        [pid] = self.server.pids
        start = _Moment.now(pid)
        await asyncio.sleep(_QUIET_SECONDS)
        reset_peak_memory(pid)
        memory, attacked, seen = memory_megabytes(pid), _Moment.now(pid), Seen()
        os.setpriority(os.PRIO_PROCESS, 0, _POLITENESS)  # this thread: it must not take the server's processor
        yield seen
        end = _Moment.now(pid)
        seen.grown = peak_memory_megabytes(pid) - memory
        seen.cpu = end.cpu_since(attacked) - attacked.cpu_since(start) / _QUIET_SECONDS * (end.time - attacked.time)
        seen.before = p99(call.seconds for call in await self._calls(start, attacked))
        seen.judge(await self._calls(attacked, end))

    async def _calls(self, begin: "_Moment", end: "_Moment") -> Sequence[Sample]:
        return await asyncio.to_thread(self.honest.between, begin.time, end.time)


class _Moment(NamedTuple):
    """A time, and the CPU time that a process had taken until then, both in seconds."""

    time: float
    cpu: float

    @classmethod
    def now(cls, pid: int) -> "_Moment":
        """Return this moment."""
        return cls(time.monotonic(), cpu_seconds(pid))

    def cpu_since(self, earlier: "_Moment") -> float:
        """Return the CPU time that the process took since an earlier moment."""
        return self.cpu - earlier.cpu


@dataclass
class Stage:
    """What all attacks share.

    Attributes:
        url: The URL of a migrated database.
        data: What expensive calls need in it.
        seconds: How long an attack lasts.
        folder: An empty directory for the files of its server.
    """

    url: str
    data: Data
    seconds: float
    folder: Path

    @contextmanager
    def scene(self, root: Path | None = None, **settings: str) -> Iterator[Scene]:
        """Run a server and an honest caller until the block ends.

        Args:
            root: The root certificate of the server, if it has TLS.
            settings: Settings of the server: `pool_size="1"` sets SPROCKET_POOL_SIZE.
        """
        keys = [create_key(self.url, "read", "write", name=name).text for name in ("honest", "attacker")]
        log = self.folder / "server.log"
        settings = {"api_keys": "true", "log_format": "text"} | settings  # pragma: allowlist secret
        with (
            new_server(self.url, log, 1, **settings) as server,
            honest_caller(server.address, keys[0], root) as honest,
        ):
            yield Scene(server, self.url, honest, keys[1])

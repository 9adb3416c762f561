"""Followers of charts, which keep what they were sent, and resume with tokens."""

import asyncio
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType
from typing import Any

import grpc

from reliability.chaos.client import Client, Gate, Notes
from reliability.chaos.ledger import Entry
from sprocket.v1.factory_pb2 import FactoryChart, FollowFactoryChartsRequest, GetFactoryChartRequest

_PAUSE_SECONDS = 0.1
_LONGEST_SILENCE_SECONDS = 20  # heartbeats come every 15 s at least, and here every 10 s
_LONGEST_STREAM_SECONDS = 20
_ANEW = 0.1
"""The share of streams that begin without a token, and so read the history."""


@dataclass
class Copy:
    """A follower's copy of one chart.

    Attributes:
        starts: The beginnings that the chart has had: the sequence of its first entry, by the time of that.
        checked: The sequence up to which it was compared with the database; those entries are forgotten.
        entries: The entries since then, or since it began anew: time, goal and actual.
        is_anew: Whether it has begun anew, and has not yet got all entries that were compared before.
    """

    starts: Mapping[int, int] = field(default_factory=dict)
    checked: int = 0
    entries: list[tuple[int, int, int]] = field(default_factory=list)
    is_anew: bool = False
    _retained_from: int | None = None

    @property
    def sequence(self) -> int:
        """The sequence of its last entry."""
        self._skip()
        return self.checked + (0 if self.is_anew else len(self.entries))

    def add(self, chart: FactoryChart, retained_from: int | None = None) -> None:
        """Add the entries of a response, which may say at which time the chart begins."""
        if retained_from is not None:
            self._retained_from = retained_from
        columns = (chart.time_micros, chart.sprocket_production_goal, chart.sprocket_production_actual)
        self.entries += zip(*columns, strict=True)

    def begin_anew(self) -> None:
        """Expect all entries that have not expired; those that were compared are skipped."""
        self.entries, self.is_anew, self._retained_from = [], True, None

    def _skip(self) -> None:
        """Drop the entries that were compared before it began anew, once all of them are here."""
        if not self.is_anew or (self._retained_from and self.entries[:1] and self.entries[0][0] != self._retained_from):
            return
        first = self.starts.get(self._retained_from) if self._retained_from else 1
        if first is not None and len(self.entries) > self.checked - first:
            del self.entries[: self.checked - first + 1]
            self.is_anew = False

    def difference(self, entries: Sequence[Entry]) -> str:
        """Compare with all entries of the database since the last check, forget them, and tell the first difference.

        Returns:
            What differs; empty if nothing does.
        """
        self._skip()
        expected = [(entry.time_micros, entry.goal, entry.actual) for entry in entries]
        found, self.entries, self.checked = self.entries, [], self.checked + len(entries)
        if self.is_anew:
            return f"has {len(found)} entries of a chart that begins at {self._retained_from}"
        if found == expected:
            return ""
        for entry, has, should in zip(entries, found, expected, strict=False):
            if has != should:
                return f"has {has} instead of {should} at {entry.sequence}"
        return f"has {len(found)} new entries instead of {len(expected)}"


class Follower(Client):
    """Follows one chart, or several in one stream, for a drawn time, and resumes the stream then.

    Attributes:
        copies: Its copies of the charts, by factory.
        began: When its stream began, by a monotonic clock.
    """

    def __init__(
        self,
        name: str,
        address: str,
        notes: Notes,
        draw: Random,
        factory_ids: Iterable[str],
        starts: Mapping[str, Mapping[int, int]] = MappingProxyType({}),
    ) -> None:
        """Follow the charts of factories, with the beginnings that each of them has had."""
        super().__init__(name, address, notes, draw)
        self.copies = {factory_id: Copy(starts.get(factory_id, {})) for factory_id in factory_ids}
        self.began = 0.0
        self._token = ""
        self._call: Any = None

    async def run(self, _: Gate) -> None:
        """Follow until cancelled."""
        async with self._channel:
            while True:
                await self.work()
                await asyncio.sleep(_PAUSE_SECONDS)

    async def work(self) -> None:
        """Follow until the stream ends, or for a drawn time."""
        self.began = time.monotonic()
        ends = self.began + self._draw.uniform(1, _LONGEST_STREAM_SECONDS)
        if self._draw.random() < _ANEW:
            self._begin_anew()
        self._call = self._open()
        try:
            while time.monotonic() < ends:
                async with asyncio.timeout(_LONGEST_SILENCE_SECONDS):
                    response = await self._call.read()
                if response is grpc.aio.EOF:
                    self.notes.problems.append(f"{self.name}: the stream ended without an error")
                    break
                self._take(response)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.OUT_OF_RANGE and any(each.is_anew for each in self.copies.values()):
                self._begin_anew()  # what it had not received yet has expired, as only compared entries do
            else:
                self.note(self._method, error, self.began)
        except TimeoutError:
            self.notes.problems.append(f"{self.name}: no heartbeat for {_LONGEST_SILENCE_SECONDS} s")
        except asyncio.CancelledError:
            if (task := asyncio.current_task()) and task.cancelling():  # not by `restart`
                raise
        finally:
            self._call.cancel()

    def restart(self) -> None:
        """End the stream, and begin anew in another: what it has is not what it should have."""
        self._begin_anew()
        self._call.cancel()

    def _begin_anew(self) -> None:
        self._token = ""
        for copy in self.copies.values():
            copy.begin_anew()

    @property
    def _method(self) -> str:
        return "GetFactoryChart" if len(self.copies) == 1 else "FollowFactoryCharts"

    def _open(self) -> Any:  # noqa: ANN401  # the stubs are typed for type checkers only
        ids = list(self.copies)
        if len(ids) == 1:
            request = GetFactoryChartRequest(factory_id=ids[0], follow=True, resume_token=self._token)
            return self._methods[self._method](request)
        return self._methods[self._method](FollowFactoryChartsRequest(factory_ids=ids, resume_token=self._token))

    def _take(self, response: Any) -> None:  # noqa: ANN401  # of one of two methods
        self._token = response.resume_token
        if len(self.copies) == 1:
            [copy] = self.copies.values()
            copy.add(response.chart, _retained_from(response))
        else:
            for each in response.charts:
                self.copies[each.factory_id].add(each.chart, _retained_from(each))


def _retained_from(response: Any) -> int | None:  # noqa: ANN401  # of one of two methods
    return response.retained_from_time.ToMicroseconds() if response.HasField("retained_from_time") else None

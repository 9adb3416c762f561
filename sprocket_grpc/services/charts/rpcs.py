"""The RPCs of FactoryService that stream charts."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Any

from sprocket.v1 import factory_pb2 as pb
from sprocket_grpc.errors import InvalidResumeTokenError, Violation
from sprocket_grpc.services.charts.range import (
    ChartRange,
    factory_ids_violations,
    max_points_violations,
    nanos,
    time_violations,
)
from sprocket_grpc.services.charts.responses import many_charts, one_chart
from sprocket_grpc.services.charts.resume_token import ChartRequest, ResumeTokens
from sprocket_grpc.services.charts.stream import ChartDependencies, ChartStream
from sprocket_grpc.services.standard.validation import id_violations, raise_if_invalid
from sprocket_grpc.storage.access import require_factories


class FactoryCharts:
    """Streams the charts of one factory, or of many.

    Both raise `InvalidArgumentError` for an invalid request, `OutOfReachError` if the caller may not access a factory,
    and what `ChartStream` raises. Their responses are serialized already, which the types of gRPC do not know.
    """

    def __init__(self, dependencies: ChartDependencies) -> None:
        self._dependencies = dependencies

    async def get(self, request: pb.GetFactoryChartRequest) -> AsyncGenerator[Any]:
        """Stream the chart of one factory, and follow it if asked to."""
        found = id_violations("factory_id", request.factory_id) + _end_violations(request)
        end = nanos(request.end_time) if request.HasField("end_time") else None
        stream = await self._open(request, [request.factory_id], found, end)
        async with aclosing(stream.answers(follow=request.follow)) as answers:
            async for answer in answers:
                yield one_chart(answer)

    async def follow(self, request: pb.FollowFactoryChartsRequest) -> AsyncGenerator[Any]:
        """Follow the charts of many factories."""
        stream = await self._open(request, request.factory_ids, factory_ids_violations(request.factory_ids))
        async with aclosing(stream.answers(follow=True)) as answers:
            async for answer in answers:
                yield many_charts(answer)

    async def _open(
        self, request: ChartRequest, factory_ids: Sequence[str], found: list[Violation], end: int | None = None
    ) -> ChartStream:
        """Parse a request; the error names all its violations."""
        found = found + time_violations("start_time", request.start_time) + max_points_violations(request.max_points)
        tokens, positions = ResumeTokens(self._dependencies.cipher, request), {}
        try:
            positions = await tokens.read()
        except InvalidResumeTokenError as error:
            if not found:
                raise  # it has a reason of its own
            found += error.violations
        raise_if_invalid(found)
        require_factories(factory_ids)
        start = nanos(request.start_time) if request.HasField("start_time") else None
        requested = ChartRange(factory_ids, start, end, request.max_points, positions)
        return ChartStream(self._dependencies, requested, tokens)


def _end_violations(request: pb.GetFactoryChartRequest) -> list[Violation]:
    if not request.HasField("end_time"):
        return []
    if request.follow:
        return [Violation("end_time", "must be absent with follow")]
    if found := time_violations("end_time", request.end_time):
        return found
    is_reversed = request.HasField("start_time") and nanos(request.end_time) <= nanos(request.start_time)
    return [Violation("end_time", "must be after start_time")] if is_reversed else []

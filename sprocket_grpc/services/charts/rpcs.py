"""The RPCs of FactoryService that stream charts."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing

from sprocket.v1 import factory_pb2 as pb
from sprocket_grpc.errors import InvalidResumeTokenError, Violation
from sprocket_grpc.services.charts.range import (
    ChartRange,
    factory_ids_violations,
    max_points_violations,
    nanos,
    time_violations,
)
from sprocket_grpc.services.charts.resume_token import ChartRequest, ResumeTokens
from sprocket_grpc.services.charts.stream import Answer, ChartDependencies, ChartStream
from sprocket_grpc.services.standard.validation import id_violations, raise_if_invalid
from sprocket_grpc.storage.access import require_factories
from sprocket_grpc.storage.chart_reads import Chunk


class FactoryCharts:
    """Streams the charts of one factory, or of many.

    Both raise `InvalidArgumentError` for an invalid request, `OutOfReachError` if the caller may not access a factory,
    and what `ChartStream` raises.
    """

    def __init__(self, dependencies: ChartDependencies) -> None:
        self._dependencies = dependencies

    async def get(self, request: pb.GetFactoryChartRequest) -> AsyncGenerator[pb.GetFactoryChartResponse]:
        """Stream the chart of one factory, and follow it if asked to."""
        found = id_violations("factory_id", request.factory_id) + _end_violations(request)
        end = nanos(request.end_time) if request.HasField("end_time") else None
        stream = await self._open(request, [request.factory_id], found, end)
        async with aclosing(stream.answers(follow=request.follow)) as answers:
            async for answer in answers:
                yield _one_chart(answer)

    async def follow(self, request: pb.FollowFactoryChartsRequest) -> AsyncGenerator[pb.FollowFactoryChartsResponse]:
        """Follow the charts of many factories."""
        stream = await self._open(request, request.factory_ids, factory_ids_violations(request.factory_ids))
        async with aclosing(stream.answers(follow=True)) as answers:
            async for answer in answers:
                yield _many_charts(answer)

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


def _one_chart(answer: Answer) -> pb.GetFactoryChartResponse:
    response = pb.GetFactoryChartResponse(
        chart=pb.FactoryChart(),
        resume_token=answer.resume_token,
        begins_before_start_time=bool(answer.older),
        end_of_history=answer.is_end_of_history,
    )
    for chunk in answer.chunks:  # one at most
        _fill(response.chart, chunk)
    return response


def _many_charts(answer: Answer) -> pb.FollowFactoryChartsResponse:
    response = pb.FollowFactoryChartsResponse(resume_token=answer.resume_token, end_of_history=answer.is_end_of_history)
    for chunk in answer.chunks:
        factory_id = chunk.sequences.factory_id
        _fill(
            response.charts.add(factory_id=factory_id, begins_before_start_time=factory_id in answer.older).chart,
            chunk,
        )
    return response


def _fill(chart: pb.FactoryChart, chunk: Chunk) -> None:
    """Fill the columns in place: a chart that is made apart and assigned is copied, a fifth of the CPU."""
    chart.time_micros.extend(chunk.time_micros)
    chart.sprocket_production_goal.extend(chunk.sprocket_production_goal)
    chart.sprocket_production_actual.extend(chunk.sprocket_production_actual)

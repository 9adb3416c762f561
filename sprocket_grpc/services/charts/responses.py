"""The responses of the chart RPCs, serialized: pages are sent as they are stored."""

from collections.abc import Sequence
from typing import Any

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from sprocket.v1 import factory_pb2 as pb
from sprocket_grpc.services.charts.stream import Answer
from sprocket_grpc.storage.chart_chunks import Chunk

_LENGTH_DELIMITED = 2


class Response(Message):
    """A message that is serialized already.

    Attributes:
        DESCRIPTOR: The type that it is parsed as.
    """

    __slots__ = ("DESCRIPTOR", "_wire")

    def __init__(self, wire: bytes, descriptor: Any) -> None:  # noqa: ANN401  # its stubs have two classes for it
        self.DESCRIPTOR = descriptor
        self._wire = wire

    def SerializeToString(self, **_: bool) -> bytes:  # noqa: N802  # the name of protobuf
        """Return the message in wire format."""
        return self._wire

    def ByteSize(self) -> int:  # noqa: N802  # as above
        """Return its size in bytes."""
        return len(self._wire)


def one_chart(answer: Answer) -> Response:
    """Make a GetFactoryChartResponse, whose answer has one chunk at most."""
    rest = pb.GetFactoryChartResponse(
        resume_token=answer.resume_token,
        begins_before_start_time=bool(answer.older),
        end_of_history=answer.is_end_of_history,
        retained_from_time=_time(next(iter(answer.retained_from.values()), None)),
    )
    chart = [part for chunk in answer.chunks for part in _chart(chunk)]
    return _response(_field(pb.GetFactoryChartResponse.CHART_FIELD_NUMBER, chart), rest)


def many_charts(answer: Answer) -> Response:
    """Make a FollowFactoryChartsResponse."""
    rest = pb.FollowFactoryChartsResponse(resume_token=answer.resume_token, end_of_history=answer.is_end_of_history)
    charts = [
        part
        for chunk in answer.chunks
        for part in _field(
            pb.FollowFactoryChartsResponse.CHARTS_FIELD_NUMBER,
            _followed(chunk, answer),
        )
    ]
    return _response(charts, rest)


def _response(parts: Sequence[bytes], rest: Message) -> Response:
    wire = b"".join([*parts, rest.SerializeToString()])  # the only copy of the pages
    return Response(wire, rest.DESCRIPTOR)


def _followed(chunk: Chunk, answer: Answer) -> list[bytes]:
    factory_id = chunk.sequences.factory_id
    rest = pb.FollowedFactoryChart(
        begins_before_start_time=factory_id in answer.older,
        retained_from_time=_time(answer.retained_from.get(factory_id)),
    )
    chart = _field(pb.FollowedFactoryChart.CHART_FIELD_NUMBER, _chart(chunk))
    return [pb.FollowedFactoryChart(factory_id=factory_id).SerializeToString(), *chart, rest.SerializeToString()]


def _time(micros: int | None) -> Timestamp | None:
    if micros is None:
        return None
    time = Timestamp()
    time.FromMicroseconds(micros)
    return time


def _chart(chunk: Chunk) -> list[bytes]:
    """Serialize a chart: pages and columns one behind the other, which every parser joins within one field.

    Two `chart` fields would be the same by the rules of protobuf, but protobuf.js keeps only the second.
    """
    columns = pb.FactoryChart(
        time_micros=chunk.time_micros,
        sprocket_production_goal=chunk.sprocket_production_goal,
        sprocket_production_actual=chunk.sprocket_production_actual,
    )
    return [*(page.wire for page in chunk.pages), columns.SerializeToString()]


def _field(number: int, content: Sequence[bytes]) -> list[bytes]:
    """Serialize a field that is a message, whose parts are one behind the other."""
    return [_varint(number << 3 | _LENGTH_DELIMITED), _varint(sum(map(len, content))), *content]


def _varint(number: int) -> bytes:
    septets = bytearray()
    while number > 0x7F:
        septets.append(number & 0x7F | 0x80)
        number >>= 7
    septets.append(number)
    return bytes(septets)

"""Reads a chart in a separate process: `python -m bench.chart_client ADDRESS FACTORY_ID raw|decoded`.

The mode `raw` is for measurements: it counts the bytes and drops them, so that the client is not the bottleneck.
The mode `decoded` checks that the chart is complete.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass

import grpc

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryChartResponse

_METHOD = "/sprocket.v1.FactoryService/GetFactoryChart"


@dataclass
class ChartSummary:
    """The result of reading a chart once.

    Attributes:
        seconds: The time from the call to the end of the stream.
        received_bytes: The size of all messages.
        entries: The number of entries; set in the mode `decoded` only, as are the next two.
        ends: The number of responses with `end_of_history`.
        is_in_order: Whether all columns had the same length and the times ascended.
    """

    seconds: float = 0
    received_bytes: int = 0
    entries: int = 0
    ends: int = 0
    is_in_order: bool = True


def main(address: str, factory_id: str, mode: str) -> None:
    """Read a chart, and print the result as JSON."""
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        summary = _read(channel, factory_id, is_decoded=mode == "decoded")
    sys.stdout.write(json.dumps(asdict(summary)) + "\n")


def _read(channel: grpc.Channel, factory_id: str, *, is_decoded: bool) -> ChartSummary:
    call: grpc.UnaryStreamMultiCallable[GetFactoryChartRequest, bytes] = channel.unary_stream(
        _METHOD, GetFactoryChartRequest.SerializeToString, None
    )
    summary, last = ChartSummary(), 0
    begin = time.perf_counter()
    for message in call(GetFactoryChartRequest(factory_id=factory_id)):
        summary.received_bytes += len(message)
        if is_decoded:
            last = _decode(summary, message, last)
    summary.seconds = time.perf_counter() - begin
    return summary


def _decode(summary: ChartSummary, message: bytes, last: int) -> int:
    """Add a message to the summary, and return the last time in it."""
    response = GetFactoryChartResponse.FromString(message)
    chart = response.chart
    times = chart.time_micros
    summary.entries += len(times)
    summary.ends += response.end_of_history
    summary.is_in_order &= len(times) == len(chart.sprocket_production_goal) == len(chart.sprocket_production_actual)
    summary.is_in_order &= [last, *times] == sorted([last, *times])
    return times[-1]


if __name__ == "__main__":
    main(*sys.argv[1:])

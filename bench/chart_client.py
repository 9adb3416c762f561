"""Reads a chart in a process of its own: `python -m bench.chart_client ADDRESS FACTORY_ID raw|decoded`.

Raw is for measuring: what arrives is counted and dropped, so that the client is not the limit. Decoded is for
checking that all is there.
"""

import json
import sys
import time
from dataclasses import asdict, dataclass

import grpc

from sprocket.v1.factory_pb2 import GetFactoryChartRequest, GetFactoryChartResponse

_METHOD = "/sprocket.v1.FactoryService/GetFactoryChart"


@dataclass
class ReadSession:
    """What a client has read.

    Attributes:
        seconds: How long it took, from the call to the end of the stream.
        received_bytes: The size of all messages.
        entries: How many entries there were; only if decoded, as are the others.
        ends: How often the end of the history was said.
        is_in_order: Whether all columns were of equal length, and the times ascending.
    """

    seconds: float = 0
    received_bytes: int = 0
    entries: int = 0
    ends: int = 0
    is_in_order: bool = True


def main(address: str, factory_id: str, mode: str) -> None:
    """Read a chart, and print what was read."""
    with grpc.insecure_channel(address) as channel:
        grpc.channel_ready_future(channel).result(timeout=10)
        reading = _read(channel, factory_id, is_decoded=mode == "decoded")
    sys.stdout.write(json.dumps(asdict(reading)) + "\n")


def _read(channel: grpc.Channel, factory_id: str, *, is_decoded: bool) -> ReadSession:
    call: grpc.UnaryStreamMultiCallable[GetFactoryChartRequest, bytes] = channel.unary_stream(
        _METHOD, GetFactoryChartRequest.SerializeToString, None
    )
    reading, last = ReadSession(), 0
    begin = time.perf_counter()
    for message in call(GetFactoryChartRequest(factory_id=factory_id)):
        reading.received_bytes += len(message)
        if is_decoded:
            last = _decode(reading, message, last)
    reading.seconds = time.perf_counter() - begin
    return reading


def _decode(reading: ReadSession, message: bytes, last: int) -> int:
    """Take note of what a message says, and return its last time."""
    response = GetFactoryChartResponse.FromString(message)
    chart = response.chart
    times = chart.time_micros
    reading.entries += len(times)
    reading.ends += response.end_of_history
    reading.is_in_order &= len(times) == len(chart.sprocket_production_goal) == len(chart.sprocket_production_actual)
    reading.is_in_order &= [last, *times] == sorted([last, *times])
    return times[-1]


if __name__ == "__main__":
    main(*sys.argv[1:])
